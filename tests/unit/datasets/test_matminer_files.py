"""The file that matminer's loader would fetch, placed by hand in a mirror folder."""

import gzip
import json
import sys
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from matminer.datasets import get_all_dataset_info
from matminer.utils.io import store_dataframe_as_json

from matwheel.core.errors import InputError
from matwheel.crystals.crystal import to_structure
from matwheel.datasets import sources
from matwheel.datasets.registry import Source
from matwheel.datasets.sources import (
    DatasetError,
    SourceUnavailable,
    by_hand,
    is_in_mirror,
    matminer_file,
    read_matminer,
)


def source_of(name, digest=None):
    return Source("matminer", name, digest, None, "mpid", "structure", "structure", "exfoliation_en")


@pytest.fixture
def placed(tmp_path, jarvis_crystals):
    """A few layered crystals in the format of jarvis_dft_2d.json.gz: a split table with structures inside."""
    crystals = jarvis_crystals[0][:4]
    table = pd.DataFrame(
        {
            "exfoliation_en": [63.84, 86.048, 0.0265, 1604.04],
            "jid": [f"JVASP-{number}" for number in range(4)],
            "mpid": [crystal.id for crystal in crystals],
            "structure": [to_structure(crystal) for crystal in crystals],
        }
    )
    path = tmp_path / "tiny_2d.json.gz"
    store_dataframe_as_json(table, str(path), pbar=False)
    content = json.loads(gzip.decompress(path.read_bytes()))
    assert set(content) == {"data", "columns", "index"} and content["data"][0][3]["@class"] == "Structure"
    return crystals, path


def test_a_file_placed_by_hand_is_read_and_nothing_is_fetched(placed, tmp_path, monkeypatch):
    crystals, path = placed
    monkeypatch.setattr(sources.subprocess, "run", lambda *_, **__: pytest.fail("asked the server"))
    source = source_of("tiny_2d", sha256(path.read_bytes()).hexdigest())
    assert is_in_mirror(source, [tmp_path / "elsewhere", tmp_path])
    table = read_matminer(source, [tmp_path / "elsewhere", tmp_path])
    assert table["mpid"].tolist() == [crystal.id for crystal in crystals]
    assert table["exfoliation_en"].tolist() == [63.84, 86.048, 0.0265, 1604.04]
    for structure, crystal in zip(table["structure"], crystals, strict=True):
        np.testing.assert_allclose(structure.lattice.matrix, crystal.lattice, atol=1e-10)
        assert [site.specie.symbol for site in structure] == list(crystal.species)


def test_other_bytes_are_refused_by_the_sha256_of_matminer(placed, tmp_path):
    _, path = placed
    path.rename(tmp_path / "jarvis_dft_2d.json.gz")
    known = "6994355a15ae960e3e204a1208db68eb490b5be363b15b97b36d2e0cd09b6d99"
    with pytest.raises(DatasetError, match=rf"jarvis_dft_2d\.json\.gz: wrong sha256: expected {known}"):
        read_matminer(source_of("jarvis_dft_2d"), [tmp_path])
    path.write_bytes(gzip.compress(b'{"rows": []}'))
    with pytest.raises(DatasetError, match=r"tiny_2d\.json\.gz: no table of matminer"):
        read_matminer(source_of("tiny_2d"), [tmp_path])
    path.write_bytes(gzip.compress(b'{"data": '))
    with pytest.raises(DatasetError, match=r"tiny_2d\.json\.gz: no table of matminer"):
        read_matminer(source_of("tiny_2d"), [tmp_path])


@pytest.mark.parametrize("name", ["jarvis_dft_2d", "dielectric_constant"])
def test_file_and_address_are_those_of_matminer(name):
    file = matminer_file(source_of(name))
    told = get_all_dataset_info(name)
    assert file.name == f"{name}.json.gz" and file.url in told
    said = by_hand(source_of(name), ["resources/mirror"])
    assert said == (
        f"By hand: place the file {name}.json.gz (from {file.url}, sha256 {file.sha256}) in resources/mirror "
        "and run again."
    )


def test_without_the_file_matminers_loader_is_asked(tmp_path, monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(command[-2])
        return sources.subprocess.CompletedProcess(command, 1, "", "no network")

    monkeypatch.setattr(sources.subprocess, "run", run)
    assert not is_in_mirror(source_of("jarvis_dft_2d"), [tmp_path])
    with pytest.raises(SourceUnavailable, match="no network"):
        read_matminer(source_of("jarvis_dft_2d"), [tmp_path])
    assert asked == ["jarvis_dft_2d"]


def test_without_matminer_the_message_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "matminer", None)
    sources._matminer_datasets.cache_clear()
    with pytest.raises(InputError, match="the package matminer is not installed; run `make environment`"):
        matminer_file(source_of("jarvis_dft_2d"))
