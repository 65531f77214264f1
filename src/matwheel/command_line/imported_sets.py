"""Sets of a user's crystals: what each is called, what it was made of, and that none replaces another.

Beside the results of a set lies `source.json`: the path that it was read from, the sha256 of what stood
there, and how many entries were read and refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from matwheel.core.errors import InputError
from matwheel.core.files import read_json

NAME_PATTERN = r"[A-Za-z0-9_-]+"
SOURCE, CRYSTALS = "source.json", "generated.parquet"
_FOLDER = Path("results", "imported")
_LONGEST_NAME = 100
_DIGITS = 8
# Snakemake takes a wildcard that repeats itself twenty times for the sign of a loop in the rules.
_REPEATED = re.compile(r"(.+?)\1{14,}")


@dataclass(frozen=True)
class SetName:
    """Name of a set of crystals, and in one line why it is not the one that was to be expected."""

    name: str
    said: str = ""


def located(path: str | Path) -> Path:
    """Return where a file or folder lies, from the root on; a link keeps its own name.

    Raises:
        InputError: a name that cannot be handed on: with line breaks or not in the system's encoding.
    """
    text = os.path.abspath(path) if Path(path).name in ("", "..") else str(path)
    found = Path(os.path.realpath(Path(text).parent)) / Path(text).name
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", str(found)):
        raise InputError(
            f"{str(path)!r}: the name holds a line break, another control character or bytes that are no "
            "UTF-8; rename it"
        )
    return found


def default_name(path: Path) -> str:
    """Return a set's name after its file or folder: the whole name without the suffixes of its kind."""
    from matwheel.crystals.crystal_files import stem_of

    stem = path.name if path.is_dir() else stem_of(path.name)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")
    return _REPEATED.sub(r"\1", name)[:_LONGEST_NAME] or "crystals"


def content_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of a folder's files that may hold crystals.

    Raises:
        InputError: it does not exist or cannot be read.
    """
    from matwheel.crystals.crystal_files import kind_of, members_of

    if not path.is_dir():
        return _sha256_of_file(path)
    digest = sha256()
    for name, read in members_of(path).items():
        if kind_of(name.rpartition("/")[2]):
            digest.update(name.encode(errors="surrogateescape") + b"\0" + _sha256_of_member(read))
    return digest.hexdigest()


def _sha256_of_member(read: Callable[[], bytes]) -> bytes:
    try:
        return sha256(read()).digest()
    except OSError:  # the reader refuses it by name
        return b"unreadable"


def _sha256_of_file(path: Path) -> str:
    digest = sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except FileNotFoundError as error:
        raise InputError(f"{path}: does not exist; correct the path") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    return digest.hexdigest()


def name_of_input(path: Path, project: Path) -> SetName:
    """Return the name of an input's set: that of its file, or with digits of its own where another has that.

    An input is a path with what stands there, so that an edited file is another input and an unchanged one
    finds its results again.

    Args:
        path: of the crystals, as `located` gives it.
    """
    name = default_name(path)
    content = content_sha256(path)
    recorded = _recorded(name, project)
    if recorded is None and not (_folder(name, project) / CRYSTALS).exists():
        return SetName(name)
    if recorded is not None and _is_at(path, recorded, project) and recorded["sha256"] == content:
        return SetName(name)
    digits = sha256(f"{path} {content}".encode()).hexdigest()[:_DIGITS]
    return SetName(
        f"{name}-{digits}", f"{_owner(name, recorded, path, project)}; {path} goes to {name}-{digits}"
    )


def check_name(name: str, path: Path, project: Path) -> SetName:
    """Return a name that a user gave to an input.

    Args:
        path: of the crystals, as `located` gives it.

    Raises:
        InputError: characters that it cannot have, or its results are of another input: of another path with
            other content.
    """
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > _LONGEST_NAME:
        raise InputError(f"name {name!r}: use up to {_LONGEST_NAME} letters, digits, '-' and '_'")
    if _REPEATED.search(name):
        raise InputError(f"name {name!r}: repeats itself too often for snakemake; give another name")
    recorded = _recorded(name, project)
    is_unknown = recorded is None and (_folder(name, project) / CRYSTALS).exists()
    if is_unknown or other_input(name, path, project):
        raise InputError(
            f"name {name}: {_owner(name, recorded, path, project)}, not of {path}; give another name with "
            "--name, or move that folder away"
        )
    if recorded is not None and recorded["sha256"] != content_sha256(path):
        return SetName(name, f"{path} was edited: {_FOLDER / name} is made anew")
    return SetName(name)


def other_input(name: str, path: Path, project: Path) -> str:
    """Return the path that a set's results were made of where it is another one with other content; else ''.

    Contents are compared only where the paths differ, so that this costs nothing in most cases.
    """
    recorded = _recorded(name, project)
    if recorded is None or _is_at(path, recorded, project) or recorded["sha256"] == content_sha256(path):
        return ""
    return str(recorded["path"])


def _folder(name: str, project: Path) -> Path:
    return project / _FOLDER / name


def _recorded(name: str, project: Path) -> Mapping[str, Any] | None:
    """Return what a set was made of, None where that is not known."""
    try:
        content = read_json(_folder(name, project) / SOURCE)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and {"path", "sha256"} <= set(content) else None


def _is_at(path: Path, recorded: Mapping[str, Any], project: Path) -> bool:
    return located(project / str(recorded["path"])) == path


def _owner(name: str, recorded: Mapping[str, Any] | None, path: Path, project: Path) -> str:
    """Say of what the results of a name were made, of an input that is not `path` as it is now."""
    if recorded is None:
        return f"{_FOLDER / name} holds results of an input that is not known"
    if _is_at(path, recorded, project):
        return f"{path} was edited since {_FOLDER / name} was made of it"
    return f"{_FOLDER / name} holds the results of {recorded['path']}"
