import itertools
import time
import warnings

import numpy as np
import pytest
from pymatgen.core import Composition
from smact.screening import ICSD24FilterConfig, smact_validity

from matwheel.compositions.charge_balance import CompositionSettings, charge_balance
from matwheel.compositions.formulas import ELEMENTS, MATGAN_ELEMENTS, formula_counts, parse_formulas
from matwheel.compositions.oxidation_states import (
    OXIDATION_TABLES,
    Icsd24Thresholds,
    mixed_valence_elements,
    oxidation_table,
    pauling_electronegativities,
    smact_version,
)
from matwheel.core.errors import InputError
from matwheel.crystals.crystal import Crystal
from matwheel.crystals.table import reduced_formula
from matwheel.generators.null import resample_elements
from matwheel.screening.composition_validity import composition_validity, composition_verdicts


def crystal_of(name, formula):
    species = [symbol for symbol, count in Composition(formula).as_dict().items() for _ in range(int(count))]
    return Crystal(name, species, 4 * np.eye(3), np.random.default_rng(0).random((len(species), 3)))


def smact_verdicts(formula, **arguments):
    """SMACT's charge neutrality and electronegativity balance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(
            bool(smact_validity(formula, use_pauling_test=pauling, **arguments)) for pauling in (False, True)
        )


def smact_arguments(name):
    return {"oxidation_states_set": None if name == "icsd24_consensus3" else name}


def verdicts_of(formulas, settings=None):
    balance = charge_balance(formula_counts(formulas), ELEMENTS, settings)
    return list(zip(balance.neutral.tolist(), balance.balanced.tolist(), strict=True))


def random_formulas(number, seed, smallest=1, largest=5, most_atoms=8):
    rng = np.random.default_rng(seed)
    formulas = []
    for _ in range(number):
        symbols = rng.choice(ELEMENTS, int(rng.integers(smallest, largest + 1)), replace=False)
        amounts = rng.integers(1, most_atoms + 1, len(symbols))
        formulas.append("".join(f"{s}{n}" for s, n in zip(symbols, amounts, strict=True)))
    return formulas


@pytest.fixture(scope="module")
def compositions(jarvis_crystals, poly_crystals):
    real = [reduced_formula(crystal) for crystal in (*jarvis_crystals[0], *poly_crystals[0])]
    resampled = resample_elements(poly_crystals[0], 120, seed=1, id_prefix="n")
    return [*real, *(reduced_formula(crystal) for crystal in resampled), *random_formulas(300, seed=2)]


@pytest.mark.parametrize("name", OXIDATION_TABLES)
def test_verdicts_are_those_of_smact(name, compositions):
    """A sample; benchmarks/composition_conformance.py compares 100,000 for each table."""
    expected = [smact_verdicts(formula, **smact_arguments(name)) for formula in compositions]
    assert verdicts_of(compositions, CompositionSettings(name)) == expected
    assert len(set(expected)) == 3  # neither, neutral only, both
    part = compositions[::5]
    expected = [smact_verdicts(formula, include_alloys=False, **smact_arguments(name)) for formula in part]
    assert verdicts_of(part, CompositionSettings(name, alloys_pass=False)) == expected


def test_thresholds_of_icsd24_are_those_of_smact(compositions):
    part = compositions[::3]
    for thresholds in (
        {"consensus": 20},
        {"commonality": "main"},
        {"include_zero": True, "commonality": 12.5},
    ):
        expected = [smact_verdicts(one, icsd_filter=ICSD24FilterConfig(**thresholds)) for one in part]
        settings = CompositionSettings("icsd24", icsd24_thresholds=thresholds)
        assert settings.icsd24_thresholds == Icsd24Thresholds(**thresholds)
        assert verdicts_of(part, settings) == expected


def test_mixed_valence_is_that_of_smact_below_its_limit():
    rng = np.random.default_rng(3)
    formulas = []
    for _ in range(150):
        metal = rng.choice(sorted(mixed_valence_elements()))
        others = rng.choice(["Li", "Ca", "Al", "O", "S", "Cl", "N", "H"], 2, replace=False)
        formulas.append(f"{metal}{rng.integers(1, 4)}{others[0]}{rng.integers(1, 5)}{others[1]}")
    expected = [smact_verdicts(one, oxidation_states_set="icsd16", mixed_valence=True) for one in formulas]
    mixed = verdicts_of(formulas, CompositionSettings("icsd16", mixed_valence=True))
    assert mixed == expected
    assert mixed != verdicts_of(formulas, CompositionSettings("icsd16"))
    settings = CompositionSettings("pymatgen_sp")
    assert verdicts_of(["Fe3O4"], settings) == [(False, False)]
    assert verdicts_of(["Fe3O4"], CompositionSettings("pymatgen_sp", mixed_valence=True)) == [(True, True)]


@pytest.mark.parametrize("formula", ["Fe7S8", "Fe7O9", "V7O13"])
def test_mixed_valence_is_decided_beyond_a_million_combinations(formula):
    """Pyrrhotite, a high-pressure oxide, a Magnéli phase: SMACT gives up, though Fe +2 and +3 will do."""
    with pytest.warns(UserWarning, match="too many combinations"):
        assert not smact_validity(formula, oxidation_states_set="smact14", mixed_valence=True)
    counts = Composition(formula).as_dict()
    choice = by_hand(counts, oxidation_table("smact14").states)
    assert choice is not None
    settings = CompositionSettings(mixed_valence=True)
    assert verdicts_of([formula], settings) == [(True, True)]
    assert verdicts_of([formula]) == [(False, False)]
    # And one charge too many is seen as well: iron goes up to +6, fluorine has no choice.
    assert verdicts_of(["Fe7F41", "Fe7F43"], settings) == [(True, True), (False, False)]


def by_hand(counts, states):
    """Search multisets of positive states of the mixed-valence metal against all other choices of states."""
    (metal,) = mixed_valence_elements() & counts.keys()
    others = [symbol for symbol in counts if symbol != metal]
    eneg = pauling_electronegativities()
    for own in itertools.combinations_with_replacement(
        [state for state in states[metal] if state > 0], int(counts[metal])
    ):
        for choice in itertools.product(*[states[symbol] for symbol in others]):
            total = sum(own) + sum(
                counts[symbol] * state for symbol, state in zip(others, choice, strict=True)
            )
            charged = [(metal, 1), *zip(others, choice, strict=True)]
            cations = [eneg[symbol] for symbol, state in charged if state > 0]
            anions = [eneg[symbol] for symbol, state in charged if state < 0]
            if total == 0 and anions and max(cations) < min(anions):
                return own, choice
    return None


def by_sets(counts, states, mixed):
    """The rule by sets of total charges: any choice, and parted by each electronegativity in turn."""
    eneg = pauling_electronegativities()

    def neutral(allowed):
        totals = {0}
        for symbol, count in counts.items():
            times, factor = (count, 1) if symbol in mixed else (1, count)
            for _ in range(times):
                totals = {total + factor * state for total in totals for state in allowed(symbol)}
        return 0 in totals

    if len(counts) == 1:
        return True, True
    balanced = all(symbol in eneg for symbol in counts) and any(
        neutral(
            lambda symbol, cut=cut: [
                state
                for state in states.get(symbol, ())
                if (state >= 0 if eneg[symbol] <= cut else state <= 0)
            ]
        )
        for cut in [0.0, *(eneg[symbol] for symbol in counts)]
    )
    return neutral(lambda symbol: states.get(symbol, ())), balanced


@pytest.mark.parametrize("name", ["smact14", "wiki", "icsd24_consensus3"])
@pytest.mark.parametrize("mixed_valence", [False, True])
def test_large_amounts_and_many_elements(name, mixed_valence):
    """Charges that need many machine words, against sets of charges."""
    rng = np.random.default_rng(5)
    settings = CompositionSettings(name, alloys_pass=False, mixed_valence=mixed_valence)
    states = oxidation_table(name).states
    mixed = mixed_valence_elements() if mixed_valence else frozenset()
    counts = np.zeros((60, len(ELEMENTS)), dtype=np.int16)
    for row in range(len(counts)):
        chosen = rng.choice(len(ELEMENTS), int(rng.integers(2, 10)), replace=False)
        largest = 25 if mixed_valence else 400
        counts[row, chosen] = rng.integers(1, largest, len(chosen))
    expected = []
    for row in counts:
        amounts = {ELEMENTS[column]: int(row[column]) for column in np.flatnonzero(row)}
        divisor = np.gcd.reduce(list(amounts.values()))
        expected.append(by_sets({k: v // divisor for k, v in amounts.items()}, states, mixed))
    balance = charge_balance(counts, ELEMENTS, settings)
    assert list(zip(balance.neutral.tolist(), balance.balanced.tolist(), strict=True)) == expected
    assert len(set(expected)) == 3


EDGE_CASES = {
    "missing electronegativity": ("Pm2O3", "smact14", (True, False)),
    "missing electronegativity among zeros": ("ArO", "wiki", (True, False)),
    "missing states": ("KrF2", "pymatgen_sp", (False, False)),
    "noble gas without states": ("HeCl", "smact14", (False, False)),
    "noble gas with states": ("XeF2", "smact14", (True, True)),
    "noble gas alone": ("He", "smact14", (True, True)),
    "single element": ("Si8", "smact14", (True, True)),
    "single element without states": ("Pm", "icsd24", (True, True)),
    "metals only": ("CuAu", "smact14", (True, True)),
    "metals only, one without states": ("FrRa", "icsd24", (True, True)),
    "promethium is no metal of SMACT": ("PmAu", "smact14", (False, False)),
    "equal electronegativities": ("CSe2", "smact14", (True, False)),
    "equal electronegativities beside others": ("Ca5CSe3", "smact14", (True, True)),
    "only anions against the order": ("Na2Cl", "smact14", (True, False)),
    "zero states": ("SiO", "wiki", (True, True)),
    "one sign only": ("LiBe2", "smact14", (True, True)),
    "one sign only, no alloy": ("CaF3", "pymatgen_sp", (False, False)),
    "common factor": ("Na4Cl4", "smact14", (True, True)),
    "real": ("Mg2SiO4", "smact14", (True, True)),
}


@pytest.mark.parametrize("case", EDGE_CASES)
def test_edge_cases(case):
    formula, name, expected = EDGE_CASES[case]
    assert verdicts_of([formula], CompositionSettings(name)) == [expected]
    assert smact_verdicts(formula, **smact_arguments(name)) == expected


def test_alloys_are_judged_where_asked():
    settings = CompositionSettings(alloys_pass=False)
    assert verdicts_of(["LiBe2", "CuAu", "Cu"], settings)[0] == (False, False)
    assert smact_verdicts("LiBe2", oxidation_states_set="smact14", include_alloys=False) == (False, False)
    assert verdicts_of(["Cu"], settings) == [(True, True)]


def test_a_zero_state_lets_an_element_stand_aside(tmp_path):
    table = tmp_path / "states.txt"
    table.write_text("Na 1\nCl -1\nSi 0\nXe 0 2\n")
    settings = CompositionSettings(str(table))
    formulas = ["NaCl", "NaClSi", "NaSi", "SiXe", "NaCl2Xe", "NaCl3Xe", "NaCl4Xe"]
    expected = [smact_verdicts(one, oxidation_states_set=str(table)) for one in formulas]
    assert verdicts_of(formulas, settings) == expected
    assert [neutral for neutral, _ in expected] == [True, True, False, True, False, True, False]


def test_the_reduced_formula_is_judged():
    """Two tin atoms could be +2 and +4; the one of the reduced formula is not +3."""
    settings = CompositionSettings(mixed_valence=True)
    arguments = {"oxidation_states_set": "smact14", "mixed_valence": True}
    expected = {"SnF3": False, "Sn2F6": False, "Sn2O3": True, "Sn4O6": True, "SbF4": False, "Sb2F8": False}
    for formula, valid in expected.items():
        assert verdicts_of([formula], settings) == [(valid, valid)]
        assert smact_verdicts(formula, **arguments) == (valid, valid)
    assert not charge_balance(np.array([[2, 6]]), ["Sn", "F"], settings).neutral.any()


def test_count_matrices_of_every_kind_agree(compositions):
    counts = formula_counts(compositions)
    expected = charge_balance(counts)
    for dtype in (np.uint8, np.int16, np.int32, np.int64, np.uint16):
        balance = charge_balance(counts.astype(dtype))
        assert np.array_equal(balance.neutral, expected.neutral)
        assert np.array_equal(balance.balanced, expected.balanced)
    order = np.random.default_rng(0).permutation(len(ELEMENTS))
    shuffled = charge_balance(counts[:, order], [ELEMENTS[column] for column in order])
    assert np.array_equal(shuffled.balanced, expected.balanced)
    columns = [ELEMENTS.index(symbol) for symbol in MATGAN_ELEMENTS]
    inside = counts[:, columns].sum(axis=1) == counts.sum(axis=1)
    fewer = charge_balance(counts[inside][:, columns].astype(np.uint8), MATGAN_ELEMENTS)
    assert np.array_equal(fewer.balanced, expected.balanced[inside]) and 0 < inside.sum() < len(counts)
    backwards = charge_balance(counts[::-1])  # not contiguous
    assert np.array_equal(backwards.neutral[::-1], expected.neutral)
    assert not charge_balance(np.zeros((2, 103), dtype=np.uint8)).neutral.any()
    assert charge_balance(np.zeros((0, 103), dtype=np.uint8)).balanced.shape == (0,)


def test_wrong_count_matrices_are_refused():
    counts = np.ones((3, 2), dtype=np.int32)
    with pytest.raises(InputError, match="2 elements"):
        charge_balance(np.ones((3, 3), dtype=int), ["Na", "Cl"])
    with pytest.raises(InputError, match="whole numbers"):
        charge_balance(np.ones((3, 2)), ["Na", "Cl"])
    with pytest.raises(InputError, match="'Xx'"):
        charge_balance(counts, ["Na", "Xx"])
    with pytest.raises(InputError, match="Na is listed twice"):
        charge_balance(counts, ["Na", "Na"])
    for wrong in (-1, 1_000_000):
        counts[1, 0] = wrong
        with pytest.raises(InputError, match="row 2"):
            charge_balance(counts, ["Na", "Cl"])
    with pytest.raises(InputError, match="icsd24_consensus3"):
        charge_balance(counts, ["Na", "Cl"], CompositionSettings("icsd99"))


def test_verdicts_name_screen_table_and_reason():
    crystals = [
        crystal_of("salt", "NaCl"),
        crystal_of("charged", "NaF2"),
        crystal_of("inverted", "Na2Cl"),
        crystal_of("helium", "HeCl"),
        crystal_of("promethium", "Pm2O3"),
        crystal_of("alloy", "CuAu"),
        crystal_of("silicon", "Si8"),
        Crystal("empty", (), np.eye(3), np.zeros((0, 3))),
        Crystal("unknown", ("Xx", "Cl"), np.eye(3), np.zeros((2, 3))),
        Crystal("nameless", (None, "Cl"), np.eye(3), np.zeros((2, 3))),
    ]
    verdicts = composition_verdicts(crystals)
    assert [one.candidate_id for one in verdicts] == [crystal.id for crystal in crystals] * 2
    assert [one.screen for one in verdicts] == ["charge_neutrality"] * 10 + ["electronegativity"] * 10
    said = {(one.screen, one.candidate_id): (one.verdict, one.reason) for one in verdicts}
    neutrality = {key[1]: value for key, value in said.items() if key[0] == "charge_neutrality"}
    balance = {key[1]: value for key, value in said.items() if key[0] == "electronegativity"}
    assert neutrality["salt"] == balance["salt"] == ("pass", "")
    assert neutrality["charged"][0] == balance["charged"][0] == "fail"
    assert "closest total for NaF2 is -1" in neutrality["charged"][1]
    assert neutrality["inverted"] == ("pass", "") and balance["inverted"][0] == "fail"
    assert "Cl +2 (3.16) and Na -1 (0.93)" in balance["inverted"][1]
    assert neutrality["helium"] == balance["helium"] == ("fail", "no oxidation state of He in smact14")
    assert neutrality["promethium"] == ("pass", "")
    assert balance["promethium"] == ("fail", "no Pauling electronegativity of Pm")
    assert neutrality["alloy"] == balance["alloy"] == ("pass", "passes as an alloy: metals only")
    assert neutrality["silicon"] == ("pass", "passes as a single element")
    assert neutrality["empty"] == balance["empty"] == ("error", "no atoms")
    assert neutrality["unknown"][0] == "error" and "Xx" in neutrality["unknown"][1]
    assert neutrality["nameless"][0] == "error"
    assert {one.tool for one in verdicts} == {"smact14"}
    sha256 = oxidation_table("smact14").sha256
    assert {one.tool_version for one in verdicts} == {f"smact {smact_version()} {sha256[:12]}"}
    assert all(one.seconds >= 0 for one in verdicts)
    assert composition_verdicts([]) == []


def test_verdicts_under_other_settings():
    crystals = [crystal_of("magnetite", "Fe3O4"), crystal_of("alloy", "LiBe2"), crystal_of("iron", "Fe3Cl")]
    plain = composition_verdicts(crystals, CompositionSettings("pymatgen_sp"))
    assert [one.verdict for one in plain] == ["fail", "pass", "fail"] * 2
    settings = CompositionSettings("pymatgen_sp", mixed_valence=True, alloys_pass=False)
    other = composition_verdicts(crystals, settings)
    assert [one.verdict for one in other] == ["pass", "fail", "fail"] * 2
    assert {one.tool for one in other} == {"pymatgen_sp"}
    assert "mixed valence" in other[0].tool_version and "alloys" in other[0].tool_version
    assert "closest total for Fe3Cl is +5" in other[2].reason


def test_reasons_agree_with_the_verdicts(compositions):
    """What the kernel refuses, the reason finds refused; what is only neutral has a choice to show."""
    crystals = [crystal_of(f"{i}", formula) for i, formula in enumerate(compositions[:300])]
    for settings in (CompositionSettings(), CompositionSettings("wiki", mixed_valence=True)):
        verdicts = composition_verdicts(crystals, settings)
        for one in verdicts:
            assert (one.verdict == "fail") == ("no " in one.reason or "only with" in one.reason)
            assert "total" not in one.reason or not one.reason.endswith(" is +0")
        assert "only with" in " ".join(one.reason for one in verdicts)


def test_composition_validity_is_the_electronegativity_balance():
    crystals = [
        crystal_of("salt", "Na4Cl4"),
        crystal_of("alloy", "CuAu"),
        crystal_of("promethium", "Pm2O3"),
        Crystal("empty", (), np.eye(3), np.zeros((0, 3))),
        Crystal("unknown", ("Xx", "Cl"), np.eye(3), np.zeros((2, 3))),
    ]
    table = composition_validity(crystals)
    assert list(table.columns) == ["id", "composition_valid", "formula", "reason"]
    assert table["composition_valid"].tolist() == [True, True, False, False, False]
    assert table["formula"].tolist() == ["NaCl", "CuAu", "Pm2O3", "", ""]
    assert table["reason"].tolist()[:4] == ["", "", "no Pauling electronegativity of Pm", "no atoms"]
    assert composition_validity([])["composition_valid"].dtype == bool
    with pytest.raises(InputError, match="icsd24_consensus3"):
        composition_validity(crystals, "icsd99")


def test_a_molecule_of_many_elements_and_five_hundred_atoms_are_judged_at_once():
    many = crystal_of("many", "FeMnCrVMoWReOsSSeNPC")
    large = crystal_of("large", "Fe120Si60O320")
    started = time.process_time()
    verdicts = composition_verdicts([many, large], CompositionSettings("wiki", mixed_valence=True))
    assert [one.verdict for one in verdicts] == ["pass"] * 4
    assert time.process_time() - started < 5


def test_single_element_formulas_beyond_smact_and_empty_ones():
    """SMACT takes no atoms at all for an alloy of metals; here that is no composition."""
    assert smact_validity(Composition({}))
    parsed = parse_formulas(["", "Rf", "NaCl"])
    assert charge_balance(parsed.counts).balanced.tolist() == [False, False, True]
    assert list(parsed.errors) == [0, 1]
