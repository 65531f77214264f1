"""A table on the disk is what was written, or it is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damaged_files import damages

from matwheel.compositions.composition_samples import counts_of_parquet, join_samples, write_samples
from matwheel.core.errors import InputError
from matwheel.core.parquet import KEY, parquet_writer, reading, write_parquet
from matwheel.crystals.crystal_files import open_crystal_file
from matwheel.crystals.table import crystal_table, read_table, write_table
from matwheel.datasets.formula_sets import read_formula_set, write_formula_set
from matwheel.verdicts import Verdict, verdict_table

ELEMENTS = ("H", "O", "Mg", "Si")


def verdicts(rows: int = 200) -> pd.DataFrame:
    return verdict_table(
        Verdict(
            f"c{row}", "novelty", "pass" if row % 3 else "fail", value=row / 7, threshold=0.5,
            reason="close to another" * (row % 2), tool="smact14", tool_version="3", seconds=0.1 * row,
        )
        for row in range(rows)
    )  # fmt: skip


def samples() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 9, (300, len(ELEMENTS)), dtype=np.uint8)


def read_samples(path: Path) -> np.ndarray:
    return np.concatenate(list(counts_of_parquet(path, ELEMENTS)))


@pytest.fixture(params=["crystals", "verdicts", "formulas", "samples"])
def table(request: pytest.FixtureRequest, jarvis_crystals, tmp_path: Path) -> tuple[Path, Callable]:
    """A file of each kind, and how it is read."""
    path = tmp_path / f"{request.param}.parquet"
    if request.param == "crystals":
        write_table(crystal_table(jarvis_crystals[0], {"target": jarvis_crystals[1]}), path)
    elif request.param == "verdicts":
        write_table(verdicts(), path)
    elif request.param == "formulas":
        table = {"formula": ["MgO", "SiO2"], "counts": [[0, 1, 1, 0], [0, 2, 0, 1]]}
        write_formula_set(
            pd.DataFrame({**table, "part": ["train", "held_out"], "target": [1.5, np.nan]}), path
        )
        return path, read_formula_set
    else:
        write_samples(samples(), path)
        return path, read_samples
    return path, read_table


def is_same(one: pd.DataFrame | np.ndarray, other: pd.DataFrame | np.ndarray) -> bool:
    """Whether two tables have the same cells to the last bit."""
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return pa.Table.from_pandas(one).equals(pa.Table.from_pandas(other)) or one.equals(other)


def test_any_damage_is_refused_by_name(table: tuple[Path, Callable]) -> None:
    path, read = table
    whole, content = read(path), path.read_bytes()
    refused = 0
    for what, damaged in damages(content, seed=2, times=100):
        path.write_bytes(damaged)
        try:
            found = read(path)
        except InputError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error), what
            assert "delete it and start snakemake again" in str(error), what
        else:
            assert is_same(found, whole), what
    assert refused >= 98  # a bit of the hash's own name may turn over
    path.write_bytes(content)
    assert is_same(read(path), whole)


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_table(verdicts(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_other_readers_see_a_parquet_file(tmp_path: Path) -> None:
    write_table(verdicts(), tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), verdicts())
    metadata = pq.read_metadata(tmp_path / "t.parquet").metadata
    assert len(metadata[KEY.encode()]) == 64 and set(metadata[KEY.encode()]) - {ord("0")}


def test_a_table_of_another_program_is_read_and_its_damage_named(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    verdicts().to_parquet(path)
    pd.testing.assert_frame_equal(read_table(path), verdicts())
    content = path.read_bytes()
    for cut in (0, 3, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(InputError, match=f"{path}: the file is damaged .*delete it and start snakemake"):
            read_table(path)
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "nothing.parquet")


def test_a_hash_is_that_of_the_file_also_where_content_came_with_one(tmp_path: Path) -> None:
    """As of pieces that are joined: their schema has the hash of the first."""
    first, second, joined = (tmp_path / f"{name}.parquet" for name in ("first", "second", "joined"))
    write_samples(samples()[:100], first)
    write_samples(samples()[100:], second)
    join_samples([first, second], joined)
    assert np.array_equal(read_samples(joined), samples())
    write_parquet(pq.read_table(first), second)
    assert second.read_bytes().count(KEY.encode()) == 1
    damaged = bytearray(second.read_bytes())
    damaged[20] ^= 1
    second.write_bytes(damaged)
    with pytest.raises(InputError, match=r"second\.parquet: the file is damaged"):
        join_samples([first, second], joined)
    assert np.array_equal(read_samples(joined), samples())


def test_many_pieces_and_wide_tables_have_a_hash_too(tmp_path: Path) -> None:
    schema = pa.schema([(f"feature {column}", pa.float64()) for column in range(500)])
    batch = pa.record_batch([np.arange(2.0)] * 500, schema=schema)
    with parquet_writer(tmp_path / "wide.parquet", schema) as writer:
        for _ in range(20):
            writer.write_batch(batch)
    content = bytearray((tmp_path / "wide.parquet").read_bytes())
    with reading(tmp_path / "wide.parquet"):
        pass
    content[1000] ^= 1
    (tmp_path / "wide.parquet").write_bytes(content)
    with pytest.raises(InputError, match="damaged"), reading(tmp_path / "wide.parquet"):
        pass


def test_an_interrupted_write_leaves_the_old_table(tmp_path: Path) -> None:
    write_table(verdicts(2), tmp_path / "t.parquet")
    with pytest.raises(KeyboardInterrupt), parquet_writer(tmp_path / "t.parquet", pa.schema([])):
        raise KeyboardInterrupt
    assert len(read_table(tmp_path / "t.parquet")) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_a_result_that_a_user_screens_is_checked_too(jarvis_crystals, tmp_path: Path) -> None:
    path = tmp_path / "generated.parquet"
    write_table(crystal_table(jarvis_crystals[0]), path)
    assert len(list(open_crystal_file(path).entries)) == 40
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"generated\.parquet: the file is damaged"):
        list(open_crystal_file(path).entries)
