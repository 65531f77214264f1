"""Fixtures: tiny real datasets, and a copy of the project for tests that edit it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import crystals_of_table, read_table

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
# Of two workers none ends long after the other when these files come first, the longest one at the front.
LONGEST_FIRST = (
    *("test_wycryst_run", "test_funnel_run", "test_reruns", "test_matgan_run", "test_phonon_run"),
    *("test_bad_input", "test_elsewhere", "test_dag", "test_report", "test_imported_sets_run"),
    *("test_extending", "test_kill", "test_certified_run"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files of tests; within a file all stays as it is."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


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
