"""A result that was damaged on the disk is named with the remedy, and the remedy is one."""

from __future__ import annotations

from pathlib import Path

from tiny_project import snakemake

CRYSTALS, DUPLICATES = "results/data/tiny/crystals.parquet", "results/data/tiny/duplicates.csv"


def test_a_damaged_table_ends_its_reader_and_is_made_anew_where_it_is_deleted(editable: Path) -> None:
    table, duplicates = editable / CRYSTALS, (editable / DUPLICATES).read_bytes()
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    (editable / DUPLICATES).unlink()
    done = snakemake(editable, DUPLICATES)
    assert done.returncode == 1
    line = f"error: {CRYSTALS}: the file is damaged ("
    assert line in done.stdout + done.stderr
    assert "delete it and start snakemake again" in (editable / "logs/find_duplicates/tiny.log").read_text()
    table.unlink()
    done = snakemake(editable, DUPLICATES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert table.read_bytes() == whole and (editable / DUPLICATES).read_bytes() == duplicates
