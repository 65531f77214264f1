"""Support vector regression on what a universal potential has already learned of a crystal.

A few hundred labels teach a graph network little chemistry; a potential fitted to millions of calculations
has it in the features of its atoms (`latent_features`). What is left to learn is a smooth function of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from matwheel.core.archives import write_arrays
from matwheel.core.errors import InputError
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.seeds import derive_seed
from matwheel.core.settings import Folds, NotNegative, Numbers, settings
from matwheel.crystals.crystal import Crystal
from matwheel.predictors.interface import changed_settings, checked_rows, fitted
from matwheel.predictors.latent_features import (
    BLOCKS,
    DEFAULT_POTENTIAL,
    LatentFeatures,
    LatentModel,
    block_columns,
    concatenate_features,
    load_features,
)
from matwheel.training.label_scale import signed_exp, signed_log

if TYPE_CHECKING:
    from matwheel.training.checkpoints import TrainingCheckpoint

# Below this many rows the choice by cross-validation is chance; the smoothest candidate is taken.
_FEWEST_ROWS_TO_CHOOSE = 10
# Features of crystals with atoms far too close reach 1e30; those of real crystals stay within 8.
_LARGEST_SCALED_FEATURE = 10.0
_TAIL_PERCENT = 1.0
_REASONS_SHOWN = 20


@settings
class LatentSettings:
    """Settings of the regression."""

    potential: Annotated[str, Field(min_length=1)] = DEFAULT_POTENTIAL
    """Whose features: 7net-0 or 7net-l3i5 (`matwheel.potentials.potentials`)."""
    target: Literal["log1p", "raw"] = "log1p"
    """`log1p` to learn log(1 + y), see `matwheel.training.label_scale`."""
    spread_weight: NotNegative = 0.1
    """What the spread over the atoms weighs in the distance of two crystals, as a block whatever its number
    of columns; the mean over the atoms weighs 1.
    """
    maximum_weight: NotNegative = 0.1
    """What the maximum over the atoms weighs there."""
    volume_weight: NotNegative = 1.0
    """What the logarithm of the volume per atom weighs there."""
    gammas: Numbers = (0.01, 0.03, 0.1, 0.3)
    """Candidates of the kernel exp(-gamma d²), where d² is the mean squared difference of two crystals, 2 for
    the average pair.
    """
    penalties: Numbers = (1.0, 3.0, 10.0, 30.0, 100.0)
    """Candidates of the cost C of a deviation, for a target of standard deviation 1."""
    tube: NotNegative = 0.03
    """Deviation that costs nothing, in standard deviations of the target."""
    folds: Folds = 5
    """Of the cross-validation that chooses among the candidates."""
    held_out_predictions: Annotated[int, Field(ge=1, le=1_000_000)] = 250
    """The folds are drawn anew until there are this many, for small sets."""

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each block of features."""
        return dict(
            zip(BLOCKS, (1.0, self.spread_weight, self.maximum_weight, self.volume_weight), strict=True)
        )


class LatentPredictor:
    """Support vector regression on latent features; the validation rows are not used.

    Crystals that the potential cannot describe are left out of the training, and the median of the training
    labels is predicted for them.
    """

    name = "latent"

    def __init__(
        self, settings: LatentSettings | None = None, prepared: LatentFeatures | None = None
    ) -> None:
        """Return an unfitted predictor; `prepared` are features computed before, found by crystal id.

        Raises:
            InputError: the features are of another potential than the settings'.
        """
        self.settings = settings or LatentSettings()
        if prepared is not None and prepared.potential != self.settings.potential:
            raise InputError(
                f"latent features of potential {prepared.potential!r} were prepared, the predictor's setting "
                f"is {self.settings.potential!r}; compute them with that one"
            )
        self._prepared = prepared
        self._model: LatentModel | None = None
        self._machine: _Machine | None = None
        self._weights_sha256 = ""

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], prepared: LatentFeatures | None = None
    ) -> LatentPredictor:
        """Return an unfitted predictor with single settings changed.

        `settings["device"]` is accepted and changes nothing: features computed on a GPU would differ in their
        last digits from those of the CPU, where a crystal costs 0.02 s.

        Raises:
            InputError: unknown setting, a value that is not allowed, or features of another potential.
        """
        return cls(changed_settings(LatentSettings, settings), prepared)

    @staticmethod
    def read_prepared(paths: Sequence[str | Path]) -> LatentFeatures:
        """Read the latent features of some tables, one file each."""
        return concatenate_features([load_features(path) for path in paths])

    def features_of(self, crystals: Sequence[Crystal], log: Log = log_to_stderr) -> LatentFeatures:
        """Return the features of `crystals`, in order, from the ones given or newly computed.

        Raises:
            InputError: given features are of another crystal than that of the same id, or those at hand are
                of other weights of the potential than the predictor was fitted with.
        """
        known = self._prepared
        missing = [crystal for crystal in crystals if known is None or crystal.id not in known]
        if missing or known is None:
            if self._model is None:
                self._model = LatentModel(self.settings.potential)
            computed = self._model.features_of(missing, log)
            if known is None or len(missing) == len(crystals):
                return self._of_fitted_weights(computed)
            known = concatenate_features([known, computed])
        found = known.select([crystal.id for crystal in crystals])
        volumes = found.matrix[:, block_columns(found.matrix.shape[1])["volume"]].ravel()
        for crystal, atoms, volume in zip(crystals, found.atom_counts, volumes, strict=True):
            _check_same_crystal(crystal, int(atoms), float(volume))
        return self._of_fitted_weights(found)

    def fit(
        self,
        train: Sequence[Crystal],
        train_target: NDArray[np.float64],
        validation: Sequence[Crystal],
        validation_target: NDArray[np.float64],
        *,
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        log: Log = log_to_stderr,
    ) -> dict[str, Any]:
        """Choose gamma and penalty by cross-validation inside the training rows, then fit to all of them.

        See `interface.Predictor.fit`. The report holds the candidates with their errors and the choice.
        """
        labels, _ = checked_rows(train, train_target, validation, validation_target)
        self._weights_sha256 = ""
        features = self.features_of(train, log)
        usable = np.array([not reason for reason in features.reasons])
        if not usable.all():
            log(f"{(~usable).sum()} of {len(labels)} training crystals have no latent features; left out")
        self._machine, choice = _fitted_machine(
            self.settings, features.matrix[usable], labels[usable], float(np.median(labels)), seed, log
        )
        self._weights_sha256 = features.weights_sha256
        return {
            "settings": asdict(self.settings),
            "training_rows": len(labels),
            "usable_rows": int(usable.sum()),
            "left_out": [
                {"id": name, "reason": reason}
                for name, reason in zip(features.ids, features.reasons, strict=True)
                if reason
            ][:_REASONS_SHOWN],
            "weights_sha256": features.weights_sha256,
            "seed": seed,
            **choice,
        }

    def predict(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return one prediction per crystal, shape (n,), within the range of the training labels.

        Raises:
            RuntimeError: the predictor was neither fitted nor loaded.
        """
        machine = fitted(self._machine)
        if not len(crystals):
            return np.zeros(0)
        features = self.features_of(crystals)
        usable = np.array([not reason for reason in features.reasons])
        predicted = np.full(len(crystals), machine.fallback)
        if usable.any():
            scaled = machine.predict(features.matrix[usable])
            predicted[usable] = signed_exp(scaled) if self.settings.target == "log1p" else scaled
        return predicted

    def save(self, path: str | Path) -> None:
        """Write the support vectors and their coefficients, without pickled objects."""
        machine = vars(fitted(self._machine))
        settings = json.dumps(asdict(self.settings))
        write_arrays(path, settings=settings, weights_sha256=self._weights_sha256, **machine)

    @classmethod
    def load(cls, path: str | Path, prepared: LatentFeatures | None = None) -> LatentPredictor:
        """Read a model written by `save`; `prepared` as for a new one."""
        with np.load(path, allow_pickle=False) as saved:
            predictor = cls(LatentSettings(**json.loads(str(saved["settings"]))), prepared)
            predictor._weights_sha256 = str(saved["weights_sha256"])
            values = {item.name: saved[item.name] for item in fields(_Machine)}
        predictor._machine = _Machine(
            **{name: value if value.ndim else value.item() for name, value in values.items()}
        )
        return predictor

    def _of_fitted_weights(self, features: LatentFeatures) -> LatentFeatures:
        if self._weights_sha256 and features.weights_sha256 != self._weights_sha256:
            raise InputError(
                f"the predictor was fitted with weights {self._weights_sha256[:12]} of {features.potential}, "
                f"the features are of weights {features.weights_sha256[:12]}; train it again"
            )
        return features


def _check_same_crystal(crystal: Crystal, atoms: int, volume_angstrom3_per_atom: float) -> None:
    """Refuse features found by id that are of other atoms; NaN stands for no features.

    Raises:
        InputError: another number of atoms or another volume.
    """
    here = len(crystal.species)
    if atoms == here and np.isnan(volume_angstrom3_per_atom):
        return
    volume = crystal.volume_angstrom3 / max(1, here)
    if atoms != here or not abs(volume_angstrom3_per_atom - volume) <= 1e-5 * volume:
        raise InputError(
            f"crystal {crystal.id} has {here} atoms of {volume:.6g} Å³, its latent features are of {atoms} "
            f"atoms of {volume_angstrom3_per_atom:.6g} Å³: two crystals share an id or the features are of "
            "another table"
        )


@dataclass(frozen=True, eq=False)
class _Machine:
    """A fitted support vector machine.

    Attributes:
        location, scale: of each feature over the training rows, shape (d,).
        factor: of each scaled feature, for the weight of its block, shape (d,); 0 leaves it out.
        vectors: support vectors, the c features that are not left out scaled and multiplied, shape (s, c).
        coefficients: of the support vectors, in units of the (logarithmic) target, shape (s,).
        intercept, lowest, highest: in the same units; predictions stay between the last two.
        gamma: of the kernel.
        fallback: prediction for crystals without features, in units of the labels.
    """

    location: NDArray[np.float64]
    scale: NDArray[np.float64]
    factor: NDArray[np.float64]
    vectors: NDArray[np.float32]
    coefficients: NDArray[np.float64]
    intercept: float
    lowest: float
    highest: float
    gamma: float
    fallback: float

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return predictions in units of the (logarithmic) target for rows of a feature matrix."""
        scaled = _scaled(matrix, self.location, self.scale, self.factor)
        kernel = np.exp(-self.gamma * _squared_distances(scaled, self.vectors))
        return np.clip(kernel @ self.coefficients + self.intercept, self.lowest, self.highest)


def _fitted_machine(
    settings: LatentSettings,
    matrix: NDArray[np.float32],
    labels: NDArray[np.float64],
    fallback: float,
    seed: int,
    log: Log,
) -> tuple[_Machine, dict[str, Any]]:
    """Return the machine fitted to the rows that have features, and what the report says of the choice."""
    if not len(labels):
        return _constant(settings, matrix.shape[1], fallback), {"chosen": None, "cross_validation": []}
    target = signed_log(labels) if settings.target == "log1p" else labels
    center, width = float(target.mean()), float(target.std()) or 1.0
    standardised = (target - center) / width
    location, scale, factor = _scaling(matrix, settings.weights)
    scaled = _scaled(matrix, location, scale, factor)
    distances = _squared_distances(scaled, scaled)
    chosen, report = _chosen(settings, distances, standardised, width, seed, log)
    support, coefficients, intercept = _support_vectors(
        np.exp(-chosen["gamma"] * distances), standardised, chosen["penalty"], settings.tube
    )
    machine = _Machine(
        location=location,
        scale=scale,
        factor=factor,
        vectors=scaled[support],
        coefficients=width * coefficients,
        intercept=center + width * intercept,
        lowest=float(target.min()),
        highest=float(target.max()),
        gamma=chosen["gamma"],
        fallback=fallback,
    )
    return machine, {"chosen": chosen, "cross_validation": report}


def _chosen(
    settings: LatentSettings,
    distances: NDArray[np.float64],
    target: NDArray[np.float64],
    width: float,
    seed: int,
    log: Log,
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Return gamma and penalty, and the errors of all candidates; none where there are too few rows.

    Args:
        distances: squared, of all pairs of training rows, shape (n, n).
        target: standardised, shape (n,).
        width: standard deviation of the target before that.
    """
    # From the smoothest to the most flexible; the first of equals is taken.
    candidates = sorted((gamma, penalty) for gamma in settings.gammas for penalty in settings.penalties)
    if len(target) < _FEWEST_ROWS_TO_CHOOSE or len(candidates) == 1:
        return dict(zip(("gamma", "penalty"), candidates[0], strict=True)), []
    held_out = _held_out_parts(len(target), settings, seed)
    report = []
    for gamma, penalty in candidates:
        errors = _held_out_errors(np.exp(-gamma * distances), target, penalty, settings.tube, held_out)
        report.append({"gamma": gamma, "penalty": penalty, "error": width * float(errors.mean())})
    chosen = min(report, key=lambda row: row["error"])
    log(
        f"cross-validation of {len(candidates)} candidates: gamma {chosen['gamma']:g}, penalty "
        f"{chosen['penalty']:g}, mean absolute error {chosen['error']:.4g} on the target's scale"
    )
    return chosen, report


def _constant(settings: LatentSettings, columns: int, value: float) -> _Machine:
    """Return the machine that predicts one value, in units of the labels, for every crystal."""
    at_value = float(signed_log(value)) if settings.target == "log1p" else value
    return _Machine(
        location=np.zeros(columns),
        scale=np.ones(columns),
        factor=np.zeros(columns),
        vectors=np.zeros((0, 0), dtype=np.float32),
        coefficients=np.zeros(0),
        intercept=at_value,
        lowest=at_value,
        highest=at_value,
        gamma=settings.gammas[0],
        fallback=value,
    )


def _scaling(
    matrix: NDArray[np.float32], weights: Mapping[str, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return location, scale and factor of each feature; see `_Machine`.

    With them the mean squared distance of two training rows is 2, to which each block contributes by its
    weight. The tails beyond the first and the last percent count as their ends: one crystal with atoms far
    too close must not set the scale for all others.
    """
    values = _with_log_volume(matrix)
    values = np.clip(values, *np.percentile(values, (_TAIL_PERCENT, 100.0 - _TAIL_PERCENT), axis=0))
    location, scale = values.mean(axis=0), values.std(axis=0)
    # A feature that varies no more than the potential's single precision says nothing.
    varies = scale > 1e-6 + 1e-5 * np.abs(location)
    factor = np.zeros_like(scale)
    for name, columns in block_columns(matrix.shape[1]).items():
        share = weights[name] / sum(weights.values())
        factor[columns] = varies[columns] * np.sqrt(share / max(1, int(np.count_nonzero(varies[columns]))))
    return location, np.where(varies, scale, 1.0), factor


def _with_log_volume(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    values = matrix.astype(np.float64)
    columns = block_columns(matrix.shape[1])["volume"]
    values[:, columns] = np.log(values[:, columns])
    return values


def _scaled(
    matrix: NDArray[np.float32],
    location: NDArray[np.float64],
    scale: NDArray[np.float64],
    factor: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the features that are not left out, ready for distances."""
    used = np.flatnonzero(factor)
    values = (_with_log_volume(matrix)[:, used] - location[used]) / scale[used]
    limited = np.clip(values, -_LARGEST_SCALED_FEATURE, _LARGEST_SCALED_FEATURE)
    return (limited * factor[used]).astype(np.float32)


def _squared_distances(first: NDArray, second: NDArray) -> NDArray[np.float64]:
    """Return squared Euclidean distances of all pairs of rows, shape (n, m)."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    lengths = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None, :]
    return np.maximum(lengths - 2.0 * (first @ second.T), 0.0)


def _support_vectors(
    kernel: NDArray[np.float64], target: NDArray[np.float64], penalty: float, tube: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """Return rows of the support vectors, their coefficients and the intercept."""
    from sklearn.svm import SVR

    machine = SVR(kernel="precomputed", C=penalty, epsilon=tube).fit(kernel, target)
    return machine.support_, machine.dual_coef_.ravel(), float(machine.intercept_[0])


def _held_out_parts(rows: int, settings: LatentSettings, seed: int) -> list[NDArray[np.int64]]:
    """Return the rows that each round of the cross-validation holds out."""
    folds = min(settings.folds, rows)
    parts: list[NDArray[np.int64]] = []
    for repeat in range(-(-settings.held_out_predictions // rows)):
        rng = np.random.default_rng(derive_seed(seed, "latent", "folds", repeat))
        parts.extend(np.sort(part) for part in np.array_split(rng.permutation(rows), folds))
    return parts


def _held_out_errors(
    kernel: NDArray[np.float64],
    target: NDArray[np.float64],
    penalty: float,
    tube: float,
    held_out: Sequence[NDArray[np.int64]],
) -> NDArray[np.float64]:
    """Return the absolute errors of all held-out rows, for a target of standard deviation 1."""
    errors = []
    for out in held_out:
        kept = np.setdiff1d(np.arange(len(target)), out)
        support, coefficients, intercept = _support_vectors(
            kernel[np.ix_(kept, kept)], target[kept], penalty, tube
        )
        predicted = kernel[np.ix_(out, kept[support])] @ coefficients + intercept
        errors.append(np.abs(predicted - target[out]))
    return np.concatenate(errors)
