"""What a result was made with: versions of the libraries that its numbers depend on."""

from __future__ import annotations

import platform
from importlib.metadata import version

LIBRARIES = (
    "matminer",
    "matwheel",
    "numpy",
    "pandas",
    "pymatgen",
    "scikit-learn",
    "scipy",
    "smact",
    "spglib",
    "torch",
)


def library_versions(names: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """Return the installed version of each package, and Python's."""
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
