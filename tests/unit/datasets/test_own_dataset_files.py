"""A user's own dataset in the file formats that this field uses."""

import gzip
import json
import zipfile

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from matwheel.crystals.table import crystals_of_table
from matwheel.datasets.dataset import load_dataset
from matwheel.datasets.registry import parse_registry
from matwheel.datasets.sources import DatasetError

STRUCTURES = {
    "NaCl": Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]),
    "Na": Structure(Lattice.cubic(4.29), ["Na", "Na"], [[0, 0, 0], [0.5] * 3]),
    "ZnO": Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(3.25, 5.2), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]]
    ),
}
TARGETS = {"NaCl": 5.0, "Na": -0.25, "ZnO": 1.5}


def cifs():
    return {name: str(CifWriter(structure)) for name, structure in STRUCTURES.items()}


def extxyz(structure, name, target):
    lattice = " ".join(f"{value:.8f}" for value in structure.lattice.matrix.ravel())
    lines = [
        str(len(structure)),
        f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 id={name} gap={target}',
    ]
    lines += [f"{site.specie} {' '.join(f'{x:.8f}' for x in site.coords)}" for site in structure]
    return "\n".join(lines) + "\n"


def write(path, kind):
    """Write the dataset in one of the formats; return what its registry entry has to say."""
    rows = [{"id": name, "gap": TARGETS[name]} for name in STRUCTURES]
    texts = cifs()
    if kind == "json":
        content = [{**row, "structure": STRUCTURES[row["id"]].as_dict()} for row in rows]
        path.write_text(json.dumps(content))
    elif kind == "json.gz":
        names = list(STRUCTURES)
        split = {
            "columns": ["structure", "gap", "id"],
            "index": [0, 1, 2],
            "data": [[STRUCTURES[name].as_dict(), TARGETS[name], name] for name in names],
        }
        path.write_bytes(gzip.compress(json.dumps(split).encode()))
    elif kind == "extxyz":
        path.write_text("".join(extxyz(STRUCTURES[name], name, TARGETS[name]) for name in STRUCTURES))
    elif kind == "poscars.csv":
        frame = pd.DataFrame(rows)
        frame["poscar"] = [Poscar(STRUCTURES[name]).get_str() for name in STRUCTURES]
        frame.to_csv(path, index=False)
    elif kind == "european.csv":
        quoted = {name: text.replace('"', '""') for name, text in texts.items()}
        lines = [f'{name};"{quoted[name]}";{str(TARGETS[name]).replace(".", ",")}' for name in STRUCTURES]
        path.write_bytes("\r\n".join(["ID;CIF;Gap", *lines, ""]).encode("utf-16"))
    elif kind == "folder":
        path.mkdir()
        # As CGCNN and ALIGNN want it: no header line; names of files or of crystals.
        (path / "id_prop.csv").write_text("NaCl,5.0\nNa.vasp,-0.25\nZnO,1.5\n")
        (path / "NaCl.cif").write_text(texts["NaCl"])
        (path / "Na.vasp").write_text(Poscar(STRUCTURES["Na"]).get_str())
        (path / "ZnO.cif.gz").write_bytes(gzip.compress(texts["ZnO"].encode()))
        (path / "atom_init.json").write_text("{}")
        (path / ".ipynb_checkpoints").mkdir()
        (path / ".ipynb_checkpoints" / "NaCl-checkpoint.cif").write_text("old")
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("targets.csv", "id,gap\nNaCl,5.0\nNa,-0.25\nZnO,1.5\n")
            for name, text in texts.items():
                archive.writestr(f"{name}.cif", text)
            archive.writestr("__MACOSX/._NaCl.cif", "resource fork")


def entry(path, **keys):
    content = {"target": {"column": "gap"}, "path": str(path), **keys}
    return parse_registry({"mine": content})["mine"]


@pytest.mark.parametrize(
    "kind", ["json", "json.gz", "extxyz", "poscars.csv", "european.csv", "folder", "zip"]
)
def test_every_format_gives_crystals_ids_and_targets(tmp_path, kind):
    path = tmp_path / f"mine.{kind}"
    write(path, kind)
    table, provenance = load_dataset(entry(path))
    ids = [name.removesuffix(".vasp") for name in table["id"]]
    assert ids == list(STRUCTURES) and list(table["target"]) == list(TARGETS.values())
    for crystal, structure in zip(crystals_of_table(table), STRUCTURES.values(), strict=True):
        assert crystal.element_counts == {
            str(element): int(count) for element, count in sorted(structure.composition.items())
        }
        assert crystal.volume_angstrom3 == pytest.approx(structure.volume, rel=1e-5)
    assert len(provenance["sha256"]) == 64
    assert all("\n" not in note for note in provenance["notes"])
    if kind == "european.csv":
        assert any("UTF-16" in note for note in provenance["notes"])


def test_a_column_named_by_the_entry_and_one_that_is_not_there(tmp_path):
    path = tmp_path / "mine.csv"
    frame = pd.DataFrame({"name": list(STRUCTURES), "text": list(cifs().values()), "gap": [1.0, 2.0, 3.0]})
    frame.to_csv(path, index=False)
    table, _ = load_dataset(entry(path, id_column="name", crystal_column="text"))
    assert list(table["id"]) == list(STRUCTURES)
    with pytest.raises(DatasetError, match=r"'tex'.*name, text, gap"):
        load_dataset(entry(path, id_column="name", crystal_column="tex"))


def test_crystals_of_a_folder_that_no_row_names_are_named(tmp_path):
    path = tmp_path / "mine.folder"
    write(path, "folder")
    (path / "extra.cif").write_text(cifs()["NaCl"])
    notes = load_dataset(entry(path))[1]["notes"]
    assert any("1 crystals without a row in id_prop.csv were left out: extra.cif" in note for note in notes)


def test_an_entry_with_two_files_or_none_is_named(tmp_path):
    path = tmp_path / "mine.folder"
    write(path, "folder")
    (path / "NaCl.vasp").write_text(Poscar(STRUCTURES["NaCl"]).get_str())
    (path / "ZnO.cif.gz").unlink()
    with pytest.raises(DatasetError) as refusal:
        load_dataset(entry(path))
    said = str(refusal.value)
    assert "2 of 3 rows cannot be used" in said
    assert "row 1 (id NaCl): 2 files NaCl.cif, NaCl.vasp; keep one of them" in said
    assert "row 3 (id ZnO): the file" in said and "does not exist" in said


def test_notes_of_rows_stand_in_the_provenance(tmp_path):
    path = tmp_path / "mine.json"
    charged = STRUCTURES["NaCl"].copy()
    charged.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    rows = [{"id": f"m{i}", "gap": float(i), "structure": charged.as_dict()} for i in range(3)]
    path.write_text(json.dumps(rows))
    table, provenance = load_dataset(entry(path))
    assert len(table) == 3 and provenance["notes"] == ["row 1 and 2 more: oxidation states were not read"]


def test_atoms_on_top_of_each_other_are_no_training_row(tmp_path):
    path = tmp_path / "mine.csv"
    near = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.1, 0, 0]])
    texts = [cifs()["NaCl"], str(CifWriter(near)), cifs()["ZnO"]]
    pd.DataFrame({"cif": texts, "gap": [1.0, 2.0, 3.0]}).to_csv(path, index=False)
    with pytest.raises(DatasetError, match=r"row 2 \(id row-00002\): two atoms are closer than 0.5 Å"):
        load_dataset(entry(path))
