from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch

from matwheel.core.errors import InputError
from matwheel.core.files import atomic_path, read_json, write_csv, write_json
from matwheel.core.progress import Progress, logged
from matwheel.core.seeds import derive_seed
from matwheel.crystals.table import (
    crystal_table,
    crystals_of_table,
    read_table,
    write_cif_archive,
    write_table,
)
from matwheel.training.checkpoints import TrainingCheckpoint


def test_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "table.csv"
    write_csv(pd.DataFrame({"a": [1]}), path)
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "a\n1\n"
    assert [file.name for file in path.parent.iterdir()] == ["table.csv"]


def test_json_refuses_numbers_that_are_not_finite(tmp_path: Path) -> None:
    write_json({"b": 1.5, "a": [1]}, tmp_path / "x.json")
    assert read_json(tmp_path / "x.json") == {"a": [1], "b": 1.5}
    with pytest.raises(ValueError, match="JSON"):
        write_json({"a": float("nan")}, tmp_path / "y.json")
    assert not (tmp_path / "y.json").exists()


def test_seeds_differ_by_every_name_and_are_fixed() -> None:
    seeds = {derive_seed(s, *names) for s in (1, 2) for names in (("a", "b"), ("ab",), ("a", 0), ("b", "a"))}
    assert len(seeds) == 8
    assert derive_seed(2025, "split_dataset", "tiny", 0) == 474609605
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_crystal_table_round_trip_is_exact_with_stable_bytes(jarvis_crystals, tmp_path: Path) -> None:
    crystals, target = jarvis_crystals
    for name in ("one", "two"):
        write_table(crystal_table(crystals, {"target": target}), tmp_path / f"{name}.parquet")
        write_cif_archive(crystals[:3], tmp_path / f"{name}.zip")
    for suffix in ("parquet", "zip"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()
    for before, after in zip(crystals, crystals_of_table(read_table(tmp_path / "one.parquet")), strict=True):
        assert (before.id, before.species) == (after.id, after.species)
        assert (before.lattice == after.lattice).all()
        assert (before.frac_coords == after.frac_coords).all()


def test_checkpoint_of_other_settings_is_not_resumed(tmp_path: Path) -> None:
    checkpoint = TrainingCheckpoint(tmp_path / "model.checkpoint", "settings A")
    assert checkpoint.load() is None
    checkpoint.save({"step": 3, "weights": torch.ones(2)})
    assert TrainingCheckpoint(checkpoint.path, "settings B").load() is None
    assert TrainingCheckpoint(checkpoint.path, "settings A").load()["step"] == 3
    checkpoint.path.write_bytes(b"cut off")
    assert checkpoint.load() is None
    checkpoint.remove()
    assert not checkpoint.path.exists()


def test_nothing_is_left_of_a_checkpoint_whose_writer_was_killed(tmp_path: Path) -> None:
    checkpoint = TrainingCheckpoint(tmp_path / "model.checkpoint", "settings A")
    checkpoint.save({"step": 3})
    writer = os.fork()
    if not writer:
        sys.addaudithook(lambda event, _: event == "os.rename" and os.kill(os.getpid(), signal.SIGKILL))
        checkpoint.save({"step": 4})
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(writer, 0)[1]) == signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2 and checkpoint.load() == {"step": 3}
    checkpoint.remove()
    assert not list(tmp_path.iterdir())


def test_log_has_progress_and_one_line_for_wrong_input(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "job.log"
    with pytest.raises(SystemExit) as ended, logged(path) as log:
        Progress("epoch", 2, log).report(2, loss=0.5)
        warnings.warn("a library's complaint", RuntimeWarning, stacklevel=1)
        raise InputError("data.csv, row 3: no target; delete the row")
    assert ended.value.code == 1
    lines = path.read_text().splitlines()
    assert "epoch 2/2, loss 0.5, 0 s left" in lines[0]
    assert lines[1].endswith("RuntimeWarning: a library's complaint")
    assert lines[2].endswith("error: data.csv, row 3: no target; delete the row")
    assert len(lines) == 3
    with pytest.raises(SystemExit), logged(path) as log:
        raise KeyError("a fault of ours")
    assert "Traceback" in path.read_text()
