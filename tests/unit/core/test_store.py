"""The store of what was computed: found again, whatever happens to its files."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from matwheel.core import store as module
from matwheel.core.store import Records, digest, prune, sizes

METHOD = {"potential": "a", "double_precision": True}


def content(number: int) -> dict[str, np.ndarray]:
    return {"energy": np.float64(-number / 7), "forces": np.full((number % 5 + 1, 3), 1 / (number + 1))}


def key(number: int) -> bytes:
    return digest(str(number).encode())


def filled(folder: Path, numbers: range = range(20)) -> list[str]:
    said: list[str] = []
    records = Records(folder, METHOD, said.append)
    for number in numbers:
        records.put(key(number), content(number))
    records.close()
    return said


def same(found: dict[str, np.ndarray] | None, number: int) -> bool:
    expected = content(number)
    return found is not None and all(
        found[name].dtype == np.asarray(value).dtype and found[name].tobytes() == np.asarray(value).tobytes()
        for name, value in expected.items()
    )


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*/*.records")
    return path


def test_what_was_put_is_found_bit_by_bit_by_others_and_at_once(tmp_path: Path) -> None:
    filled(tmp_path)
    others = Records(tmp_path, METHOD)
    assert all(same(others.get(key(number)), number) for number in range(20))
    assert others.get(key(20)) is None
    others.put(key(20), content(20))
    assert same(others.get(key(20)), 20)
    assert Records(tmp_path, {**METHOD, "double_precision": False}).get(key(3)) is None


def test_arrays_of_any_kind_come_back(tmp_path: Path) -> None:
    arrays = {
        "empty": np.zeros((0, 3)), "number": np.float32(1.5), "flags": np.array([True, False]),
        "text": np.array("Å"), "complex": np.array([[1 + 2j]]), "transposed": np.arange(6).reshape(2, 3).T,
    }  # fmt: skip
    Records(tmp_path, METHOD).put(b"k" * 16, arrays)
    found = Records(tmp_path, METHOD).get(b"k" * 16)
    assert found is not None
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].shape == np.shape(value)
        assert found[name].flags.writeable


def test_where_a_part_of_a_key_ends_counts() -> None:
    assert digest(b"ab", b"c") != digest(b"a", b"bc")


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=filled, args=(tmp_path, range(first, first + 50)))
        for first in range(0, 200, 50)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    records = Records(tmp_path, METHOD)
    assert all(same(records.get(key(number)), number) for number in range(200))


def _killed_while_writing(folder: Path) -> None:
    written = os.write

    def half(file: int, data: bytes) -> int:
        written(file, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    filled(folder, range(3))
    module.os.write = half  # type: ignore[assignment]
    records = Records(folder, METHOD)
    records.put(key(3), content(3))


def test_a_record_that_a_killed_process_left_half_written_is_computed_again(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_killed_while_writing, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    said: list[str] = []
    records = Records(tmp_path, METHOD, said.append)
    assert records.get(key(3)) is None
    assert all(same(records.get(key(number)), number) for number in range(3))
    assert len(said) == 1
    assert "unfinished" in said[0]
    records.put(key(3), content(3))
    records.close()
    assert same(Records(tmp_path, METHOD).get(key(3)), 3)


def test_damage_anywhere_is_named_and_never_used(tmp_path: Path) -> None:
    filled(tmp_path)
    path = only_file(tmp_path)
    whole = path.read_bytes()
    random = np.random.default_rng(7)
    for trial in range(300):
        damaged = bytearray(whole)
        place = int(random.integers(len(whole)))
        if trial % 3:
            damaged[place] ^= 1 << int(random.integers(8))
        else:
            del damaged[place:]
        path.write_bytes(damaged)
        said: list[str] = []
        records = Records(tmp_path, METHOD, said.append)
        found = {number: records.get(key(number)) for number in range(20)}
        missing = [number for number, one in found.items() if one is None]
        assert all(same(one, number) for number, one in found.items() if one is not None)
        assert missing or bytes(damaged) == whole, (trial, place)
        if trial % 3:
            assert len(missing) <= 2  # the record, and the one before it where its mark is hit
            assert said, (trial, place)
        for number in missing:
            records.put(key(number), content(number))
            assert same(records.get(key(number)), number)
        records.close()
        for other in path.parent.iterdir():
            if other != path:
                other.unlink()


def test_a_full_disk_costs_the_record_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = os.write
    monkeypatch.setattr(module.os, "write", lambda file, data: written(file, data[: len(data) // 2]))
    said = filled(tmp_path)
    assert len(said) == 1
    assert "is the disk full?" in said[0]
    monkeypatch.undo()
    assert only_file(tmp_path).stat().st_size == 0
    assert Records(tmp_path, METHOD).get(key(0)) is None


def test_a_folder_that_cannot_be_made_or_written_costs_no_result(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = filled(tmp_path / "file" / "store")
    assert len(said) == 1
    assert "cannot be written" in said[0]
    assert Records(tmp_path / "file" / "store", METHOD).get(key(0)) is None


def test_a_file_that_vanishes_while_it_is_used_is_computed_again(tmp_path: Path) -> None:
    filled(tmp_path)
    said: list[str] = []
    records = Records(tmp_path, METHOD, said.append)
    assert same(records.get(key(0)), 0)
    only_file(tmp_path).unlink()
    assert records.get(key(1)) is None
    assert said


def test_size_and_age_are_told_and_what_is_not_used_goes(tmp_path: Path) -> None:
    filled(tmp_path)
    other = Records(tmp_path, {"potential": "b"})
    other.put(key(0), content(0))
    other.close()
    long_ago = 1_000_000_000
    os.utime(next(other.folder.glob("*.records")), (long_ago, long_ago))
    first, second = sizes(tmp_path)
    assert (first.records, first.files, first.method) == (20, 1, METHOD)
    assert first.unused_days < 1 < second.unused_days
    assert (second.records, second.method) == (1, {"potential": "b"})
    assert first.size_bytes == sum(path.stat().st_size for path in first.folder.glob("*.records"))
    assert prune(tmp_path, 365) == second.size_bytes
    assert [one.method for one in sizes(tmp_path)] == [METHOD]
    assert not second.folder.exists()
    assert same(Records(tmp_path, METHOD).get(key(0)), 0)


def test_use_counts_as_age(tmp_path: Path) -> None:
    filled(tmp_path)
    os.utime(only_file(tmp_path), (1_000_000_000, 1_000_000_000))
    Records(tmp_path, METHOD).get(key(0))
    assert prune(tmp_path, 1) == 0


def test_an_index_saves_reading_through_all_and_is_made_again_when_it_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path)
    assert same(Records(tmp_path, METHOD).get(key(3)), 3)
    index = only_file(tmp_path).with_suffix(".index")
    with monkeypatch.context() as changed:
        changed.setattr(module, "_scanned", None)
        assert same(Records(tmp_path, METHOD).get(key(4)), 4)
    for content in (b"", index.read_bytes()[:-1], b"x" + index.read_bytes()[1:]):
        index.write_bytes(content)
        assert same(Records(tmp_path, METHOD).get(key(5)), 5)
    # A file that another process has gone on writing since.
    grown = only_file(tmp_path)
    whole = grown.read_bytes()
    (begin, end), *_ = ((b, e) for k, b, e in module._scanned(grown)[0] if k == key(7))
    grown.write_bytes(whole[:begin] + whole[end:])
    assert Records(tmp_path, METHOD).get(key(7)) is None
    grown.write_bytes(whole)
    assert same(Records(tmp_path, METHOD).get(key(7)), 7)
    assert all(same(Records(tmp_path, METHOD).get(key(number)), number) for number in (0, 19))
