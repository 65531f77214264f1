"""The one loop in which networks are trained: it goes on to the same bits after an interruption.

Whoever trains says what a step is (a loss, and which `Descent` follows it), what is noted of the network at a
look, and which figure of these notes decides what is kept. A step may draw from torch's generator of the CPU,
whose state is part of a checkpoint; all else that it depends on must follow from its number.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Any, Generic, Literal, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from matwheel.core.progress import Log, Progress
from matwheel.training.checkpoints import TrainingCheckpoint

Network = TypeVar("Network", bound=nn.Module)
Figures = dict[str, float]


@dataclass(frozen=True, eq=False)
class Descent:
    """How the weights of a network follow the gradient of a loss.

    Attributes:
        network: whose gradients are clipped.
        optimiser: of its weights.
        rate: learning rate of a step, counted from 0; None leaves it as it is.
        largest_gradient_norm: gradients are clipped to this norm; None: not at all.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    rate: Callable[[int], float] | None = None
    largest_gradient_norm: float | None = None

    def begin(self, step: int) -> None:
        """Set the learning rate of a step."""
        if self.rate is not None:
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate(step)

    def follow(self, loss: Tensor, **parts: Tensor) -> float:
        """Move the weights one step down the gradient of `loss`, made of `parts`, and return its value.

        Raises:
            FloatingPointError: the loss is not finite, or its gradient where that is clipped.
        """
        value, norm = float(loss.detach()), 0.0
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.largest_gradient_norm is not None:
            norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), self.largest_gradient_norm))
        if not (math.isfinite(value) and math.isfinite(norm)):
            shown = "".join(f", {name} {float(part):.3g}" for name, part in parts.items())
            raise FloatingPointError(f"the loss ({value:.3g}{shown}) or its gradient is not finite")
        self.optimiser.step()
        return value


class RunningAverage(AveragedModel):
    """Exponential moving average of a network's weights, which is then what is looked at and kept.

    Early steps weigh less than `decay` says, or the random start would stay in the average: after n steps it
    is n / (n + warm_up) at most. Running statistics are averaged too, or taken as they are.
    """

    def __init__(
        self, network: nn.Module, decay: float, *, warm_up: int = 10, of_statistics: bool = False
    ) -> None:
        super().__init__(network, multi_avg_fn=self._move, use_buffers=of_statistics)
        self.decay, self.warm_up = decay, warm_up
        self.n_averaged += 1  # or the first step would replace the start

    def _move(self, averaged: Any, latest: Any, _: Any) -> None:
        steps = int(self.n_averaged)
        if averaged[0].is_floating_point():  # not the counters of normalisations
            get_ema_multi_avg_fn(min(self.decay, steps / (steps + self.warm_up)))(averaged, latest, steps)


@dataclass
class Course:
    """How far a training came, and what is known of it.

    Attributes:
        step: steps taken.
        best, best_step: smallest score and its step; infinity and 0 where nothing was scored.
        kept_step: at the end, step of the weights that the network has.
        curve: an entry for each look.
        since: figures of the steps since the last look.
    """

    step: int = 0
    best: float = math.inf
    best_step: int = 0
    kept_step: int | None = None
    curve: list[dict[str, Any]] = field(default_factory=list)
    since: list[Figures] = field(default_factory=list)


def mean_loss(since: Sequence[Figures]) -> float:
    """Return the mean of the figure 'loss'."""
    return float(np.mean([figures["loss"] for figures in since]))


@dataclass(eq=False)
class TrainingLoop(Generic[Network]):
    """A training, from its parts.

    Attributes:
        network: what is looked at and kept; in training mode whenever a step is taken.
        descents: of all networks that learn, by name; a game has several.
        take_step: takes the step of this number, counted from 0, with the descents; returns its figures.
        look: what is noted of the network, or of its average, in evaluation mode; gets the figures of the
            steps since the last look too.
        name: for the log and for messages.
        steps: steps at most.
        look_every: steps between two looks; the last step is looked at too.
        from_start: the state before the first step is looked at too.
        patience_steps: steps without a better score after which training ends; None: never.
        keep: the 'best' state by score, or the 'last' one.
        score: of the last entry of the curve, smaller is better; None where there is none.
        average: of the network's weights; None: the network is looked at and kept itself.
        remedy: what to do when a figure is not finite.
    """

    network: Network
    descents: Mapping[str, Descent]
    take_step: Callable[[int], Figures]
    look: Callable[[Network, list[Figures]], dict[str, Any]]
    _: KW_ONLY
    name: str
    steps: int
    look_every: int
    from_start: bool = False
    patience_steps: int | None = None
    keep: Literal["best", "last"] = "best"
    score: Callable[[Sequence[Mapping[str, Any]]], float | None] = lambda curve: None
    average: RunningAverage | None = None
    remedy: str = "lower learning_rate or look for strange training rows"

    def __post_init__(self) -> None:
        self._course, self._kept = Course(), dict[str, Tensor]()
        self._judged = self.network if self.average is None else cast(Network, self.average.module)

    def run(self, checkpoint: TrainingCheckpoint | None, log: Log, *, every_seconds: float = 20.0) -> Course:
        """Train, and leave the network in evaluation mode with the weights that are kept.

        Args:
            checkpoint: where to go on from and where to keep the state; None for a training in one go.
            log: gets a line every few seconds.
            every_seconds: time between two checkpoints.

        Raises:
            FloatingPointError: a loss or a validation is not finite; the message names the step.
        """
        saved = checkpoint.load(log) if checkpoint is not None else None
        with torch.random.fork_rng(devices=[]):
            if saved is not None:
                self._restore(saved)
                log(f"{self.name}: resumed at step {self._course.step} of {self.steps}")
            progress = Progress(f"{self.name} step", self.steps, log, done=self._course.step)
            saved_at = time.monotonic()
            if self.from_start and not self._course.curve:
                self._look()
            while self._course.step < self.steps and not self._out_of_patience():
                figures = self._advance()
                progress.report(self._course.step, **figures)
                if checkpoint is not None and time.monotonic() - saved_at >= every_seconds:
                    checkpoint.save(self._state())
                    saved_at = time.monotonic()
        if self._course.kept_step is None:
            self._choose()
            if checkpoint is not None:
                checkpoint.save({"course": asdict(self._course), "kept": self._kept})
        end = ", no better validation since" if self._course.step < self.steps else ""
        log(f"{self.name}: {self._course.step} steps, kept the weights of step {self._course.kept_step}{end}")
        self.network.load_state_dict(self._kept)
        self.network.eval()
        self.network.zero_grad(set_to_none=True)
        return self._course

    def _advance(self) -> Figures:
        """Take a step and look where it is due; return what is told of it."""
        course = self._course
        try:
            for descent in self.descents.values():
                descent.begin(course.step)
            self.network.train()
            figures = self.take_step(course.step)
            course.step += 1
            course.since.append(figures)
            if self.average is not None:
                self.average.update_parameters(self.network)
            if course.step % self.look_every == 0 or course.step == self.steps:
                self._look()
        except FloatingPointError as error:
            where = f"{self.name}, at step {course.step} of {self.steps}"
            raise FloatingPointError(f"{where}: {error}; {self.remedy}") from None
        noted = course.curve[-1] if course.curve else {}
        return {name: value for name, value in noted.items() if isinstance(value, float)} | figures

    def _look(self) -> None:
        """Add an entry to the curve, and keep the state if its score is the best."""
        course = self._course
        self._judged.eval()
        with torch.no_grad():
            course.curve.append({"step": course.step} | self.look(self._judged, course.since))
        course.since = []
        score = self.score(course.curve)
        if score is not None and score < course.best:
            course.best, course.best_step, self._kept = score, course.step, self._copy()

    def _out_of_patience(self) -> bool:
        since_best, patience = self._course.step - self._course.best_step, self.patience_steps
        return patience is not None and bool(self._kept) and since_best >= patience

    def _choose(self) -> None:
        self._course.kept_step = self._course.best_step
        if self.keep == "last" or not self._kept:
            self._course.kept_step, self._kept = self._course.step, self._copy()

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._judged.state_dict().items()}

    def _parts(self) -> dict[str, Any]:
        """Return what has a state and is not needed once the training has ended."""
        parts: dict[str, Any] = {} if self.average is None else {"average": self.average}
        for name, descent in self.descents.items():
            parts |= {name: descent.network, f"{name}'s optimiser": descent.optimiser}
        return parts

    def _state(self) -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        random = torch.get_rng_state()
        return {"course": asdict(self._course), "kept": self._kept, "parts": parts, "random": random}

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self._course, self._kept = Course(**saved["course"]), saved["kept"]
        if "parts" in saved:
            for name, part in self._parts().items():
                part.load_state_dict(saved["parts"][name])
            torch.set_rng_state(saved["random"])
