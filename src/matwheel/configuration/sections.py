"""Which section of the settings belongs to which chapter; without pydantic, since every job asks."""

from __future__ import annotations

SECTION_OF_CHAPTER = {
    "matwheel": "funnel",
    "perturb": "perturbation",
    "matgan": "matgan",
    "wycryst": "wycryst",
    "phonon": "phonon",
}
"""Each chapter with its section, which is there when the chapter is."""
