"""A checkpoint is what was saved, or the one before, or none; which, the log says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damaged_files import damages
from interrupted_training import BreaksOff, Interrupted, checkpoint_after_every_step
from torch import nn

from matwheel.core import files
from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.training.resumable_training import TrainingPlan, train_network


def state(step: int) -> dict[str, Any]:
    weights = torch.arange(300, dtype=torch.float32) + step
    return {"step": step, "weights": weights, "curve": [{"step": step, "score": 0.5}], "best": {}}


def same(one: dict[str, Any] | None, other: dict[str, Any]) -> bool:
    return one is not None and one["step"] == other["step"] and torch.equal(one["weights"], other["weights"])


@pytest.fixture
def saved(tmp_path: Path) -> TrainingCheckpoint:
    checkpoint = TrainingCheckpoint(tmp_path / "model.checkpoint", "settings")
    checkpoint.save(state(1))
    checkpoint.save(state(2))
    return checkpoint


def loaded(checkpoint: TrainingCheckpoint) -> tuple[dict[str, Any] | None, list[str]]:
    said: list[str] = []
    return checkpoint.load(said.append), said


def test_the_last_one_counts(saved: TrainingCheckpoint) -> None:
    found, said = loaded(saved)
    assert same(found, state(2)) and said == []
    saved.remove()
    assert loaded(saved) == (None, [])
    assert not list(saved.path.parent.iterdir())


def test_any_damage_means_the_one_before(saved: TrainingCheckpoint) -> None:
    content = saved.path.read_bytes()
    for what, damaged in damages(content, seed=1, times=200):
        saved.path.write_bytes(damaged)
        found, said = loaded(saved)
        assert same(found, state(1)), what
        assert len(said) == 1 and str(saved.path) in said[0] and "damaged" in said[0], (what, said)
        assert "goes on from the one before" in said[0]


def test_damage_of_both_means_a_fresh_start(saved: TrainingCheckpoint) -> None:
    before = next(path for path in saved.path.parent.iterdir() if path != saved.path)
    contents = saved.path.read_bytes(), before.read_bytes()
    both = zip(*(damages(content, seed=seed, times=50) for seed, content in enumerate(contents)), strict=True)
    for one, other in both:
        saved.path.write_bytes(one[1])
        before.write_bytes(other[1])
        found, said = loaded(saved)
        assert found is None and len(said) == 1, (one[0], other[0], said)
        assert said[0].count("damaged") == 2 and "starts anew" in said[0]


@pytest.mark.parametrize("kind", ["text", "empty", "folder", "pickle", "lacks a line"])
def test_something_else_in_its_place_means_the_one_before(saved: TrainingCheckpoint, kind: str) -> None:
    content = saved.path.read_bytes()
    saved.path.unlink()
    if kind == "folder":
        saved.path.mkdir()
    elif kind == "pickle":
        torch.save({"fingerprint": "settings", "state": state(9)}, saved.path)
    else:
        text = {"text": b"{}\n", "empty": b"", "lacks a line": content.partition(b"\n")[2]}[kind]
        saved.path.write_bytes(text)
    found, said = loaded(saved)
    assert same(found, state(1)) and "goes on from the one before" in said[0]


def test_one_of_other_settings_is_not_used_and_not_called_damaged(saved: TrainingCheckpoint) -> None:
    found, said = loaded(TrainingCheckpoint(saved.path, "other settings"))
    assert found is None
    assert len(said) == 1 and "other settings, data or code" in said[0] and "damaged" not in said[0]
    assert "starts anew" in said[0]


def test_a_kill_between_two_renames_loses_one_step_at_most(saved: TrainingCheckpoint) -> None:
    saved.path.unlink()
    assert same(loaded(saved)[0], state(1))


def test_a_checkpoint_is_on_the_disk_before_the_one_before_goes(
    saved: TrainingCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content, then names: what a power cut leaves is whole."""
    order: list[str] = []
    sync, replace = files._sync, os.replace

    def log_sync(path: Path) -> None:
        order.append(f"sync {path.name}")
        sync(path)

    def log_replace(source: Any, target: Any) -> None:
        order.append(f"{Path(source).name} → {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(files, "_sync", log_sync)
    monkeypatch.setattr(files.os, "replace", log_replace)
    saved.save(state(3))
    name, folder = saved.path.name, saved.path.parent.name
    assert order == [
        f"sync .partial-{name}",
        f"{name} → .previous-{name}",
        f".partial-{name} → {name}",
        f"sync {folder}",
    ]


def trained(checkpoint: TrainingCheckpoint | None, said: list[str]) -> tuple[list[float], dict[str, Any]]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 1))
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32))

    def loss(rows: Any) -> torch.Tensor:
        return ((network(x[rows])[:, 0] - x[rows].sum(1)) ** 2).mean()

    plan = TrainingPlan(12, 5, 0.01, "one_cycle", 3, 12)
    report = train_network(
        network, 20, loss, lambda judged: float(loss(np.arange(20))), plan, name="fit", seed=1,
        checkpoint=checkpoint, log=said.append,
    )  # fmt: skip
    return torch.cat([weight.detach().ravel() for weight in network.parameters()]).tolist(), report


@pytest.mark.parametrize(("damaged", "resumes"), [(1, "fit: resumed at step 4"), (2, "starts anew")])
def test_a_training_whose_checkpoints_are_damaged_ends_in_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: int, resumes: str
) -> None:
    whole = trained(None, [])
    checkpoint_after_every_step(monkeypatch)
    path = tmp_path / "model.checkpoint"
    with pytest.raises(Interrupted):
        trained(BreaksOff(path, "same", saves=5), [])
    for found in sorted(tmp_path.iterdir(), reverse=True)[:damaged]:
        found.write_bytes(found.read_bytes()[:-1])
    said: list[str] = []
    assert trained(TrainingCheckpoint(path, "same"), said) == whole
    assert "damaged" in said[0] and any(resumes in line for line in said)
