"""Archives: the same bytes for the same content, whole or absent."""

import zipfile

import numpy as np
import pytest

from matwheel.core.archives import write_arrays, write_zip


def test_arrays_come_back_and_have_the_same_bytes(tmp_path, monkeypatch):
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_arrays(tmp_path / "one.npz", rows=rows, name="Å", count=7)
    # The clock of the machine must not get into the file.
    monkeypatch.setattr("time.localtime", lambda *_: (2031, 5, 6, 7, 8, 9, 0, 0, 0))
    write_arrays(tmp_path / "two.npz", rows=rows, name="Å", count=7)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz", allow_pickle=False) as saved:
        assert saved["rows"].dtype == np.float32 and np.array_equal(saved["rows"], rows)
        assert str(saved["name"]) == "Å" and int(saved["count"]) == 7


def test_files_keep_their_order_and_have_the_same_bytes(tmp_path, monkeypatch):
    entries = [("b.cif", b"second" * 100), ("a.cif", b"")]
    write_zip(entries, tmp_path / "one.zip")
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2031, 5, 6, 7, 8, 9, 0, 0, 0))
    write_zip(iter(entries), tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["b.cif", "a.cif"]
        assert archive.read("b.cif") == b"second" * 100
        assert archive.getinfo("b.cif").compress_size < 100


def test_an_archive_that_fails_halfway_leaves_the_old_one(tmp_path):
    def entries():
        yield "a", b"new"
        raise RuntimeError("no more")

    path = tmp_path / "one.zip"
    write_zip([("a", b"old")], path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="no more"):
        write_zip(entries(), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
