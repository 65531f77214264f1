"""The recipe of docs/properties.md: its class keeps the promises of the registry, and its table names all."""

from __future__ import annotations

import re
import sys
from importlib import util
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT

from matwheel.crystals.crystal import Crystal
from matwheel.properties.registry import PROPERTIES, make_property

PAGE = (Path(__file__).resolve().parents[3] / "docs/properties.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"`[\w/.]+\.py`:\n\n```python\n(.*?)```\n", re.DOTALL)


def test_the_recipe_is_one_module_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, line = BLOCK.findall(PAGE)
    path = tmp_path / "largest_force.py"
    path.write_text(module, encoding="utf-8")
    spec = util.spec_from_file_location("largest_force", path)
    assert spec is not None and spec.loader is not None
    made = util.module_from_spec(spec)
    spec.loader.exec_module(made)
    monkeypatch.setitem(sys.modules, "largest_force", made)
    name, _, attribute = re.findall(r'"([\w.]+)"', line)
    monkeypatch.setitem(PROPERTIES, name, ("largest_force", attribute))
    sites = [[0, 0, 0], [0.4, 0.5, 0.5]]
    alloy = Crystal("alloy", ("Cu", "Au"), 3 * np.eye(3), sites)
    crystals = [alloy, Crystal("Cu", ("Cu",), 3 * np.eye(3), sites[:1])]
    table = make_property(name).compute(crystals, EMT(), print)
    assert list(table["status"]) == ["ok", "refused"] and table["largest_force_ev_per_angstrom"][0] > 0


def test_every_property_stands_on_the_page() -> None:
    assert [name for name in PROPERTIES if f"| `{name}` |" not in PAGE] == []
