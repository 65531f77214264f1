"""Rooms import only from floors below them, and nothing but rooms stands in the library."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "src" / "matwheel"
FLOORS = (
    {"core", "statistics", "verdicts"},
    {"crystals", "training", "figures", "runs"},
    {"compositions", "potentials", "candidates"},
    {"datasets", "predictors", "screening", "vibrations", "wyckoff"},
    {"chapters.matwheel", "generators", "hull", "dft", "composition_models", "properties"},
    {"chapters.matgan", "chapters.wycryst", "chapters.phonon", "report"},
    {"configuration", "command_line"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS, start=1) for room in rooms}


def room_of(module: str) -> str:
    """Return the room of a module, e.g. 'chapters.phonon' of 'matwheel.chapters.phonon.bonds'."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2] if parts[0] == "chapters" else parts[:1])


def imports_of(source: str) -> Iterator[str]:
    """Yield the modules and names of ours that a source imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("matwheel."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            module = node.module or ""
            if module in ("matwheel", "matwheel.chapters"):
                yield from (f"{module}.{alias.name}" for alias in node.names)
            elif module.startswith("matwheel."):
                yield module


def faults(module: str, source: str) -> list[str]:
    """Return a line for each import of a room that is not on a floor below, e.g. 'core → crystals'."""
    here = room_of(module)
    there = {room_of(name) for name in imports_of(source)} - {here}
    return [f"{module}: {here} → {room}" for room in sorted(there) if FLOOR_OF[here] <= FLOOR_OF[room]]


def modules() -> Iterator[tuple[str, str]]:
    """Yield name and source of every module but the marks of packages."""
    for path in sorted(LIBRARY.rglob("*.py")):
        if path.name != "__init__.py":
            parts = path.relative_to(LIBRARY).with_suffix("").parts
            yield ".".join(("matwheel", *parts)), path.read_text(encoding="utf-8")


def test_every_module_has_a_room_and_every_room_modules() -> None:
    rooms = {room_of(module) for module, _ in modules()}
    assert rooms == set(FLOOR_OF)


def test_rooms_import_only_from_floors_below() -> None:
    assert [line for module, source in modules() for line in faults(module, source)] == []


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("matwheel.core.files", "from matwheel.crystals.crystal import Crystal", ["core → crystals"]),
        ("matwheel.core.files", "def f():\n    import matwheel.runs.machine", ["core → runs"]),
        ("matwheel.crystals.graphs", "from matwheel.training import devices", ["crystals → training"]),
        (
            "matwheel.report.blocks",
            "from matwheel.chapters.phonon import bonds",
            ["report → chapters.phonon"],
        ),
        ("matwheel.report.blocks", "from matwheel.chapters import phonon", ["report → chapters.phonon"]),
        ("matwheel.hull.hull", "from matwheel import verdicts\nimport matwheel.hull.energy_corrections", []),
    ],
)
def test_an_import_upwards_or_across_is_found(module: str, source: str, found: list[str]) -> None:
    assert [line.partition(": ")[2] for line in faults(module, source)] == found


def test_the_library_knows_no_snakemake() -> None:
    # Of the command line it is the business to start it.
    others = ((module, source) for module, source in modules() if room_of(module) != "command_line")
    knowing = [
        module
        for module, source in others
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if name.split(".")[0] == "snakemake"
    ]
    assert knowing == []
