"""Fixtures: tiny real datasets, and a copy of the project for tests that edit it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table, read_table

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"


def _read(name: str) -> tuple[list[Crystal], np.ndarray]:
    frame = read_table(DATA / f"{name}.parquet")
    return crystals_of_table(frame), frame["target"].to_numpy(dtype=float)


@pytest.fixture(scope="session")
def jarvis_crystals() -> tuple[list[Crystal], np.ndarray]:
    """40 two-dimensional crystals and their exfoliation energies (meV/atom)."""
    return _read("jarvis40")


@pytest.fixture(scope="session")
def poly_crystals() -> tuple[list[Crystal], np.ndarray]:
    """40 crystals and their total polycrystalline dielectric constants."""
    return _read("poly40")
