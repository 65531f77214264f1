"""A support vector machine on distances, and the choice of its settings by cross-validation.

In the direct form the machine learns the label. In the residual form a line between the scales of a computed
property and of the label, fitted by least absolute deviations, says most of it, and the machine learns the
rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from matwheel.core.seeds import derive_seed
from matwheel.predictors.latent_space import Description, Scaling, squared_distances
from matwheel.training.label_scale import signed_exp, signed_log

# Below this many rows the choice by cross-validation is chance; the smoothest candidate is taken.
FEWEST_ROWS_TO_CHOOSE = 10

Form = Literal["direct", "residual"]
Scale = Literal["log1p", "raw"]


class Search(Protocol):
    """What the cross-validation needs of the settings of a predictor."""

    @property
    def target(self) -> Scale:
        """Scale that the labels are learnt on."""

    @property
    def chosen_by(self) -> Literal["target", "label"]:
        """Scale that held-out errors are measured on."""

    @property
    def gammas(self) -> tuple[float, ...]:
        """Candidates of the kernel exp(-gamma d²)."""

    @property
    def penalties(self) -> tuple[float, ...]:
        """Candidates of the cost of a deviation."""

    @property
    def tube(self) -> float:
        """Deviation that costs nothing."""

    @property
    def folds(self) -> int:
        """Parts of the real rows, each held out once."""

    @property
    def held_out_predictions(self) -> int:
        """The folds are drawn anew until there are this many."""


def to_scale(labels: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    """Return labels on the scale that they are learnt on."""
    return signed_log(labels) if scale == "log1p" else labels


def from_scale(values: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    """Invert `to_scale`."""
    return signed_exp(values) if scale == "log1p" else values


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """What machines are fitted to; n rows.

    Attributes:
        description: the crystals.
        scaling: by the real rows.
        target: labels on the scale that they are learnt on, shape (n,).
        base_column: of the description, the computed property that the residual form starts from; -1: none.
        weights: what a deviation of each row costs, relative to the others; None for all the same.
        real: the rows that are held out, scored and scaled by; the others only teach.
    """

    description: Description
    scaling: Scaling
    target: NDArray[np.float64]
    base_column: int
    weights: NDArray[np.float64] | None
    real: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.target)

    @property
    def base(self) -> NDArray[np.float64]:
        """The computed property that the residual form starts from, on its scale, shape (n,)."""
        return self.description.matrix[:, self.base_column]

    def coordinates(self, weight: float) -> NDArray[np.float32]:
        """Return the rows ready for distances, the computed properties with that weight."""
        scaling = self.scaling.mixed(self.description.blocks, weight)
        return scaling.coordinates(self.description.matrix)

    @cached_property
    def _distances(self) -> dict[float, NDArray[np.float64]]:
        return {}

    def distances(self, weight: float) -> NDArray[np.float64]:
        """Return the squared distances of all pairs, shape (n, n)."""
        if weight not in self._distances:
            if 0.0 < weight < 1.0:
                mixed = (1.0 - weight) * self.distances(0.0) + weight * self.distances(1.0)
                self._distances[weight] = mixed
            else:
                rows = self.coordinates(weight)
                self._distances[weight] = squared_distances(rows, rows)
        return self._distances[weight]

    def line(self, form: Form, rows: NDArray[np.int64]) -> tuple[float, float]:
        """Return slope and intercept of the line that `rows` give; nought in the direct form."""
        if form == "direct":
            return 0.0, 0.0
        weights = None if self.weights is None else self.weights[rows]
        return absolute_deviation_line(self.base[rows], self.target[rows], weights)

    def remainder(self, form: Form, line: tuple[float, float]) -> NDArray[np.float64]:
        """Return what the machine learns: the target, less the line in the residual form."""
        return self.target if form == "direct" else self.target - (line[0] * self.base + line[1])


def absolute_deviation_line(
    given: NDArray[np.float64], target: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> tuple[float, float]:
    """Return slope and intercept with the least absolute deviations, the slope not negative.

    A computed property that runs against the label in the training rows is no base: the line is flat then.
    """
    from sklearn.linear_model import QuantileRegressor

    fitted = QuantileRegressor(quantile=0.5, alpha=0.0, solver="highs")
    fitted.fit(given[:, None], target, sample_weight=weights)
    slope = float(fitted.coef_[0])
    return (slope, float(fitted.intercept_)) if slope > 0 else (0.0, float(np.median(target)))


@dataclass(frozen=True, eq=False)
class Choice:
    """The candidate that cross-validation took.

    Attributes:
        form: what was learnt.
        weight, gamma, penalty: the candidate.
        error: its mean absolute held-out error; NaN where nothing was held out.
        report: all candidates with their errors.
        held_out: rows of each round, and what was predicted for them on the scale of the target.
    """

    form: Form
    weight: float
    gamma: float
    penalty: float
    error: float
    report: list[dict[str, Any]]
    held_out: list[tuple[NDArray[np.int64], NDArray[np.float64]]]

    def as_report(self) -> dict[str, Any]:
        """Return the candidate as the report has it."""
        return _entry(self.form, self.weight, self.gamma, self.penalty, self.error)


def _entry(form: Form, weight: float, gamma: float, penalty: float, error: float) -> dict[str, Any]:
    entry: dict[str, Any] = {"gamma": gamma, "penalty": penalty}
    if weight:
        entry["weight"] = weight
    if form != "direct":
        entry["form"] = form
    return entry if np.isnan(error) else {**entry, "error": error}


def held_out_parts(real: NDArray[np.bool_], search: Search, seed: int) -> list[NDArray[np.int64]]:
    """Return the rows that each round of the cross-validation holds out, real ones only.

    The first `search.folds` parts hold each real row once.
    """
    rows = np.flatnonzero(real)
    folds = min(search.folds, len(rows))
    parts: list[NDArray[np.int64]] = []
    for repeat in range(-(-search.held_out_predictions // len(rows))):
        rng = np.random.default_rng(derive_seed(seed, "latent", "folds", repeat))
        parts.extend(rows[np.sort(part)] for part in np.array_split(rng.permutation(len(rows)), folds))
    return parts


def choose(
    rows: TrainingRows,
    form: Form,
    search: Search,
    weights: Sequence[float],
    parts: Sequence[NDArray[np.int64]],
) -> Choice:
    """Return the candidate of the least held-out error; of equals the smoothest one.

    Args:
        weights: candidates of what the computed properties weigh in the distance.
        parts: `held_out_parts`; none to take the smoothest candidate.
    """
    candidates = sorted(
        (weight, gamma, penalty)
        for weight in weights
        for gamma in search.gammas
        for penalty in search.penalties
    )
    if not parts:
        return Choice(form, *candidates[0], float("nan"), [], [])
    rounds = [_Round.of(rows, form, out) for out in parts]
    best: Choice | None = None
    report = []
    kernel, kernel_of = np.zeros((0, 0)), (np.nan, np.nan)
    for weight, gamma, penalty in candidates:
        if kernel_of != (weight, gamma):  # candidates are sorted, so each kernel is made once
            kernel, kernel_of = np.exp(-gamma * rows.distances(weight)), (weight, gamma)
        predicted = [one.predicted(kernel, penalty, search.tube) for one in rounds]
        error = _error(rows, search, rounds, predicted)
        report.append(_entry(form, weight, gamma, penalty, error))
        if best is None or error < best.error:
            held_out = [
                (one.out, one.restored(values)) for one, values in zip(rounds, predicted, strict=True)
            ]
            best = Choice(form, weight, gamma, penalty, error, report, held_out)
    assert best is not None  # settings have at least one candidate
    return best


def held_out_error(
    rows: TrainingRows, search: Search, held_out: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]
) -> float:
    """Return the mean absolute error of held-out predictions, on the scale that candidates are chosen by."""
    errors = []
    for out, predicted in held_out:
        if search.chosen_by == "label":
            difference = from_scale(predicted, search.target) - from_scale(rows.target[out], search.target)
        else:
            difference = predicted - rows.target[out]
        errors.append(np.abs(difference))
    return float(np.concatenate(errors).mean())


@dataclass(frozen=True, eq=False)
class _Round:
    """One round of the cross-validation: what is learnt of the rows that are kept."""

    out: NDArray[np.int64]
    kept: NDArray[np.int64]
    standardised: NDArray[np.float64]
    center: float
    width: float
    line: NDArray[np.float64]
    weights: NDArray[np.float64] | None

    @classmethod
    def of(cls, rows: TrainingRows, form: Form, out: NDArray[np.int64]) -> _Round:
        kept = np.setdiff1d(np.arange(len(rows)), out)
        # The scale is that of all real rows, so that the candidates mean the same in each round.
        line = rows.line(form, kept[rows.real[kept]] if rows.real[kept].any() else kept)
        learnt = rows.remainder(form, line)
        center, width = _center_and_width(learnt[rows.real])
        return cls(
            out=out,
            kept=kept,
            standardised=(learnt - center) / width,
            center=center,
            width=width,
            line=rows.target[out] - learnt[out],
            weights=None if rows.weights is None else rows.weights[kept],
        )

    def predicted(self, kernel: NDArray[np.float64], penalty: float, tube: float) -> NDArray[np.float64]:
        """Return predictions of the rows held out, in the units of `standardised`."""
        support, coefficients, intercept = _support_vectors(
            kernel[np.ix_(self.kept, self.kept)], self.standardised[self.kept], penalty, tube, self.weights
        )
        return kernel[np.ix_(self.out, self.kept[support])] @ coefficients + intercept

    def restored(self, predicted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return predictions on the scale of the target, as limited as a fitted machine's."""
        taught = self.standardised[self.kept]
        limited = np.clip(predicted, taught.min(), taught.max())
        return self.center + self.width * limited + self.line


def _error(
    rows: TrainingRows, search: Search, rounds: Sequence[_Round], predicted: Sequence[NDArray[np.float64]]
) -> float:
    if search.chosen_by == "label":
        held_out = [(one.out, one.restored(values)) for one, values in zip(rounds, predicted, strict=True)]
        return held_out_error(rows, search, held_out)
    errors = [
        one.width / rounds[0].width * np.abs(values - one.standardised[one.out])
        for one, values in zip(rounds, predicted, strict=True)
    ]
    return rounds[0].width * float(np.concatenate(errors).mean())


def _center_and_width(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) or 1.0


def _support_vectors(
    kernel: NDArray[np.float64],
    target: NDArray[np.float64],
    penalty: float,
    tube: float,
    weights: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """Return rows of the support vectors, their coefficients and the intercept."""
    from sklearn.svm import SVR

    machine = SVR(kernel="precomputed", C=penalty, epsilon=tube).fit(kernel, target, sample_weight=weights)
    return machine.support_, machine.dual_coef_.ravel(), float(machine.intercept_[0])


@dataclass(frozen=True, eq=False)
class Machine:
    """A fitted support vector machine.

    Attributes:
        location, scale, factor: see `Scaling`, shape (d,).
        rows: the training rows, the c columns that are not left out scaled and multiplied, shape (n, c).
        support: which of them are support vectors, shape (s,).
        coefficients: of the support vectors, in units of the target, shape (s,).
        intercept, lowest, highest: in the same units; what the machine says stays between the last two.
        gamma: of the kernel.
        base_column: of the description, the computed property that the residual form starts from; -1: none.
        slope, line_intercept: of its line; what the machine says is added to it.
    """

    location: NDArray[np.float64]
    scale: NDArray[np.float64]
    factor: NDArray[np.float64]
    rows: NDArray[np.float32]
    support: NDArray[np.int64]
    coefficients: NDArray[np.float64]
    intercept: float
    lowest: float
    highest: float
    gamma: float
    base_column: int
    slope: float
    line_intercept: float

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Machine:
        """Return the machine whose `vars` were written as arrays."""
        values: dict[str, Any] = {
            name: value if value.ndim else value.item() for name, value in arrays.items()
        }
        return cls(**values)

    def distances(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return squared distances from rows of a description to all training rows, shape (m, n)."""
        coordinates = Scaling(self.location, self.scale, self.factor).coordinates(matrix)
        return squared_distances(coordinates, self.rows)

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return predictions in units of the target for rows of a description."""
        coordinates = Scaling(self.location, self.scale, self.factor).coordinates(matrix)
        kernel = np.exp(-self.gamma * squared_distances(coordinates, self.rows[self.support]))
        said = np.clip(kernel @ self.coefficients + self.intercept, self.lowest, self.highest)
        if self.base_column < 0:
            return said
        return said + self.slope * matrix[:, self.base_column] + self.line_intercept


def constant_machine(value: float, gamma: float) -> Machine:
    """Return the machine that says one value, in units of the target, whatever it is asked."""
    nothing = np.zeros(0)
    return Machine(
        location=nothing,
        scale=nothing,
        factor=nothing,
        rows=np.zeros((0, 0), dtype=np.float32),
        support=np.zeros(0, dtype=np.int64),
        coefficients=nothing,
        intercept=value,
        lowest=value,
        highest=value,
        gamma=gamma,
        base_column=-1,
        slope=0.0,
        line_intercept=0.0,
    )


def fit_machine(rows: TrainingRows, choice: Choice, tube: float) -> Machine:
    """Return the machine of a candidate, fitted to all rows."""
    slope, line_intercept = rows.line(choice.form, np.flatnonzero(rows.real))
    learnt = rows.remainder(choice.form, (slope, line_intercept))
    center, width = _center_and_width(learnt[rows.real])
    support, coefficients, intercept = _support_vectors(
        np.exp(-choice.gamma * rows.distances(choice.weight)),
        (learnt - center) / width,
        choice.penalty,
        tube,
        rows.weights,
    )
    scaling = rows.scaling.mixed(rows.description.blocks, choice.weight)
    return Machine(
        location=scaling.location,
        scale=scaling.scale,
        factor=scaling.factor,
        rows=rows.coordinates(choice.weight),
        support=support.astype(np.int64),
        coefficients=width * coefficients,
        intercept=center + width * intercept,
        lowest=float(learnt.min()),
        highest=float(learnt.max()),
        gamma=choice.gamma,
        base_column=rows.base_column if choice.form == "residual" else -1,
        slope=slope,
        line_intercept=line_intercept,
    )
