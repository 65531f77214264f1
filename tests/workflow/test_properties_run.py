"""A run that computes properties of a user's own dataset, and what of it is computed again."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from pymatgen.io.cif import CifWriter
from tiny_project import TINY, copy_project, snakemake

from matwheel.crystals.crystal import Crystal, to_structure
from matwheel.crystals.table import read_table

ROWS = 14
NAME = "modulus"


def alloys() -> list[Crystal]:
    """Return ordered alloys, and one oxide, which EMT was not fitted to."""
    generator = np.random.default_rng(0)
    sites = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    made = []
    for number in range(ROWS - 1):
        species = tuple(generator.choice(["Cu", "Au", "Pd", "Ag"], 4))
        made.append(Crystal(f"alloy{number}", species, (3.7 + 0.03 * number) * np.eye(3), sites))
    return [*made, Crystal("oxide", ("Cu", "O"), 3 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]])]


def make_project(folder: Path) -> Path:
    project = copy_project(folder)
    crystals = alloys()
    frame = pd.DataFrame({"id": [one.id for one in crystals]})
    frame["cif"] = [str(CifWriter(to_structure(one))) for one in crystals]
    frame["energy"] = [one.species.count("Cu") + 0.01 * number for number, one in enumerate(crystals)]
    frame.to_csv(project / "alloys.csv", index=False)
    entry = {"path": "alloys.csv", "target": {"column": "energy"}, "properties": [NAME]}
    (project / "tiny_datasets.yaml").write_text(yaml.safe_dump({"alloys": entry}))
    properties = {
        "potential": "emt",
        "shard_size": 8,
        "computed": {"modulus": {"property": "bulk_modulus", "settings": {"relaxation_steps": 20}}},
    }
    (project / "tiny.yaml").write_text(
        yaml.safe_dump({**TINY, "datasets": ["alloys"], "properties": properties})
    )
    return project


def jobs(text: str) -> dict[str, int]:
    found = re.findall(r"^(\w+) +(\d+)$", text.partition("Job stats:")[2], re.MULTILINE)
    return {name: int(count) for name, count in found if name != "total"}


def test_properties_of_a_dataset(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    folder = "results/data/alloys"
    card = f"{folder}/random/oracles/{NAME}.svg"
    done = snakemake(project, card)
    assert done.returncode == 0, done.stdout + done.stderr

    crystals = read_table(project / folder / "crystals.parquet")
    table = read_table(project / folder / "properties" / f"{NAME}.parquet")
    assert list(table["id"]) == list(crystals["id"])
    assert list(table["status"]) == ["ok"] * (ROWS - 1) + ["refused"]
    assert table["bulk_modulus_gpa"][: ROWS - 1].notna().all()
    assert "not fitted to O" in table["reason"][ROWS - 1]
    shards = sorted((project / folder / "properties" / NAME).glob("shard*.parquet"))
    assert [len(read_table(path)) for path in shards] == [7, 7]
    scores = pd.read_csv(project / folder / "random/oracles" / f"{NAME}.csv")
    assert set(scores["computed"]) == {ROWS - 1} and scores["mae_constant"].notna().all()
    worst = pd.read_csv(project / folder / "random/oracles" / f"{NAME}_outliers.csv")
    assert worst["id"].iloc[-1] == "oxide" and worst["status"].iloc[-1] == "refused"

    page = snakemake(project, "results/report.html")
    assert page.returncode == 0, page.stderr
    html = (project / "results/report.html").read_text()
    assert "Oracles" in html and "not fitted to O" in html and "modulus against the label" in html

    assert jobs(snakemake(project, "-n", card).stdout) == {}
    changed = ["-n", "--config", "properties={computed: {modulus: {settings: {relaxation_steps: 30}}}}"]
    counts = jobs(snakemake(project, card, *changed).stdout)
    assert counts == {"compute_property": 2, "collect_property": 1, "score_oracle": 1}

    # What the registry says of properties is no parameter of the data.
    registry = yaml.safe_load((project / "tiny_datasets.yaml").read_text())
    registry["alloys"]["properties"] = [NAME, "highest_phonon"]
    (project / "tiny_datasets.yaml").write_text(yaml.safe_dump(registry))
    counts = jobs(snakemake(project, "-n", card, f"{folder}/random/oracles/highest_phonon.svg").stdout)
    assert counts == {"compute_property": 2, "collect_property": 1, "score_oracle": 1}
