"""The default settings: those of the config and of every chapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"
FILES = (CONFIG / "config.yaml", *sorted((CONFIG / "chapters").glob("*.yaml")))


def default_settings() -> dict[str, Any]:
    """Return them as one mapping."""
    sections: dict[str, Any] = {}
    for path in FILES:
        sections |= yaml.safe_load(path.read_text(encoding="utf-8"))
    return sections
