"""The one training loop: what it keeps, when it ends, clipping, averages, and going on to the same bits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from interrupted_training import BreaksOff, Interrupted, checkpoint_after_every_step
from torch import Tensor, nn
from torch.nn import functional

from matwheel.training.checkpoints import TrainingCheckpoint
from matwheel.training.training_loop import Course, Descent, Figures, RunningAverage, TrainingLoop, mean_loss

INPUTS = torch.linspace(-1, 1, 24).reshape(12, 2)
WANTED = INPUTS.sum(dim=1, keepdim=True).sin()


def silent(message: str) -> None:
    """Log nothing."""


class Walk:
    """A network of one number whose loss falls by 1 per unit, so that a step of SGD adds the rate to it."""

    def __init__(self, steps: int, look_every: int, **more: Any) -> None:
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.network.weight)
        sgd = torch.optim.SGD(self.network.parameters(), lr=1.0)
        self.descent = Descent(self.network, sgd, more.pop("rate", None), more.pop("norm", None))
        average = more.pop("decay", None)
        if average is not None:
            more["average"] = RunningAverage(self.network, average, warm_up=10)
        self.loop = TrainingLoop(
            self.network,
            {"network": self.descent},
            self.step,
            self.look,
            name="walk",
            steps=steps,
            look_every=look_every,
            **more,
        )

    def step(self, number: int) -> Figures:
        assert self.network.training
        return {"loss": self.descent.follow(-self.network.weight.sum())}

    def look(self, judged: nn.Linear, since: list[Figures]) -> dict[str, Any]:
        assert not judged.training and not torch.is_grad_enabled()
        return {"at": judged.weight.item(), "losses": len(since)}

    def run(self, checkpoint: TrainingCheckpoint | None = None) -> Course:
        return self.loop.run(checkpoint, silent)

    @property
    def place(self) -> float:
        return self.network.weight.item()


def scored(errors: list[float]) -> dict[str, Any]:
    """Score the looks with numbers that are given."""
    return {"score": lambda curve: errors[len(curve) - 1]}


def test_looks_come_every_so_many_steps_and_at_the_end() -> None:
    walk = Walk(7, 3)
    course = walk.run()
    assert [(entry["step"], entry["at"], entry["losses"]) for entry in course.curve] == [
        (3, 3.0, 3),
        (6, 6.0, 3),
        (7, 7.0, 1),
    ]
    assert (course.step, course.kept_step, course.best_step) == (7, 7, 0), "nothing was scored"
    assert walk.place == 7.0 and not walk.network.training and walk.network.weight.grad is None


def test_the_state_of_the_smallest_score_is_kept() -> None:
    walk = Walk(8, 2, **scored([3.0, 1.0, 2.0, 1.0]))
    course = walk.run()
    assert (walk.place, course.kept_step, course.best) == (4.0, 4, 1.0)
    last = Walk(8, 2, keep="last", **scored([3.0, 1.0, 2.0, 4.0]))
    assert (last.run().best_step, last.place) == (4, 8.0)


def test_a_score_that_is_no_number_keeps_nothing() -> None:
    walk = Walk(6, 2, **scored([math.nan, 5.0, math.nan]))
    assert (walk.run().kept_step, walk.place) == (4, 4.0)
    never = Walk(6, 2, patience_steps=2, **scored([math.nan] * 3))
    assert (never.run().kept_step, never.place) == (6, 6.0)


def test_patience_ends_the_training() -> None:
    walk = Walk(100, 2, patience_steps=5, **scored([3.0, 1.0] + [2.0] * 98))
    course = walk.run()
    assert (course.step, course.kept_step) == (9, 4)
    # A training is never left before the first look: there would be nothing to keep.
    early = Walk(100, 10, patience_steps=2, **scored([1.0, 2.0])).run()
    assert (early.step, early.kept_step) == (12, 10)


def test_the_start_may_be_the_best_state() -> None:
    walk = Walk(4, 2, from_start=True, **scored([1.0, 2.0, 3.0]))
    course = walk.run()
    assert [entry["step"] for entry in course.curve] == [0, 2, 4]
    assert (walk.place, course.kept_step, course.best) == (0.0, 0, 1.0)
    assert Walk(0, 2, from_start=True).run().step == 0


def test_rates_are_those_of_the_step() -> None:
    walk = Walk(3, 1, rate=lambda step: 10.0**step)
    assert [entry["at"] for entry in walk.run().curve] == [1.0, 11.0, 111.0]


def test_clipping_limits_a_step_to_the_norm() -> None:
    assert Walk(5, 5, norm=0.25).run().curve[0]["at"] == pytest.approx(1.25, rel=1e-5)
    assert Walk(5, 5, norm=4.0).run().curve[0]["at"] == 5.0, "a small gradient stays as it is"


def test_averaged_weights_are_looked_at_and_kept() -> None:
    walk = Walk(30, 1, decay=0.6)
    curve, by_hand = walk.run().curve, 0.0
    for step in range(1, 31):
        decay = min(0.6, step / (step + 10))
        by_hand = decay * by_hand + (1 - decay) * step
        assert curve[step - 1]["at"] == pytest.approx(by_hand, rel=1e-5), step
    assert walk.place == curve[-1]["at"] < 30.0
    assert [entry["at"] for entry in Walk(3, 1, decay=0.0).run().curve] == [1.0, 2.0, 3.0]


def test_running_statistics_are_averaged_or_taken_as_they_are() -> None:
    network = nn.BatchNorm1d(2)
    taken, averaged = RunningAverage(network, 0.5), RunningAverage(network, 0.5, of_statistics=True)
    network.running_mean.fill_(8.0)
    network.num_batches_tracked.fill_(3)
    for average in (taken, averaged):
        average.update_parameters(network)
    assert taken.module.running_mean.tolist() == [8.0, 8.0]
    assert averaged.module.running_mean.tolist() == pytest.approx([8.0 * 10 / 11] * 2)
    assert (taken.module.num_batches_tracked, averaged.module.num_batches_tracked) == (3, 0)


@pytest.mark.parametrize("wrong", ["loss", "gradient", "look"])
def test_a_diverged_training_says_where_and_what_to_do(wrong: str) -> None:
    walk = Walk(5, 2, norm=1.0, remedy="train gently")

    def step(number: int) -> Figures:
        weight = walk.network.weight.sum()
        if number < 3 or wrong == "look":
            return {"loss": walk.descent.follow(weight)}
        loss = weight * math.inf if wrong == "loss" else (weight - weight.detach()).abs().sqrt()
        return {"loss": walk.descent.follow(loss, spring=loss)}

    def look(judged: nn.Linear, since: list[Figures]) -> dict[str, Any]:
        if wrong == "look" and judged.weight.item() < -3:
            raise FloatingPointError("the validation error is nan")
        return {}

    walk.loop.take_step, walk.loop.look = step, look
    said = {
        "loss": r"^walk, at step 3 of 5: the loss \(-?inf, spring -?inf\) .* is not finite; train gently$",
        "gradient": r"^walk, at step 3 of 5: the loss \(0, spring 0\) or its gradient is not finite; train",
        "look": r"^walk, at step 4 of 5: the validation error is nan; train gently$",
    }
    with pytest.raises(FloatingPointError, match=said[wrong]):
        walk.run()


class Game:
    """Two networks with an optimiser each, which draw, drop out and normalise: all that has a state."""

    def __init__(self, *, clipped: bool, averaged: bool) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.network = nn.Sequential(
                nn.Linear(2, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 1)
            )
            self.other = nn.Linear(1, 1)
        self.descents = {
            name: Descent(
                part,
                torch.optim.AdamW(part.parameters(), lr=0.02),
                lambda step: 0.02 / (step + 1),
                0.05 if clipped else None,
            )
            for name, part in {"network": self.network, "other": self.other}.items()
        }
        self.loop = TrainingLoop(
            self.network,
            self.descents,
            self.step,
            lambda judged, since: {"loss": mean_loss(since), "error": self.error(judged).item()},
            name="game",
            steps=30,
            look_every=4,
            patience_steps=25,
            score=lambda curve: curve[-1]["error"],
            average=RunningAverage(self.network, 0.9) if averaged else None,
        )

    @staticmethod
    def error(network: nn.Module) -> Tensor:
        return functional.mse_loss(network(INPUTS), WANTED)

    def step(self, number: int) -> Figures:
        inputs = INPUTS + 0.1 * torch.randn(INPUTS.shape)
        made = self.network(inputs)
        self.descents["other"].follow((self.other(made.detach()) - WANTED).square().mean())
        return {"loss": self.descents["network"].follow((self.other(made) - WANTED).square().mean())}


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize("saves", [1, 4, 17, 30])
def test_an_interrupted_training_ends_with_the_same_bits(
    clipped: bool, averaged: bool, saves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        before = torch.get_rng_state()
        whole = Game(clipped=clipped, averaged=averaged)
        course = whole.loop.run(None, silent)
        assert torch.equal(torch.get_rng_state(), before)
        checkpoint_after_every_step(monkeypatch)
        path = tmp_path / "game.checkpoint"
        with pytest.raises(Interrupted):
            Game(clipped=clipped, averaged=averaged).loop.run(BreaksOff(path, "one", saves=saves), silent)
        torch.manual_seed(6)  # where it goes on does not matter
        resumed = Game(clipped=clipped, averaged=averaged)
        assert resumed.loop.run(TrainingCheckpoint(path, "one"), silent) == course
    for name, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name


def test_clipping_and_averaging_change_the_course() -> None:
    found = []
    for clipped, averaged in ((False, False), (True, False), (False, True)):
        torch.manual_seed(5)
        game = Game(clipped=clipped, averaged=averaged)
        game.loop.run(None, silent)
        found.append(game.network[0].weight.detach())
    assert not torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_a_training_that_has_ended_is_not_trained_again(tmp_path: Path) -> None:
    checkpoint = TrainingCheckpoint(tmp_path / "walk.checkpoint", "one")
    course = Walk(6, 2, **scored([2.0, 1.0, 3.0])).run(checkpoint)
    again = Walk(6, 2, **scored([]))
    again.loop.take_step = lambda step: pytest.fail("a step was taken")
    assert again.run(checkpoint) == course and again.place == 4.0
    other = Walk(6, 2)
    other.run(TrainingCheckpoint(tmp_path / "walk.checkpoint", "another"))
    assert other.place == 6.0, "another fingerprint starts anew"


def test_stages_share_a_file(tmp_path: Path) -> None:
    stages = TrainingCheckpoint(tmp_path / "file.checkpoint", "one")
    assert stages.stage("first").load() is None
    stages.stage("first").save({"step": 3})
    stages.stage("second").save({"step": 1})
    again = TrainingCheckpoint(tmp_path / "file.checkpoint", "one")
    assert (again.stage("first").load(), again.stage("second").load()) == ({"step": 3}, {"step": 1})
    assert TrainingCheckpoint(tmp_path / "file.checkpoint", "two").stage("first").load() is None
