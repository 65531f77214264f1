"""What every predictor of a crystal property offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from matwheel.core.errors import InputError
from matwheel.core.progress import Log, log_to_stderr
from matwheel.crystals.crystal import Crystal

if TYPE_CHECKING:
    from matwheel.training.checkpoints import TrainingCheckpoint


class _IsDataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


Settings = TypeVar("Settings", bound=_IsDataclass)
Part = TypeVar("Part")


class Predictor(Protocol):
    """A model of one number per crystal, in the units of the labels it was fitted to."""

    name: str

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], prepared: Any = None) -> Predictor:
        """Return an unfitted predictor: its defaults with single settings changed.

        `settings["device"]` is always allowed; a predictor that runs on the CPU only is deaf to it.
        `prepared` is what was computed before for the crystals, found by id (neighbour graphs, latent
        features); only speed depends on it.

        Raises:
            InputError: unknown setting, or a value that is not allowed.
        """

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
        """Fit to the training rows; the validation rows only choose among states of the model.

        Returns a report that JSON can hold. The same arguments give the same model, bit by bit, on
        one machine with one thread.

        Raises:
            InputError: no training rows, numbers of rows that differ, or labels that are not finite.
            FloatingPointError: the training diverged.
        """

    def predict(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return one prediction per crystal, shape (n,)."""

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file."""

    @classmethod
    def load(cls, path: str | Path, prepared: Any = None) -> Predictor:
        """Read a model written by `save`; `prepared` as in `from_settings`."""


class WeightedPredictor(Predictor, Protocol):
    """A predictor that can be told how much a training row counts, and which rows are real."""

    def fit(
        self,
        train: Sequence[Crystal],
        train_target: NDArray[np.float64],
        validation: Sequence[Crystal],
        validation_target: NDArray[np.float64],
        *,
        seed: int,
        checkpoint: TrainingCheckpoint | None = None,
        sample_weight: NDArray[np.float64] | None = None,
        real_rows: NDArray[np.bool_] | None = None,
        log: Log = log_to_stderr,
    ) -> dict[str, Any]:
        """Fit as `Predictor.fit` does.

        Args:
            sample_weight: what an error of each training row costs, shape (n,), 1 by default; rows of weight
                0 are left out.
            real_rows: which training rows are real, shape (n,), all by default. Whatever is chosen or scaled
                by training rows is so by real ones; others, such as rows with computed labels, only teach.

        Raises:
            InputError: also when weights or mask do not fit the rows, see `checked_weights`.
        """


def changed_settings(kind: type[Settings], changes: Mapping[str, Any]) -> Settings:
    """Return the defaults of the settings class `kind` with single values changed.

    The workflow tells every predictor the `device`; one whose settings have no such field runs on the CPU.

    Raises:
        InputError: unknown setting, or a value that `kind` does not allow.
    """
    if "device" not in {item.name for item in fields(kind)}:
        changes = {name: value for name, value in changes.items() if name != "device"}
    return kind(**changes)


def fitted(part: Part | None) -> Part:
    """Return a part that a predictor has once it is fitted or loaded.

    Raises:
        RuntimeError: it is neither, so `part` is None.
    """
    if part is None:
        raise RuntimeError("fit or load the predictor first")
    return part


def checked_targets(
    crystals: Sequence[Crystal], target: Sequence[float] | NDArray[np.float64], what: str
) -> NDArray[np.float64]:
    """Return labels as an array of floats, one finite number per crystal.

    Raises:
        InputError: the numbers of crystals and labels differ, or a label is not finite.
    """
    values = np.asarray(target, dtype=np.float64)
    if values.shape != (len(crystals),):
        raise InputError(f"{what}: {len(crystals)} crystals but labels of shape {values.shape}")
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise InputError(
            f"{what}: crystal {crystals[wrong[0]].id} has the label {values[wrong[0]]}; "
            "give it a finite number or remove the row"
        )
    return values


def checked_rows(
    train: Sequence[Crystal],
    train_target: Sequence[float] | NDArray[np.float64],
    validation: Sequence[Crystal],
    validation_target: Sequence[float] | NDArray[np.float64],
    *,
    smallest: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return checked training and validation labels.

    Raises:
        InputError: as `checked_targets`, or fewer than `smallest` training rows.
    """
    if len(train) < smallest:
        raise InputError(
            f"{len(train)} training rows, at least {smallest} are needed; enlarge the training part"
        )
    return checked_targets(train, train_target, "training rows"), checked_targets(
        validation, validation_target, "validation rows"
    )


def checked_weights(
    rows: int,
    sample_weight: Sequence[float] | NDArray[np.float64] | None,
    real_rows: Sequence[bool] | NDArray[np.bool_] | None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return weights and the mask of real rows of so many training rows, both of shape (rows,).

    Raises:
        InputError: another shape, a weight that is negative or not finite, or no real row that counts.
    """
    weights = np.ones(rows) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    real = np.ones(rows, dtype=bool) if real_rows is None else np.asarray(real_rows, dtype=bool)
    if weights.shape != (rows,) or real.shape != (rows,):
        raise InputError(
            f"{rows} training rows but weights of shape {weights.shape} and a mask of real rows of shape "
            f"{real.shape}"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise InputError("a weight of a training row is negative or not finite; give numbers from 0")
    if not (real & (weights > 0)).any():
        raise InputError("no real training row with a weight above 0; without real rows give no mask of them")
    return weights, real
