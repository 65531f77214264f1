from pathlib import Path

import pytest
import smact

from matwheel.compositions.charge_balance import CompositionSettings
from matwheel.compositions.formulas import ELEMENTS
from matwheel.compositions.oxidation_states import (
    OXIDATION_TABLES,
    Icsd24Thresholds,
    metals,
    oxidation_table,
    pauling_electronegativities,
    read_oxidation_table,
)
from matwheel.core.errors import InputError

FILES = {
    "smact14": "oxidation_states.txt",
    "icsd16": "oxidation_states_icsd.txt",
    "icsd24": "oxidation_states_icsd24_filtered.txt",
    "pymatgen_sp": "oxidation_states_SP.txt",
    "wiki": "oxidation_states_wiki.txt",
}


def test_named_tables_are_the_files_of_smact():
    tables = {name: oxidation_table(name) for name in OXIDATION_TABLES}
    for name, file in FILES.items():
        read = read_oxidation_table(Path(smact.data_directory) / file)
        assert read.sha256 == tables[name].sha256 and read.states == tables[name].states
        assert read.name == file
    assert len({table.sha256 for table in tables.values()}) == len(OXIDATION_TABLES)
    assert tables["smact14"].states["Fe"] == (-2, -1, 1, 2, 3, 4, 5, 6)
    assert "He" not in tables["smact14"].states and 0 in tables["wiki"].states["Fe"]


def test_thresholds_of_icsd24():
    assert oxidation_table("icsd24_consensus3").sha256 == oxidation_table("icsd24", Icsd24Thresholds()).sha256
    assert oxidation_table("icsd24").sha256 == oxidation_table("icsd24", Icsd24Thresholds(6)).sha256
    main = oxidation_table("icsd24", Icsd24Thresholds(commonality="main"))
    assert {len(states) for states in main.states.values()} == {1} and "main" in main.name
    zero = oxidation_table("icsd24", Icsd24Thresholds(include_zero=True))
    assert 0 in zero.states["Pd"] and "zero" in zero.name
    with pytest.raises(InputError, match="only to icsd24"):
        oxidation_table("smact14", Icsd24Thresholds())
    for wrong in ({"consensus": 0}, {"consensus": 2.5}, {"commonality": "rare"}, {"commonality": 101}):
        with pytest.raises(InputError, match=str(next(iter(wrong.values())))):
            CompositionSettings("icsd24", icsd24_thresholds=wrong)


def test_a_users_file(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("# mine\n\n  Fe +3 2 2\nO\t-2\nHe\nRf 4\n")
    table = oxidation_table(str(path))
    assert dict(table.states) == {"O": (-2,), "Fe": (2, 3)} and table.name == "mine.txt"
    other = tmp_path / "other.txt"
    other.write_text("O -2\nFe 2 3\n")
    assert oxidation_table(str(other)).sha256 == table.sha256
    other.write_text("O -2\nFe 2 3 4\n")
    assert oxidation_table(str(other)).sha256 != table.sha256


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Na 1\nXx 2\n", "line 2: 'Xx' is no element"),
        ("Na 1\n\nCl -1 x\n", "line 3: 'x' is no oxidation state of Cl"),
        ("Na 1 # one\n", "line 1: '#'"),
        ("Na 1,2\n", "'1,2'"),
        ("Na 1.5\n", "'1.5'"),
        ("Na 21\n", "'21'"),
        ("Na 1\nCl -1\nNa 2\n", "line 3: Na is already in line 1"),
        ("# nothing\nNa\n", "has no states"),
        ("", "has no states"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, text, complaint):
    path = tmp_path / "mine.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=r"mine\.txt") as error:
        oxidation_table(str(path))
    assert complaint in str(error.value)


def test_neither_name_nor_text_file(tmp_path):
    with pytest.raises(InputError, match="smact14, icsd16"):
        oxidation_table("smact15")
    binary = tmp_path / "states.bin"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"states\.bin cannot be read"):
        oxidation_table(str(binary))


def test_elements_without_electronegativity():
    known = pauling_electronegativities()
    assert [symbol for symbol in ELEMENTS if symbol not in known] == ["He", "Ne", "Ar", "Pm", "Rn", "Lr"]
    assert metals() < set(ELEMENTS) and not {"Pm", "Si", "As"} & metals() and "Ge" in metals()
