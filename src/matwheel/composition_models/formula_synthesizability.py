"""How likely a formula can be made, learnt from which formulas of the Materials Project have been reported.

Reported formulas (with an ICSD code) are positives. The others are not negatives but unlabelled: nobody has
reported them yet. Elkan and Noto (KDD 2008, 213) show that, were the reported formulas a random share c of
the makeable ones, P(makeable) = P(reported) / c, with c the mean of P(reported) over positives that the model
did not see. Chemists do not choose at random, so the corrected score is a ranking of known recall rather than
a probability; `FormulaScore.probability` is the calibrated P(reported) before the correction. Nor are the
unlabelled formulas a random sample: the database enumerated whole families (Heusler alloys, double
perovskites, battery materials), and formulas of such families score low.

The kind 'stability' is what the published WyCryst+ code calls its synthesizability label: an energy above
hull of 0 in density-functional theory, a supervised label of formulas.

A score is for formulas that no one has recorded. Of a recorded one the model has seen the answer, so its
score only repeats it; the cross-validated figures by chemical system are those that hold for new formulas.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from matwheel.compositions.composition_features import magpie_features_of_counts
from matwheel.compositions.formulas import ELEMENTS, formula_counts, parse_formulas, reduce_counts
from matwheel.core.archives import write_arrays
from matwheel.core.errors import InputError
from matwheel.core.progress import Log, log_to_stderr
from matwheel.core.seeds import derive_seed
from matwheel.core.settings import Count, Folds, NotNegative, PositiveShare, Trees, settings
from matwheel.crystals.crystal import Crystal
from matwheel.predictors.calibration import (
    calibrated,
    folds_of_groups,
    platt_calibration,
    probability_report,
)
from matwheel.predictors.fitted_trees import stored_trees, trees_of
from matwheel.predictors.interface import changed_settings, fitted
from matwheel.predictors.tree_settings import TreeSettings

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier

RECOMMENDED_THRESHOLD = 0.4
"""The published funnel keeps formulas of a score above this."""

_ENTRY_COLUMNS = ("material_id", "composition", "ehull_target")
_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_SMALLEST_OF_A_KIND = 10


@settings
class FormulaScoreSettings(TreeSettings):
    """Settings of the score: those of `TreeSettings`, with other defaults, and four more."""

    kind: Literal["reported", "stability"] = "reported"
    """What is learnt: which formulas were reported, or which lie on the hull; see the module."""
    stable_below_ev_per_atom: NotNegative = 0.0
    """A formula is stable when its lowest energy above hull is at most this; 'stability' only. 0 is the
    published label.
    """
    trees: Trees = 150
    """Number of trees."""
    largest_leaves: Annotated[int, Field(ge=2, le=1_000_000)] = 63
    """Leaves of a tree."""
    smallest_leaf: Count = 20
    """Training formulas in a leaf, at least."""
    features_per_split: PositiveShare = 0.3
    """Share of the features tried at each split."""
    folds: Folds = 3
    """Parts of the cross-validation by chemical system."""
    largest_training_set: Annotated[int, Field(ge=100, le=1_000_000_000)] = 100_000
    """Formulas that are learnt from, drawn at random where there are more."""

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> FormulaScoreSettings:
        """Return the defaults with single values changed.

        Raises:
            InputError: unknown setting, or a value that is not allowed.
        """
        return changed_settings(cls, settings)


def read_synthesizability_labels(listed_path: str | Path, entries_path: str | Path) -> pd.DataFrame:
    """Read which formulas have been reported, and how stable they are.

    Args:
        listed_path: text, gzipped when it ends in .gz; each line the id and the formula of a reported entry.
        entries_path: CSV, gzipped when it ends in .gz, of reported and other entries, with the columns
            material_id, composition and ehull_target (energy above hull, eV/atom).

    Returns:
        One row per reduced formula, sorted by formula: formula; listed, whether any of its entries is
        reported; e_above_hull_ev_per_atom, the lowest of its entries, NaN where `entries_path` has none.

    Raises:
        InputError: a file that is missing, cannot be read or is empty; a row with a wrong number of values,
            an id that occurs twice, an unreadable formula or an energy that is no number, by its row from 1
            with the remedy. The header of the CSV is row 1.
    """
    import pandas as pd

    from matwheel.datasets.formula_sets import formula_texts

    listed_ids, listed_formulas = _read_listed(listed_path)
    entry_ids, entry_formulas, energies = _read_entries(entries_path)
    counts = np.concatenate(
        [
            _counts_of_file(listed_formulas, listed_path, 1),
            _counts_of_file(entry_formulas, entries_path, 2),
        ]
    )
    formulas = np.array(formula_texts(counts, ELEMENTS))
    # An id may be listed under one spelling and entered under another: the id decides as well.
    reported = set(listed_ids)
    listed = np.array([True] * len(listed_ids) + [name in reported for name in entry_ids])
    energy = np.concatenate([np.full(len(listed_ids), np.nan), energies])
    table = pd.DataFrame({"formula": formulas, "listed": listed, "e_above_hull_ev_per_atom": energy})
    return (
        table.groupby("formula", sort=True)
        .agg(
            listed=("listed", "any"),
            e_above_hull_ev_per_atom=("e_above_hull_ev_per_atom", "min"),
        )
        .reset_index()
    )


class FormulaScore:
    """Score of a formula in [0, 1], higher for easier; a `SynthesizabilityScore` of crystals by formula.

    Attributes:
        settings: what it was fitted with.
        label_frequency: Elkan and Noto's c; 1 for the kind 'stability', which is not corrected.
    """

    def __init__(self, settings: FormulaScoreSettings | None = None) -> None:
        self.settings = settings or FormulaScoreSettings()
        self.label_frequency = 1.0
        self._calibration: tuple[float, float] | None = None
        self._trees: HistGradientBoostingClassifier | None = None
        self._fitted_to: tuple[NDArray[np.int32], NDArray[np.bool_], int] | None = None

    @property
    def name(self) -> str:
        """Name of the score, for verdicts."""
        return f"formula_{self.settings.kind}"

    @property
    def version(self) -> str:
        """Hash of what the weights follow from: data, settings, seed, calibration, scikit-learn."""
        import sklearn

        counts, label, seed = fitted(self._fitted_to)
        described = [
            asdict(self.settings),
            seed,
            self._calibration,
            self.label_frequency,
            sklearn.__version__,
        ]
        digest = sha256(json.dumps(described, sort_keys=True).encode())
        digest.update(np.ascontiguousarray(counts).tobytes())
        digest.update(label.tobytes())
        return digest.hexdigest()[:16]

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> FormulaScore:
        """Return the score that `save` wrote to `settings["path"]`.

        Raises:
            InputError: another setting, none, or no such file.
        """
        if set(settings) != {"path"}:
            given = ", ".join(sorted(settings)) or "none"
            raise InputError(
                f"formula score: the one setting is path, the file of a fitted score; got {given}"
            )
        return cls.load(settings["path"])

    @classmethod
    def fit(
        cls,
        labels: pd.DataFrame,
        settings: FormulaScoreSettings | None = None,
        *,
        seed: int,
        log: Log = log_to_stderr,
    ) -> tuple[FormulaScore, dict[str, Any]]:
        """Fit the score and cross-validate it, in under 60 CPU seconds for 80,000 formulas.

        Args:
            labels: from `read_synthesizability_labels`.
            settings: of the score.
            seed: of folds, drawn formulas and trees.
            log: gets a line before each fit.

        Returns:
            The score and a report that JSON can hold: settings, seed, formulas, positives,
            numbers_of_elements (those that have formulas of both labels; other formulas are left out),
            label_frequency, calibration, version; 'by_chemical_system' (all formulas, each predicted by trees
            that saw no formula of just its elements) and 'by_formula' (one fold, whose trees may have), both
            as `probability_report` for P(label); 'thresholds': shares of the positives (recall) and of the
            other formulas whose score, cross-validated by chemical system, is at least the threshold, and the
            same shares for P(label).

        Raises:
            InputError: fewer than ten formulas of a kind, an unreadable or repeated formula.
        """
        score = cls(settings)
        counts, label = score._training_formulas(labels, seed)
        features = magpie_features_of_counts(counts, ELEMENTS).astype(np.float32)
        folds = folds_of_groups(_chemical_systems(counts), score.settings.folds, seed)
        log_odds = np.empty(len(label))
        for fold in range(score.settings.folds):
            log(f"formula score: fold {fold + 1} of {score.settings.folds} by chemical system")
            held = folds == fold
            log_odds[held] = score._grown(features[~held], label[~held], seed).decision_function(
                features[held]
            )
        probability = np.empty(len(label))
        for fold in range(score.settings.folds):  # judged by a calibration that did not see the fold
            held = folds == fold
            calibration = platt_calibration(log_odds[~held], label[~held])
            probability[held] = calibrated(log_odds[held], calibration)
        score._calibration = platt_calibration(log_odds, label)
        if score.settings.kind == "reported":
            score.label_frequency = float(probability[label].mean())

        log("formula score: one fold by formula")
        held = folds_of_groups(np.arange(len(label)), score.settings.folds, derive_seed(seed, "formula")) == 0
        trees = score._grown(features[~held], label[~held], seed)
        by_formula = calibrated(trees.decision_function(features[held]), score._calibration)

        log("formula score: all formulas")
        score._trees = score._grown(features, label, seed)
        score._fitted_to = counts, label, seed
        report = {
            "settings": asdict(score.settings),
            "seed": seed,
            "formulas": len(label),
            "positives": int(label.sum()),
            "numbers_of_elements": np.unique((counts > 0).sum(axis=1)).tolist(),
            "label_frequency": score.label_frequency,
            "calibration": {"slope": score._calibration[0], "offset": score._calibration[1]},
            "version": score.version,
            "by_chemical_system": probability_report(probability, label),
            "by_formula": probability_report(by_formula, label[held]),
            "thresholds": [
                {
                    "threshold": threshold,
                    **_shares(score._corrected(probability), probability, label, threshold),
                }
                for threshold in _THRESHOLDS
            ],
        }
        return score, report

    def probability(self, counts: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the calibrated probability that a formula bears the label (is reported, or stable).

        Args:
            counts: atoms of each of the 103 `ELEMENTS`, shape (n, 103); need not be reduced.

        Returns:
            Shape (n,), within 0 … 1; NaN for a row without atoms, with an element of no training formula or
            with a number of elements that no training formula has.

        Raises:
            RuntimeError: the score was neither fitted nor loaded.
            InputError: counts of another shape or type, or a negative one.
        """
        trees = fitted(self._trees)
        counts = np.asarray(counts)
        if (
            counts.ndim != 2
            or counts.shape[1] != len(ELEMENTS)
            or not np.issubdtype(counts.dtype, np.integer)
        ):
            raise InputError(
                f"counts of shape {counts.shape} and type {counts.dtype}; give whole numbers of shape "
                f"(n, {len(ELEMENTS)})"
            )
        training = fitted(self._fitted_to)[0]
        known = training.any(axis=0)
        sizes = np.unique((training > 0).sum(axis=1))
        has_score = np.isin((counts != 0).sum(axis=1), sizes) & ~(counts[:, ~known] != 0).any(axis=1)
        values = np.full(len(counts), np.nan)
        if has_score.any():
            # Reduced first: the sums of a multiple could differ in the last bit.
            features = magpie_features_of_counts(reduce_counts(counts[has_score]), ELEMENTS).astype(
                np.float32
            )
            values[has_score] = calibrated(trees.decision_function(features), fitted(self._calibration))
        return values

    def score_counts(self, counts: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the score, min(1, `probability` / `label_frequency`), shape (n,); NaN where there is none.

        Args and errors: see `probability`.
        """
        return self._corrected(self.probability(counts))

    def score(self, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
        """Return the score of each crystal's formula, shape (n,); NaN also for elements beyond lawrencium."""
        place = {symbol: column for column, symbol in enumerate(ELEMENTS)}
        counts = np.zeros((len(crystals), len(ELEMENTS)), dtype=np.int64)
        for row, crystal in enumerate(crystals):
            if all(symbol in place for symbol in crystal.species):
                for symbol in crystal.species:
                    counts[row, place[symbol]] += 1
        return self.score_counts(counts)

    def save(self, path: str | Path) -> None:
        """Write the trees, their calibration and what they grew from: training formulas and labels."""
        counts, label, seed = fitted(self._fitted_to)
        write_arrays(
            path,
            counts=counts,
            label=label,
            seed=seed,
            calibration=np.array(self._calibration),
            label_frequency=self.label_frequency,
            settings=json.dumps(asdict(self.settings)),
            **stored_trees(fitted(self._trees)),
        )

    @classmethod
    def load(cls, path: str | Path) -> FormulaScore:
        """Read a score written by `save`.

        Raises:
            InputError: no such file, not one of a score, or of another version of scikit-learn or numpy.
        """
        try:
            with np.load(path, allow_pickle=False) as saved:
                score = cls(FormulaScoreSettings(**json.loads(str(saved["settings"]))))
                score._fitted_to = saved["counts"], saved["label"], int(saved["seed"])
                slope, offset = saved["calibration"].tolist()
                score._calibration, score.label_frequency = (slope, offset), float(saved["label_frequency"])
                score._trees = trees_of(saved, path)
        except FileNotFoundError:
            raise InputError(f"{path} is missing; fit the formula score and save it there") from None
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise InputError(f"{path} holds no formula score ({error}); fit the score again") from None
        return score

    def _corrected(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.minimum(probability / self.label_frequency, 1.0)

    def _training_formulas(
        self, labels: pd.DataFrame, seed: int
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        table = labels.sort_values("formula", kind="stable", ignore_index=True)
        if self.settings.kind == "stability":
            table = table[table["e_above_hull_ev_per_atom"].notna()].reset_index(drop=True)
            energy = table["e_above_hull_ev_per_atom"].to_numpy(dtype=np.float64)
            label = energy <= self.settings.stable_below_ev_per_atom
        else:
            label = table["listed"].to_numpy(dtype=bool)
        counts = reduce_counts(formula_counts(table["formula"].tolist(), source="labels"))
        if len(np.unique(_row_keys(counts))) < len(counts):
            raise InputError("labels: a reduced formula occurs twice; give one row per formula")
        # Where every formula bears the same label, the files were cut differently, and nothing can be learnt.
        size = (counts > 0).sum(axis=1)
        both = np.intersect1d(size[label], size[~label])
        counts, label = counts[np.isin(size, both)], label[np.isin(size, both)]
        if len(label) > self.settings.largest_training_set:
            generator = np.random.default_rng(derive_seed(seed, "training formulas"))
            drawn = generator.choice(len(label), self.settings.largest_training_set, replace=False)
            drawn.sort()
            counts, label = counts[drawn], label[drawn]
        for kind, number in (("positive", int(label.sum())), ("other", int((~label).sum()))):
            if number < _SMALLEST_OF_A_KIND:
                raise InputError(
                    f"formula score ({self.settings.kind}): {number} {kind} formulas, at least "
                    f"{_SMALLEST_OF_A_KIND} are needed; give a larger set of labels"
                )
        return counts, label

    def _grown(
        self, features: NDArray[np.float32], label: NDArray[np.bool_], seed: int
    ) -> HistGradientBoostingClassifier:
        from sklearn.ensemble import HistGradientBoostingClassifier

        growth = self.settings.growth(derive_seed(seed, "formula score"))
        return HistGradientBoostingClassifier(**growth).fit(features, label)


def _shares(
    score: NDArray[np.float64], probability: NDArray[np.float64], label: NDArray[np.bool_], threshold: float
) -> dict[str, float]:
    return {
        "recall_of_positives": float((score[label] >= threshold).mean()),
        "share_of_others": float((score[~label] >= threshold).mean()),
        "recall_of_positives_by_probability": float((probability[label] >= threshold).mean()),
        "share_of_others_by_probability": float((probability[~label] >= threshold).mean()),
    }


def _chemical_systems(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the number of the set of elements of each formula, shape (n,)."""
    return np.unique(_row_keys(np.packbits(counts > 0, axis=1)), return_inverse=True)[1].ravel()


def _row_keys(rows: NDArray[Any]) -> NDArray[np.void]:
    """Return each row as one value that sorts and compares, shape (n,)."""
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()


def _text_of(path: str | Path) -> str:
    try:
        content = Path(path).read_bytes()
        if str(path).endswith(".gz"):
            content = gzip.decompress(content)
        return content.decode("utf-8")
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing; put the file there, or leave the synthesizability score out"
        ) from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); fetch the file again") from None


def _read_listed(path: str | Path) -> tuple[list[str], list[str]]:
    ids, formulas = [], []
    for number, line in enumerate(_text_of(path).splitlines(), start=1):
        values = line.split()
        if len(values) != 2:
            raise InputError(
                f"{path}, row {number}: {len(values)} values, not an id and a formula; "
                "correct or remove the row"
            )
        ids.append(values[0])
        formulas.append(values[1])
    _check_ids(ids, path, 1)
    return ids, formulas


def _read_entries(path: str | Path) -> tuple[list[str], list[str], NDArray[np.float64]]:
    from io import StringIO

    import pandas as pd

    try:
        # 'NaN' is sodium nitride here, not a missing value.
        table = pd.read_csv(StringIO(_text_of(path)), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path} is no table ({error}); fetch the file again") from None
    for column in _ENTRY_COLUMNS:
        if column not in table:
            raise InputError(f"{path} has no column {column!r}; it has {', '.join(table.columns)}")
    energies = pd.to_numeric(table["ehull_target"], errors="coerce").to_numpy(dtype=np.float64)
    for row in np.flatnonzero(~np.isfinite(energies))[:1]:
        raise InputError(
            f"{path}, row {row + 2}: ehull_target {table['ehull_target'].iloc[row]!r} is no energy "
            "in eV/atom; correct or remove the row"
        )
    ids = table["material_id"].tolist()
    _check_ids(ids, path, 2)
    return ids, table["composition"].tolist(), energies


def _check_ids(ids: Sequence[str], path: str | Path, first_row: int) -> None:
    if not ids:
        raise InputError(f"{path} has no entries; fetch the file again")
    seen: dict[str, int] = {}
    for number, name in enumerate(ids, start=first_row):
        if name in seen:
            raise InputError(
                f"{path}, row {number}: {name!r} stands in row {seen[name]} already; remove one of them"
            )
        seen[name] = number


def _counts_of_file(formulas: Sequence[str], path: str | Path, first_row: int) -> NDArray[np.int32]:
    parsed = parse_formulas(formulas)
    for row, complaint in parsed.errors.items():
        raise InputError(f"{path}, row {row + first_row}: {complaint}; correct or remove the row")
    return reduce_counts(parsed.counts)
