"""Write schemas and the page of settings anew: `python -m matwheel.configuration` at the project's root."""

from __future__ import annotations

from pathlib import Path

import yaml

from matwheel.configuration.configuration import Configuration
from matwheel.configuration.documents import schema_text, settings_page
from matwheel.configuration.registry import Registry
from matwheel.configuration.sections import SECTION_OF_CHAPTER


def documents(root: Path) -> dict[Path, str]:
    """Return what is written of the model, by file."""
    names = ("config", *(f"chapters/{chapter}" for chapter in SECTION_OF_CHAPTER))
    texts = [(root / "config" / f"{name}.yaml").read_text(encoding="utf-8") for name in names]
    defaults = {key: value for text in texts for key, value in yaml.safe_load(text).items()}
    return {
        root / "config" / "schemas" / "config.schema.yaml": schema_text(Configuration),
        root / "config" / "schemas" / "datasets.schema.yaml": schema_text(Registry),
        root / "docs" / "settings.md": settings_page(defaults),
    }


if __name__ == "__main__":
    for path, text in documents(Path.cwd()).items():
        path.write_text(text, encoding="utf-8")
