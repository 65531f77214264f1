"""The screen that scores plug into, with a score of its own, and what every registered score must keep."""

import numpy as np
import pandas as pd
import pytest

from matwheel.composition_models.formula_synthesizability import FormulaScore, FormulaScoreSettings
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import reduced_formula
from matwheel.screening.synthesizability import (
    SCORES,
    SynthesizabilityScore,
    make_score,
    synthesizability_verdicts,
)
from matwheel.verdicts import ERROR, FAIL, PASS


class FewElements:
    """The fewer elements, the easier; crystals without atoms have no score, noble gases cannot be judged."""

    name, version = "few_elements", "1"

    def __init__(self, most: int = 5) -> None:
        self.most = most

    @classmethod
    def from_settings(cls, settings):
        if set(settings) - {"most"}:
            raise InputError(f"few_elements has no setting {sorted(set(settings) - {'most'})[0]!r}")
        return cls(**settings)

    def score(self, crystals):
        if any("Xe" in crystal.species for crystal in crystals):
            raise LookupError("no chemistry of Xe")
        counts = np.array([len(set(crystal.species)) for crystal in crystals], dtype=float)
        return np.where(counts == 0, np.nan, np.clip(1 - (counts - 1) / self.most, 0, 1))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(SCORES, "few_elements", (__name__, "FewElements"))


def crystal(name, *species):
    return Crystal(name, species, 4 * np.eye(3), np.zeros((len(species), 3)))


@pytest.fixture
def settings_of(tmp_path, jarvis_crystals, poly_crystals):
    """What each score needs to exist: the one of formulas is read from a file."""
    formulas = [reduced_formula(one) for one in (*jarvis_crystals[0], *poly_crystals[0])]
    labels = pd.DataFrame({"formula": list(dict.fromkeys(formulas))})
    labels["listed"], labels["e_above_hull_ev_per_atom"] = labels.index % 2 == 0, 0.0
    score, _ = FormulaScore.fit(labels, FormulaScoreSettings(trees=3, smallest_leaf=2), seed=1)
    score.save(tmp_path / "score.npz")
    return {"formula": {"path": str(tmp_path / "score.npz")}}


def test_every_registered_score_keeps_the_interface(jarvis_crystals, settings_of):
    crystals = jarvis_crystals[0][:12]
    for name in SCORES:
        score = make_score(name, settings_of.get(name))
        assert isinstance(score, SynthesizabilityScore) and score.name and score.version
        values = score.score(crystals)
        assert values.shape == (12,) and values.dtype == np.float64
        assert np.all(np.isnan(values) | ((values >= 0) & (values <= 1)))
        assert np.array_equal(score.score(crystals[::-1])[::-1], values, equal_nan=True)
        assert np.array_equal(score.score(crystals[3:4]), values[3:4], equal_nan=True)
        assert score.score([]).shape == (0,)
        with pytest.raises(InputError):
            make_score(name, {"no_such_setting": 1})


def test_none_judges_nothing_and_unknown_names_are_refused():
    assert make_score("none") is None
    assert synthesizability_verdicts([crystal("a", "Na")], None) == []
    with pytest.raises(InputError, match="few_elements"):
        make_score("no_such_score")


def test_one_crystal_that_cannot_be_scored_costs_only_its_own_verdict():
    crystals = [crystal("a", "Na"), crystal("b", "Xe", "F"), crystal("c"), crystal("d", *"HCNOFSP")]
    verdicts = synthesizability_verdicts(crystals, make_score("few_elements", {"most": 4}), 0.5)
    assert [v.candidate_id for v in verdicts] == ["a", "b", "c", "d"]
    assert [v.verdict for v in verdicts] == [PASS, ERROR, ERROR, FAIL]
    assert "no chemistry of Xe" in verdicts[1].reason and "no value" in verdicts[2].reason
    assert verdicts[3].value == 0 and verdicts[3].threshold == 0.5 and "below 0.5" in verdicts[3].reason
    assert verdicts[0].tool == "few_elements" and verdicts[0].screen == "synthesizability"
    with pytest.raises(InputError, match="threshold"):
        synthesizability_verdicts(crystals, make_score("few_elements"), 1.5)


def test_a_score_outside_its_range_is_an_error_and_no_verdict():
    class Boastful(FewElements):
        def score(self, crystals):
            return 2.0 * super().score(crystals)

    verdicts = synthesizability_verdicts([crystal("a", "Na"), crystal("d", *"HCNOFS")], Boastful(), 0.1)
    assert [v.verdict for v in verdicts] == [ERROR, FAIL] and "not within" in verdicts[0].reason
