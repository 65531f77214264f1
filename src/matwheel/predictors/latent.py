"""Support vector regression on what a universal potential has already learned of a crystal.

A few hundred labels teach a graph network little chemistry; a potential fitted to millions of calculations
has it in the features of its atoms (`latent_features`). What is left to learn is a smooth function of them,
and where a property of the same kind was computed before, of that too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from matwheel.core.archives import write_arrays
from matwheel.core.errors import InputError
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.settings import DISTINCT, Folds, NotNegative, Numbers, WrongSetting, settings
from matwheel.crystals.crystal import Crystal
from matwheel.predictors.computed_properties import PropertyTable, read_properties
from matwheel.predictors.interface import changed_settings, checked_rows, checked_weights, fitted
from matwheel.predictors.intervals import Calibration, Intervals, difficulty_of, farthest_of
from matwheel.predictors.latent_features import (
    BLOCKS,
    DEFAULT_POTENTIAL,
    LatentFeatures,
    LatentModel,
    block_columns,
    concatenate_features,
    load_features,
)
from matwheel.predictors.latent_space import are_layers, described, layer_sizes, positive_scale, scaling_of
from matwheel.predictors.support_vectors import (
    FEWEST_ROWS_TO_CHOOSE,
    Choice,
    Form,
    Machine,
    TrainingRows,
    choose,
    constant_machine,
    fit_machine,
    from_scale,
    held_out_error,
    held_out_parts,
    to_scale,
)

if TYPE_CHECKING:
    from matwheel.training.checkpoints import TrainingCheckpoint

_REASONS_SHOWN = 20

Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], Field(strict=False), DISTINCT]


@settings
class LatentSettings:
    """Settings of the regression."""

    potentials: Annotated[tuple[Name, ...], Field(min_length=1, strict=False), DISTINCT] = (
        DEFAULT_POTENTIAL,
    )
    """Whose features: 7net-0, 7net-l3i5 or both (`matwheel.potentials.potentials`); squared distances are
    averaged over them.
    """
    size: Literal["auto", "volume", "layer"] = "auto"
    """What the size of a crystal is measured by: its volume per atom or, of a layer, area per atom and
    thickness, which do not depend on the vacuum in the cell. auto takes these where the training crystals are
    layers, all but two in a hundred.
    """
    properties: Names = ()
    """Computed properties, columns of prepared tables, that are a block of the distance of their own. A
    crystal without one of them is predicted by a machine that knows none of them.
    """
    positive_properties: Names = ()
    """Those of them taken as log(1 + max(value, 1))."""
    base_property: Name | None = None
    """That of them which stands for the label, with which the residual form exists: a line between its scale
    and that of the label, and a machine that learns what the line leaves.
    """
    forms: Annotated[
        tuple[Literal["direct", "residual", "mean"], ...], Field(min_length=1, strict=False), DISTINCT
    ] = ("direct", "residual", "mean")
    """Candidates with a base property: the label, what the line leaves, the mean of both predictions."""
    property_weights: Annotated[
        tuple[Annotated[float, Field(ge=0, lt=1)], ...], Field(min_length=1, strict=False)
    ] = (0.0, 0.1, 0.2, 0.35, 0.5)
    """Candidates of what the computed properties weigh in the squared distance; the rest has what is left
    of 1.
    """
    target: Literal["log1p", "raw"] = "log1p"
    """`log1p` to learn log(1 + y), see `matwheel.training.label_scale`."""
    chosen_by: Literal["target", "label"] = "target"
    """Scale that the held-out errors are measured on which choose among candidates: that of the target, or
    the units of the label.
    """
    spread_weight: NotNegative = 0.1
    """What the spread over the atoms weighs in the distance of two crystals, as a block whatever its number
    of columns; the mean over the atoms weighs 1.
    """
    maximum_weight: NotNegative = 0.1
    """What the maximum over the atoms weighs there."""
    volume_weight: NotNegative = 1.0
    """What the logarithm of the volume per atom weighs there, or area and thickness of layers."""
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

    def __post_init__(self) -> None:
        for at in ("positive_properties", "base_property"):
            names = getattr(self, at)
            unknown = [
                name
                for name in ([names] if isinstance(names, str) else names or [])
                if name not in self.properties
            ]
            if unknown:
                raise WrongSetting(f"name {unknown[0]!r} in properties too", at, self.properties)

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each block of features."""
        return dict(
            zip(BLOCKS, (1.0, self.spread_weight, self.maximum_weight, self.volume_weight), strict=True)
        )


@dataclass(frozen=True, eq=False)
class PreparedLatent:
    """What was computed before for crystals, found by their ids.

    Attributes:
        features: latent features by potential.
        properties: computed properties; None where there are none.
    """

    features: Mapping[str, LatentFeatures] = field(default_factory=dict)
    properties: PropertyTable | None = None

    @classmethod
    def of(cls, prepared: PreparedLatent | LatentFeatures | None) -> PreparedLatent:
        """Return the features of one potential, or nothing, in this form."""
        if isinstance(prepared, PreparedLatent):
            return prepared
        return cls() if prepared is None else cls({prepared.potential: prepared})


@dataclass(frozen=True, eq=False)
class _Team:
    """Machines whose predictions are averaged, and what is known of their errors (None: too few rows)."""

    machines: tuple[Machine, ...]
    calibration: Calibration | None

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return predictions in units of the target."""
        said = [machine.predict(matrix) for machine in self.machines]
        return said[0] if len(said) == 1 else np.mean(said, axis=0)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """All that was learnt.

    Attributes:
        layers: whether size is area and thickness.
        labels: of the real training rows, sorted; what is known of a crystal without features.
        plain: knows no computed property.
        informed: knows the computed properties; None without.
    """

    layers: bool
    labels: NDArray[np.float64]
    plain: _Team
    informed: _Team | None


class LatentPredictor:
    """Support vector regression on latent features; the validation rows are not used.

    Crystals that a potential cannot describe are left out of the training, and the median of the training
    labels is predicted for them.
    """

    name = "latent"

    def __init__(
        self,
        settings: LatentSettings | None = None,
        prepared: PreparedLatent | LatentFeatures | None = None,
    ) -> None:
        """Return an unfitted predictor; `prepared` was computed before and is found by crystal id.

        Raises:
            InputError: the features are of another potential than the settings', or a computed property that
                the settings name is not there.
        """
        self.settings = settings or LatentSettings()
        self._prepared = PreparedLatent.of(prepared)
        for potential in self._prepared.features:
            if potential not in self.settings.potentials:
                raise InputError(
                    f"latent features of potential {potential!r} were prepared, the predictor's setting is "
                    f"{', '.join(self.settings.potentials)}; compute them with that one"
                )
        self._models: dict[str, LatentModel] = {}
        self._fitted: _Fitted | None = None
        self._weights_sha256: dict[str, str] = {}

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], prepared: PreparedLatent | LatentFeatures | None = None
    ) -> LatentPredictor:
        """Return an unfitted predictor with single settings changed.

        `settings["device"]` is accepted and changes nothing: features computed on a GPU would differ in their
        last digits from those of the CPU, where a crystal costs 0.02 s.

        Raises:
            InputError: unknown setting, a value that is not allowed, or features of another potential.
        """
        return cls(changed_settings(LatentSettings, settings), prepared)

    @staticmethod
    def read_prepared(paths: Sequence[str | Path]) -> PreparedLatent:
        """Read latent features, and computed properties of Parquet tables, of some tables of crystals."""
        tables = [path for path in paths if Path(path).suffix == ".parquet"]
        parts: dict[str, list[LatentFeatures]] = {}
        for path in paths:
            if path not in tables:
                part = load_features(path)
                parts.setdefault(part.potential, []).append(part)
        return PreparedLatent(
            {potential: concatenate_features(some) for potential, some in parts.items()},
            read_properties(tables) if tables else None,
        )

    def features_of(
        self, crystals: Sequence[Crystal], potential: str, log: Log = log_to_stderr
    ) -> LatentFeatures:
        """Return the features of `crystals` by a potential, in order, from the ones given or newly computed.

        Raises:
            InputError: given features are of another crystal than that of the same id, or those at hand are
                of other weights of the potential than the predictor was fitted with.
        """
        known = self._prepared.features.get(potential)
        missing = [crystal for crystal in crystals if known is None or crystal.id not in known]
        if missing or known is None:
            if potential not in self._models:
                self._models[potential] = LatentModel(potential)
            computed = self._models[potential].features_of(missing, log)
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
        sample_weight: NDArray[np.float64] | None = None,
        real_rows: NDArray[np.bool_] | None = None,
        log: Log = log_to_stderr,
    ) -> dict[str, Any]:
        """Choose by cross-validation inside the training rows, then fit to all of them.

        See `interface.WeightedPredictor.fit`. The report holds candidates with their errors and the choice.
        """
        labels, _ = checked_rows(train, train_target, validation, validation_target)
        weights, real = checked_weights(len(labels), sample_weight, real_rows)
        self._weights_sha256 = {}
        features = [self.features_of(train, potential, log) for potential in self.settings.potentials]
        reasons = _first_reasons(features)
        usable = np.array([not reason for reason in reasons])
        if not usable.all():
            log(f"{(~usable).sum()} of {len(labels)} training crystals have no latent features; left out")
        rows = np.flatnonzero(usable & (weights > 0))
        if not real[rows].any():  # no real row can be described: all that can teach are scored
            real = np.ones_like(real)
        layers, team, choice = self._fit_plain(train, features, rows, labels, weights, real, seed, log)
        informed, choice_of_informed = self._fit_informed(
            train, features, rows, labels, weights, real, layers, seed, log
        )
        self._fitted = _Fitted(layers, np.sort(labels[real & (weights > 0)]), team, informed)
        self._weights_sha256 = {one.potential: one.weights_sha256 for one in features}
        return {
            "settings": asdict(self.settings),
            "training_rows": len(labels),
            "usable_rows": int(usable.sum()),
            "real_rows": int(real.sum()),
            "left_out": [
                {"id": crystal.id, "reason": reason}
                for crystal, reason in zip(train, reasons, strict=True)
                if reason
            ][:_REASONS_SHOWN],
            "weights_sha256": self._weights_sha256,
            "size": "layer" if layers else "volume",
            "seed": seed,
            **choice,
            **choice_of_informed,
        }

    def predict(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return one prediction per crystal, shape (n,), within the range of the training labels.

        In the residual form it is what is left by the line that stays within the range of the training rows.

        Raises:
            RuntimeError: the predictor was neither fitted nor loaded.
        """
        learnt = fitted(self._fitted)
        predicted = np.full(len(crystals), np.median(learnt.labels))
        for team, rows, matrix in self._asked(crystals):
            predicted[rows] = from_scale(team.predict(matrix), self.settings.target)
        return predicted

    def predict_intervals(self, crystals: Sequence[Crystal], coverage: float = 0.9) -> Intervals:
        """Return predictions with intervals that hold the label with probability `coverage`.

        See `intervals`. The interval of a crystal without features is that of the training labels.

        Raises:
            RuntimeError: the predictor was neither fitted nor loaded.
            InputError: the coverage is not between 0 and 1.
        """
        if not 0.0 < coverage < 1.0:
            raise InputError(f"coverage is {coverage}; give a number between 0 and 1")
        learnt = fitted(self._fitted)
        tail = 50.0 * (1.0 - coverage)
        count = len(crystals)
        predicted = np.full(count, np.median(learnt.labels))
        ends = np.tile(np.percentile(learnt.labels, (tail, 100.0 - tail)), (count, 1))
        nearest, unlike = np.full(count, np.nan), np.ones(count, dtype=bool)
        for team, rows, matrix in self._asked(crystals):
            said = team.predict(matrix)
            predicted[rows] = from_scale(said, self.settings.target)
            if team.calibration is None:
                ends[rows] = -np.inf, np.inf
                continue
            distances = team.machines[0].distances(matrix)
            nearest[rows] = np.sqrt(distances.min(axis=1))
            unlike[rows] = nearest[rows] > team.calibration.farthest
            for column, values in enumerate(team.calibration.interval(said, distances, coverage)):
                ends[rows, column] = from_scale(values, self.settings.target)
        return Intervals(predicted, ends[:, 0], ends[:, 1], unlike, nearest)

    def save(self, path: str | Path) -> None:
        """Write the machines as arrays, without pickled objects."""
        learnt = fitted(self._fitted)
        arrays: dict[str, Any] = {"layers": learnt.layers, "labels": learnt.labels}
        for name, team in (("plain", learnt.plain), ("informed", learnt.informed)):
            for place, machine in enumerate(team.machines if team else ()):
                arrays |= {f"{name}.{place}.{key}": value for key, value in vars(machine).items()}
            if team and team.calibration:
                arrays |= {
                    f"{name}.calibration.{key}": value for key, value in vars(team.calibration).items()
                }
        write_arrays(
            path,
            settings=json.dumps(asdict(self.settings)),
            weights_sha256=json.dumps(self._weights_sha256),
            **arrays,
        )

    @classmethod
    def load(
        cls, path: str | Path, prepared: PreparedLatent | LatentFeatures | None = None
    ) -> LatentPredictor:
        """Read a model written by `save`; `prepared` as for a new one."""
        with np.load(path, allow_pickle=False) as saved:
            predictor = cls(LatentSettings(**json.loads(str(saved["settings"]))), prepared)
            predictor._weights_sha256 = json.loads(str(saved["weights_sha256"]))
            arrays = {name: saved[name] for name in saved.files}
        plain = _team_of_arrays(arrays, "plain")
        assert plain is not None  # every saved model has it
        predictor._fitted = _Fitted(
            bool(arrays["layers"]), arrays["labels"], plain, _team_of_arrays(arrays, "informed")
        )
        return predictor

    def _fit_plain(
        self,
        train: Sequence[Crystal],
        features: Sequence[LatentFeatures],
        rows: NDArray[np.int64],
        labels: NDArray[np.float64],
        weights: NDArray[np.float64],
        real: NDArray[np.bool_],
        seed: int,
        log: Log,
    ) -> tuple[bool, _Team, dict[str, Any]]:
        """Return whether the crystals are layers, the machine without computed properties, and its choice."""
        if not len(rows):
            value = to_scale(np.median(labels[real], keepdims=True), self.settings.target)
            machine = constant_machine(float(value[0]), self.settings.gammas[0])
            return False, _Team((machine,), None), {"chosen": None, "cross_validation": []}
        sizes = layer_sizes([train[row] for row in rows]) if self.settings.size != "volume" else None
        layers = sizes is not None and (self.settings.size == "layer" or are_layers(sizes))
        problem = self._training_rows(features, rows, labels, weights, real, sizes if layers else None, None)
        parts = _parts(problem, self.settings, seed)
        choice = choose(problem, "direct", self.settings, (0.0,), parts)
        _log_choice(choice, log)
        machine = fit_machine(problem, choice, self.settings.tube)
        calibration = _calibration(problem, choice, choice.held_out, self.settings.folds)
        # A single candidate is no choice; its held-out errors serve the intervals only.
        alone = len(self.settings.gammas) * len(self.settings.penalties) == 1
        chosen = {"gamma": choice.gamma, "penalty": choice.penalty} if alone else choice.as_report()
        report = {"chosen": chosen, "cross_validation": [] if alone else choice.report}
        return layers, _Team((machine,), calibration), report

    def _fit_informed(
        self,
        train: Sequence[Crystal],
        features: Sequence[LatentFeatures],
        rows: NDArray[np.int64],
        labels: NDArray[np.float64],
        weights: NDArray[np.float64],
        real: NDArray[np.bool_],
        layers: bool,
        seed: int,
        log: Log,
    ) -> tuple[_Team | None, dict[str, Any]]:
        """Return the machines that know the computed properties, and what the report says of them."""
        if not self.settings.properties:
            return None, {}
        values = self._properties_of(train)
        known = np.asarray(np.isfinite(values).all(axis=1))
        without = [train[row].id for row in rows if not known[row]]
        report: dict[str, Any] = {"without_properties": len(without), "ids_without": without[:_REASONS_SHOWN]}
        if without:
            log(f"{len(without)} of {len(rows)} training crystals have not all of the computed properties")
        rows = rows[known[rows]]
        if np.count_nonzero(real[rows]) < FEWEST_ROWS_TO_CHOOSE:
            log("too few training crystals have the computed properties; they are not used")
            return None, {**report, "form": None}
        sizes = layer_sizes([train[row] for row in rows]) if layers else None
        problem = self._training_rows(features, rows, labels, weights, real, sizes, values[rows])
        parts = _parts(problem, self.settings, seed)
        choices: dict[Form, Choice] = {}
        forms: tuple[Form, ...] = ("direct", "residual") if self.settings.base_property else ("direct",)
        for form in forms:
            if form in self.settings.forms or "mean" in self.settings.forms or len(forms) == 1:
                choices[form] = choose(problem, form, self.settings, self.settings.property_weights, parts)
                _log_choice(choices[form], log)
        best, members, held_out = _best_form(problem, self.settings, choices)
        machines = tuple(fit_machine(problem, choices[one], self.settings.tube) for one in members)
        report |= {"form": best, "forms": [choice.as_report() for choice in choices.values()]}
        return _Team(
            machines, _calibration(problem, choices[members[0]], held_out, self.settings.folds)
        ), report

    def _training_rows(
        self,
        features: Sequence[LatentFeatures],
        rows: NDArray[np.int64],
        labels: NDArray[np.float64],
        weights: NDArray[np.float64],
        real: NDArray[np.bool_],
        sizes: NDArray[np.float64] | None,
        properties: NDArray[np.float64] | None,
    ) -> TrainingRows:
        description = described(features, rows, sizes, properties)
        scored = real[rows]
        base_column = -1
        if properties is not None and self.settings.base_property:
            place = self.settings.properties.index(self.settings.base_property)
            base_column = description.matrix.shape[1] - properties.shape[1] + place
        return TrainingRows(
            description=description,
            scaling=scaling_of(description, scored, self.settings.weights),
            target=to_scale(labels[rows], self.settings.target),
            base_column=base_column,
            weights=None if (weights[rows] == 1.0).all() else weights[rows],
            real=scored,
        )

    def _asked(
        self, crystals: Sequence[Crystal]
    ) -> list[tuple[_Team, NDArray[np.int64], NDArray[np.float64]]]:
        """Return which machines are to say what: each with rows of `crystals` and their descriptions."""
        if not len(crystals):
            return []
        learnt = fitted(self._fitted)
        features = [self.features_of(crystals, potential) for potential in self.settings.potentials]
        usable = np.array([not reason for reason in _first_reasons(features)])
        values = self._properties_of(crystals) if learnt.informed else np.zeros((len(crystals), 0))
        known = usable & np.asarray(np.isfinite(values).all(axis=1)) & (learnt.informed is not None)
        asked = []
        for team, which, properties in (
            (learnt.informed, known, True),
            (learnt.plain, usable & ~known, False),
        ):
            rows = np.flatnonzero(which).astype(np.int64)
            if team is not None and len(rows):
                sizes = layer_sizes([crystals[int(row)] for row in rows]) if learnt.layers else None
                matrix = described(features, rows, sizes, values[rows] if properties else None).matrix
                asked.append((team, rows, matrix))
        if learnt.informed and (usable & ~known).any():
            names = [crystals[int(row)].id for row in np.flatnonzero(usable & ~known)]
            log_to_stderr(
                f"{len(names)} of {len(crystals)} crystals have not all of the computed properties and are "
                f"predicted without: {', '.join(names[:_REASONS_SHOWN])}"
            )
        return asked

    def _properties_of(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return the computed properties on the scales of distances, shape (n, p); NaN where there is none.

        Raises:
            InputError: there is no such property.
        """
        table = self._prepared.properties
        if table is None:
            raise InputError(
                "no table was prepared of the computed properties that the latent predictor is to use: "
                f"{', '.join(self.settings.properties)}"
            )
        values = table.of([crystal.id for crystal in crystals], self.settings.properties)
        positive = np.array([name in self.settings.positive_properties for name in self.settings.properties])
        values[:, positive] = positive_scale(values[:, positive])
        return values

    def _of_fitted_weights(self, features: LatentFeatures) -> LatentFeatures:
        expected = self._weights_sha256.get(features.potential, features.weights_sha256)
        if features.weights_sha256 != expected:
            raise InputError(
                f"the predictor was fitted with weights {expected[:12]} of {features.potential}, "
                f"the features are of weights {features.weights_sha256[:12]}; train it again"
            )
        return features


def _first_reasons(features: Sequence[LatentFeatures]) -> list[str]:
    """Return why each crystal has no features by some potential; empty where it has all."""
    return [
        next((reason for reason in reasons if reason), "")
        for reasons in zip(*(one.reasons for one in features), strict=True)
    ]


def _parts(problem: TrainingRows, settings: LatentSettings, seed: int) -> list[NDArray[np.int64]]:
    if np.count_nonzero(problem.real) < FEWEST_ROWS_TO_CHOOSE:
        return []
    return held_out_parts(problem.real, settings, seed)


def _best_form(
    problem: TrainingRows, settings: LatentSettings, choices: Mapping[Form, Choice]
) -> tuple[str, tuple[Form, ...], list[tuple[NDArray[np.int64], NDArray[np.float64]]]]:
    """Return the form of the least held-out error, its members, and its held-out predictions."""
    candidates: dict[str, tuple[tuple[Form, ...], list[tuple[NDArray[np.int64], NDArray[np.float64]]]]] = {
        form: ((form,), choice.held_out) for form, choice in choices.items()
    }
    if len(choices) > 1:
        pairs = zip(*(choice.held_out for choice in choices.values()), strict=True)
        mean = [(pair[0][0], np.mean([one[1] for one in pair], axis=0)) for pair in pairs]
        candidates["mean"] = (tuple(choices), mean)
    allowed: list[str] = [form for form in settings.forms if form in candidates] or list(candidates)
    form = min(allowed, key=lambda one: held_out_error(problem, settings, candidates[one][1]))
    return form, *candidates[form]


def _calibration(
    problem: TrainingRows,
    choice: Choice,
    held_out: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]],
    folds: int,
) -> Calibration | None:
    """Return what intervals are made of: each real row's error where it was first held out."""
    if not held_out:
        return None
    distances = problem.distances(choice.weight)
    first = held_out[: min(folds, int(np.count_nonzero(problem.real)))]
    everything = np.arange(len(problem))
    difficulties = [
        difficulty_of(distances[np.ix_(rows, np.setdiff1d(everything, rows))]) for rows, _ in first
    ]
    return Calibration(
        errors=np.concatenate([problem.target[rows] - said for rows, said in first]),
        difficulties=np.concatenate(difficulties),
        offset=float(np.median(np.concatenate(difficulties))) or 1.0,
        farthest=farthest_of(distances),
    )


def _team_of_arrays(arrays: Mapping[str, NDArray[Any]], name: str) -> _Team | None:
    """Return the machines of that name in a saved model, or None."""
    machines: list[Machine] = []
    while True:
        prefix = f"{name}.{len(machines)}."
        found = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
        if not found:
            break
        machines.append(Machine.from_arrays(found))
    prefix = f"{name}.calibration."
    known = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    calibration = None
    if known:
        calibration = Calibration(
            known["errors"], known["difficulties"], known["offset"].item(), known["farthest"].item()
        )
    return _Team(tuple(machines), calibration) if machines else None


def _log_choice(choice: Choice, log: Log) -> None:
    if choice.report:
        share = f", weight of the properties {choice.weight:g}" if choice.weight else ""
        log(
            f"cross-validation of {len(choice.report)} candidates ({choice.form}): gamma {choice.gamma:g}, "
            f"penalty {choice.penalty:g}{share}, mean absolute error {choice.error:.4g}"
        )


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
