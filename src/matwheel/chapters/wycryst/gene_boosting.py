"""Formation energy, band gap and metallicity of Wyckoff genes by boosted trees: judges that know no VAE.

What generates genes must not be the only one to judge them. These models see the composition and the
symmetry of a gene (`gene_features`), never a latent vector. A file holds the fitted trees (see
`matwheel.predictors.fitted_trees`) and the genes and labels that they were fitted to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from matwheel.composition_models.composition_boosting import held_out_errors
from matwheel.core.archives import write_arrays
from matwheel.core.errors import InputError
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.seeds import derive_seed
from matwheel.core.settings import Folds, NotNegative, settings
from matwheel.predictors.calibration import calibrated, folds_of_groups, platt_calibration, probability_report
from matwheel.predictors.fitted_trees import stored_trees, trees_of
from matwheel.predictors.interface import fitted
from matwheel.predictors.tree_settings import TreeSettings
from matwheel.wyckoff.gene_features import gene_features
from matwheel.wyckoff.wyckoff_genes import GeneArrays

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier

METAL_SCORE_THRESHOLD = 0.5
"""A gene passes as a non-metal below this probability (the published funnel: metal score < 0.5)."""

SMALLEST_TRAINING_ROWS = 20


@settings
class GeneBoostingSettings(TreeSettings):
    """Settings of the trees, the same for the three models; those of `TreeSettings` and two more."""

    metal_gap_ev: NotNegative = 0.0
    """A crystal is a metal when its band gap is at most this."""
    calibration_folds: Folds = 3
    """Parts of the training formulas that take turns in the calibration of the `MetalClassifier`."""


class _GeneTrees:
    """Boosted trees on genes, with the genes and labels that they were fitted to.

    Attributes:
        kept: attribute that is saved beside the trees.
        genes, training_target: what the model was fitted to.
    """

    kept: ClassVar[str]

    def __init__(self, settings: GeneBoostingSettings | None = None) -> None:
        self.settings = settings or GeneBoostingSettings()
        self.genes: GeneArrays | None = None
        self.training_target: NDArray[np.float64] = np.zeros(0)
        self._seed = 0
        self._trees: Any = None

    def _take(self, genes: GeneArrays, target: NDArray[np.float64], seed: int) -> NDArray[np.float32]:
        """Keep the labelled genes to fit to; return their features."""
        values = np.asarray(target, dtype=np.float64)
        if values.shape != (len(genes),):
            raise InputError(f"{len(genes)} training genes but labels of shape {values.shape}")
        for row in np.flatnonzero(np.isinf(values))[:1]:
            raise InputError(
                f"training gene {row + 1} has the label {values[row]}; give a number, or NaN for none"
            )
        known = np.isfinite(values)
        if known.sum() < SMALLEST_TRAINING_ROWS:
            raise InputError(
                f"{known.sum()} training genes have a label; at least {SMALLEST_TRAINING_ROWS} are needed"
            )
        self.genes, self.training_target, self._seed = genes[known], values[known], seed
        return gene_features(self.genes)

    def save(self, path: str | Path) -> None:
        """Write the trees and what they grew from."""
        genes = fitted(self.genes)
        write_arrays(
            path,
            space_group=genes.space_group,
            elements=genes.elements,
            letters=genes.letters,
            target=self.training_target,
            seed=self._seed,
            settings=json.dumps(asdict(self.settings)),
            **stored_trees(fitted(self._trees)),
            **{self.kept: getattr(self, self.kept)},
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model written by `save`.

        Raises:
            InputError: no such file, not one of this model, or of another version of scikit-learn or numpy.
        """
        try:
            with np.load(path, allow_pickle=False) as saved:
                model = cls(GeneBoostingSettings(**json.loads(str(saved["settings"]))))
                model.genes = GeneArrays(saved["space_group"], saved["elements"], saved["letters"])
                model.training_target, model._seed = saved["target"], int(saved["seed"])
                model._trees = trees_of(saved, path)
                setattr(model, cls.kept, saved[cls.kept].tolist())
                return model
        except FileNotFoundError:
            raise InputError(f"{path} is missing; fit the model and save it there") from None
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise InputError(f"{path} holds no such model ({error}); fit the model again") from None


class GeneRegressor(_GeneTrees):
    """Boosted trees for one number per gene, in the unit of the labels it was fitted to."""

    kept = "smallest_prediction"

    def __init__(
        self, settings: GeneBoostingSettings | None = None, *, smallest_prediction: float = -np.inf
    ) -> None:
        """Make an unfitted model; predictions below `smallest_prediction` are raised to it (0 for gaps)."""
        super().__init__(settings)
        self.smallest_prediction = smallest_prediction

    def fit(self, genes: GeneArrays, target: NDArray[np.float64], *, seed: int) -> Self:
        """Grow the trees; genes whose label is NaN are left out.

        Args:
            target: labels, shape (n,).
            seed: of the features that splits try.

        Raises:
            InputError: too few labelled genes, wrong labels or an impossible gene.
        """
        from sklearn.ensemble import HistGradientBoostingRegressor

        features = self._take(genes, target, seed)
        trees = HistGradientBoostingRegressor(**self.settings.growth(derive_seed(seed, "gene")))
        self._trees = trees.fit(features, self.training_target)
        return self

    def predict(self, genes: GeneArrays) -> NDArray[np.float64]:
        """Return one prediction per gene, shape (n,).

        Raises:
            RuntimeError: the model was neither fitted nor loaded.
            InputError: an impossible gene, by its number from 1.
        """
        trees = fitted(self._trees)
        if not len(genes):
            return np.zeros(0)
        return np.maximum(trees.predict(gene_features(genes)), self.smallest_prediction)


class MetalClassifier(_GeneTrees):
    """Boosted trees for the probability that the crystal of a gene is a metal, calibrated.

    The log-odds of trees are too sure of themselves. A logistic regression (Platt 1999) on training rows
    only corrects them: each part of the training formulas is predicted by trees that saw the other parts.

    Attributes:
        calibration: slope and offset of the log-odds.
    """

    kept = "calibration"
    calibration: Sequence[float] = ()

    def fit(self, genes: GeneArrays, band_gap_ev: NDArray[np.float64], *, seed: int) -> Self:
        """Grow and calibrate the trees; genes whose band gap is NaN are left out.

        Args:
            band_gap_ev: shape (n,).
            seed: of the features that splits try and of the parts.

        Raises:
            InputError: as `GeneRegressor.fit`; only metals or no metals, in all rows or outside one part.
        """
        features = self._take(genes, band_gap_ev, seed)
        metal = self.is_metal(self.training_target)
        _, formula = np.unique(fitted(self.genes).counts(), axis=0, return_inverse=True)
        folds = folds_of_groups(formula.ravel(), self.settings.calibration_folds, seed)
        log_odds = np.empty(len(metal))
        for fold in range(self.settings.calibration_folds):
            held = folds == fold
            grown = self._grown(features[~held], metal[~held], seed)
            log_odds[held] = grown.decision_function(features[held])
        self.calibration = list(platt_calibration(log_odds, metal))
        self._trees = self._grown(features, metal, seed)
        return self

    def is_metal(self, band_gap_ev: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which band gaps are those of metals."""
        return np.asarray(band_gap_ev) <= self.settings.metal_gap_ev

    def predict(self, genes: GeneArrays) -> NDArray[np.float64]:
        """Return the probability of being a metal, shape (n,), within 0 … 1.

        Raises:
            RuntimeError: the model was neither fitted nor loaded.
            InputError: an impossible gene, by its number from 1.
        """
        trees = fitted(self._trees)
        if not len(genes):
            return np.zeros(0)
        slope, offset = self.calibration
        return calibrated(trees.decision_function(gene_features(genes)), (slope, offset))

    def _grown(
        self, features: NDArray[np.float32], metal: NDArray[np.bool_], seed: int
    ) -> HistGradientBoostingClassifier:
        from sklearn.ensemble import HistGradientBoostingClassifier

        if metal.all() or not metal.any():
            kind = "a metal" if metal.all() else "no metal"
            raise InputError(
                f"every training gene (of one part) is {kind} at metal_gap_ev = "
                f"{self.settings.metal_gap_ev:g}; give genes of both kinds"
            )
        trees = HistGradientBoostingClassifier(**self.settings.growth(derive_seed(seed, "metal")))
        return trees.fit(features, metal)


@dataclass(frozen=True, eq=False)
class GenePredictors:
    """The three judges of a gene.

    Attributes:
        formation_energy: predicts eV/atom.
        band_gap: predicts eV, at least 0; fitted to metals too.
        metal: predicts the probability of being a metal; None where the training rows were all of one kind.
    """

    formation_energy: GeneRegressor
    band_gap: GeneRegressor
    metal: MetalClassifier | None

    @classmethod
    def fit(
        cls,
        genes: GeneArrays,
        formation_energy_ev_per_atom: NDArray[np.float64],
        band_gap_ev: NDArray[np.float64],
        settings: GeneBoostingSettings | None = None,
        *,
        seed: int,
        log: Log = log_to_stderr,
    ) -> GenePredictors:
        """Fit all three, in about ten CPU seconds for 8,500 genes. Give training rows only.

        Args:
            formation_energy_ev_per_atom: shape (n,), NaN where unknown.
            band_gap_ev: shape (n,), NaN where unknown.

        Raises:
            InputError: see the models.
        """
        log(f"formation energy of {len(genes)} genes")
        formation_energy = GeneRegressor(settings).fit(
            genes, formation_energy_ev_per_atom, seed=derive_seed(seed, "formation energy")
        )
        log("band gap")
        band_gap = GeneRegressor(settings, smallest_prediction=0.0).fit(
            genes, band_gap_ev, seed=derive_seed(seed, "band gap")
        )
        gaps = np.asarray(band_gap_ev, dtype=np.float64)
        known = gaps[np.isfinite(gaps)]
        metallic = MetalClassifier(settings).is_metal(known)
        if metallic.all() or not metallic.any():
            log("all gaps are of metals, or none is: there is nothing to tell metals by")
            return cls(formation_energy, band_gap, None)
        log("metal or not, with its calibration")
        metal = MetalClassifier(settings).fit(genes, band_gap_ev, seed=derive_seed(seed, "metal"))
        return cls(formation_energy, band_gap, metal)

    def predict(self, genes: GeneArrays) -> pd.DataFrame:
        """Return formation_energy_ev_per_atom, band_gap_ev and metal_probability of each gene, in order.

        Without a model of metals the last is NaN.

        Raises:
            InputError: an impossible gene, by its number from 1.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "formation_energy_ev_per_atom": self.formation_energy.predict(genes),
                "band_gap_ev": self.band_gap.predict(genes),
                "metal_probability": self.metal.predict(genes) if self.metal else np.nan,
            }
        )

    def save(self, folder: str | Path) -> None:
        """Write formation_energy.npz, band_gap.npz and, where there is one, metal.npz into a folder."""
        for name in ("formation_energy", "band_gap", *(["metal"] if self.metal else [])):
            getattr(self, name).save(Path(folder) / f"{name}.npz")

    @classmethod
    def load(cls, folder: str | Path) -> GenePredictors:
        """Read what `save` wrote.

        Raises:
            InputError: a file is missing, is another's or of another version of scikit-learn or numpy.
        """
        metal = Path(folder) / "metal.npz"
        return cls(
            GeneRegressor.load(Path(folder) / "formation_energy.npz"),
            GeneRegressor.load(Path(folder) / "band_gap.npz"),
            MetalClassifier.load(metal) if metal.exists() else None,
        )


def gene_predictor_report(
    predictors: GenePredictors,
    genes: GeneArrays,
    formation_energy_ev_per_atom: NDArray[np.float64],
    band_gap_ev: NDArray[np.float64],
) -> dict[str, Any]:
    """Score the three models on held-out genes whose formulas none of them saw.

    Args:
        formation_energy_ev_per_atom: shape (n,), NaN where unknown.
        band_gap_ev: shape (n,), NaN where unknown.

    Returns:
        What JSON can hold: for 'formation_energy_ev_per_atom', 'band_gap_ev' and 'band_gap_ev_of_nonmetals'
        (the same model on the rows with a gap) rows, mae with its 95 % interval, rmse, r2, and constant_mae
        and constant_r2 of the constant predictor (median of the training labels); for 'metal' see
        `probability_report`, with the shares of metals and non-metals that pass below
        `METAL_SCORE_THRESHOLD`; not there without a model of metals.

    Raises:
        InputError: no labelled row, only metals or none, or a formula that was trained on, by its row from 1.
    """
    _check_unseen(predictors, genes)
    energy, gap = (
        np.asarray(values, dtype=np.float64) for values in (formation_energy_ev_per_atom, band_gap_ev)
    )
    predicted = predictors.predict(genes)
    judge = predictors.metal or MetalClassifier()
    nonmetal = np.isfinite(gap) & ~judge.is_metal(gap)
    report: dict[str, Any] = {
        "formation_energy_ev_per_atom": _errors(
            predicted["formation_energy_ev_per_atom"].to_numpy(),
            energy,
            predictors.formation_energy.training_target,
        )
    }
    predicted_gap, training_gap = predicted["band_gap_ev"].to_numpy(), predictors.band_gap.training_target
    report["band_gap_ev"] = _errors(predicted_gap, gap, training_gap)
    report["band_gap_ev_of_nonmetals"] = _errors(predicted_gap[nonmetal], gap[nonmetal], training_gap)
    if predictors.metal is None:
        return report
    known = np.isfinite(gap)
    probability, metal = predicted["metal_probability"].to_numpy()[known], judge.is_metal(gap[known])
    passes = probability < METAL_SCORE_THRESHOLD
    report["metal"] = probability_report(probability, metal, bins=10) | {
        "threshold": METAL_SCORE_THRESHOLD,
        "share_of_nonmetals_passing": float(passes[~metal].mean()),
        "share_of_metals_passing": float(passes[metal].mean()),
    }
    return report


def _errors(
    predicted: NDArray[np.float64], target: NDArray[np.float64], training_target: NDArray[np.float64]
) -> dict[str, float]:
    known = np.isfinite(target)
    predicted, target = predicted[known], target[known]
    table = held_out_errors({"model": predicted}, target, training_target)
    spread = ((target - target.mean()) ** 2).sum()

    def r2(values: NDArray[np.float64]) -> float:
        return float(1 - ((values - target) ** 2).sum() / spread) if spread > 0 else 0.0

    model, constant = table.iloc[0], table.iloc[1]
    return {
        "rows": len(target),
        **{name: float(model[name]) for name in ("mae", "mae_low", "mae_high", "rmse")},
        "r2": r2(predicted),
        "constant_mae": float(constant["mae"]),
        "constant_r2": r2(np.full(len(target), np.median(training_target))),
    }


def _check_unseen(predictors: GenePredictors, genes: GeneArrays) -> None:
    every = (predictors.formation_energy, predictors.band_gap, predictors.metal)
    models = [model for model in every if model is not None]
    seen = {row.tobytes() for model in models for row in np.ascontiguousarray(fitted(model.genes).counts())}
    for number, row in enumerate(np.ascontiguousarray(genes.counts()), start=1):
        if row.tobytes() in seen:
            raise InputError(
                f"held-out gene {number} has a formula of the training rows; split the genes by formula"
            )
