"""One page with the tables and figures of the composition chapter, and what they were made with."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matwheel.core.files import atomic_path

LONGEST_TABLE = 60
"""Rows of a table that the page shows; longer ones are named only."""


def write_composition_report(
    folder: Path,
    *,
    tables: Sequence[Path],
    figures: Sequence[Path],
    cards: Sequence[Mapping[str, Any]],
    provenance: Sequence[Mapping[str, Any]],
) -> None:
    """Write README.md with copies of tables and figures beside it, so that the folder can be passed on.

    Args:
        folder: made anew.
        tables: CSV files; the name of their folder tells two of one name apart.
        cards: of the trained generators (generator.json).
        provenance: of the formula sets (provenance.json).
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# Compositions by a GAN", ""]
    lines += ["Shares have 95 % Wilson intervals; `published_…` columns are the paper's own figures.", ""]
    lines += ["## Sets and generators", ""]
    lines += _markdown(_sets(cards, provenance))
    for path in tables:
        name = path.name if path.parent.name == "matgan" else f"{path.parent.name}_{path.name}"
        shutil.copyfile(path, folder / name)
        lines += ["", f"## {Path(name).stem.replace('_', ' ')}", "", f"[{name}]({name})", ""]
        lines += _table_lines(path)
    lines += ["", "## Figures"]
    for path in figures:
        shutil.copyfile(path, folder / path.name)
        lines += ["", f"### {path.stem.replace('_', ' ')}", "", f"![{path.stem}]({path.name})"]
    with atomic_path(folder / "README.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sets(
    cards: Sequence[Mapping[str, Any]], provenance: Sequence[Mapping[str, Any]]
) -> list[dict[str, object]]:
    rows = []
    for card, source in zip(cards, provenance, strict=True):
        parts = source["parts"]
        rows.append(
            {
                "set": card["formula_set"],
                **{part: parts[part] for part in ("train", "validation", "held_out")},
                "source": source["source"],
                "formulas sha256": card["formulas_sha256"][:12],
                "generator": f"{card['generator']} {card['report']['settings'].get('network', '')}".strip(),
                "steps": card["report"]["steps"],
                "kept step": card["report"]["kept_step"],
                "seed": card["seed"],
                "torch": card["versions"]["torch"],
                "smact": card["versions"]["smact"],
            }
        )
    return rows


def _table_lines(path: Path) -> list[str]:
    import pandas as pd

    frame = pd.read_csv(path)
    if len(frame) > LONGEST_TABLE:
        return [f"{len(frame)} rows, see the file."]
    return _markdown(frame.to_dict("records"))


def _markdown(rows: Sequence[Mapping[Any, object]]) -> list[str]:
    if not rows:
        return ["(no rows)"]
    lines = [f"| {' | '.join(map(str, rows[0]))} |", f"|{' --- |' * len(rows[0])}"]
    return lines + [f"| {' | '.join(map(_text, row.values()))} |" for row in rows]


def _text(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}" if abs(value) < 1e5 else f"{value:.0f}"
    return str(value)
