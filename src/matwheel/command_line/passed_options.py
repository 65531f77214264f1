"""Options that a command hands on to snakemake, whose relative paths mean the folder of who typed them.

snakemake runs in the project's folder. So files of settings are named from the root on, and single settings
go into one more such file, where numbers are numbers and a path may hold any character: what `--config` says
reaches jobs through a shell, without types.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from matwheel.core.config_values import conformed, parsed_setting, placed_path, with_paths_from
from matwheel.core.errors import InputError

_SCHEMA = Path("config", "schemas", "config.schema.yaml")
_PROFILES = ("--profile", "--workflow-profile")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a parser take the options of snakemake that hold settings or paths."""
    parser.add_argument(
        "--config", "-C", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="settings of the workflow, as for snakemake; relative paths begin in this folder",
    )  # fmt: skip
    parser.add_argument(
        "--configfile", "--configfiles", nargs="+", action="extend", default=[], metavar="FILE",
        help="files of settings, as for snakemake; relative ones begin in this folder",
    )  # fmt: skip
    for option in _PROFILES:
        parser.add_argument(option, action="append", default=[], metavar="FOLDER", help="as for snakemake")


@contextmanager
def handed_on(
    options: argparse.Namespace, project: Path, imported: Mapping[str, Any] | None = None
) -> Iterator[list[str]]:
    """Yield arguments of snakemake that say what the options of `add_options` say, for as long as it runs.

    Args:
        imported: sets of crystals to be added to the setting of that name.

    Raises:
        InputError: a file that is not there or holds no settings, or a setting that is none.
    """
    here = Path.cwd()
    files = [_settings_file(name, here) for name in options.configfile]
    settings = _settings(options.config, project, here)
    if imported:
        already = settings.setdefault("imported", {})
        if not isinstance(already, dict):
            raise InputError(f"--config imported={already}: write 'imported={{name: file}}'")
        already.update(imported)
    scratch = project / ".snakemake"
    try:
        scratch.mkdir(exist_ok=True)
        kept = tempfile.TemporaryDirectory(prefix="settings-", dir=scratch)
    except OSError as error:
        raise InputError(f"{scratch}: cannot be written ({error.strerror}); run in a copy of it") from error
    with kept as folder:
        if settings:
            files.append(Path(folder, "settings.json"))
            files[-1].write_text(json.dumps(settings), encoding="utf-8")
        # A list of files reaches to the next option, so that it must not come last.
        yield [*(["--configfile", *map(str, files)] if files else []), *_profiles(options, here)]


def refuse_shortened(arguments: Sequence[str]) -> None:
    """Refuse what snakemake would take for a shortened --configfile, which would replace those of ours.

    Raises:
        InputError: there is one.
    """
    for argument in arguments:
        if re.match(r"--configf", argument):
            raise InputError(f"{argument.partition('=')[0]}: write --configfile in full")


def _profiles(options: argparse.Namespace, here: Path) -> list[str]:
    """Return the profiles asked for; one may also be a name, or a folder of the project."""
    arguments = []
    for option in _PROFILES:
        for asked in getattr(options, option.lstrip("-").replace("-", "_")):
            path = placed_path(asked, here)
            arguments += [option, str(path) if path.exists() else asked]
    return arguments


def _settings_file(name: str, here: Path) -> Path:
    path = placed_path(name, here)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--configfile {name}: {path} cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"--configfile {name}: no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise InputError(f"--configfile {name}: holds no settings; write lines like 'seed: 3'")
    return path


def _settings(given: Sequence[str], project: Path, here: Path) -> dict[str, Any]:
    """Return settings KEY=VALUE in the types and with the paths that the project's schema says."""
    settings: dict[str, Any] = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not sign or not re.fullmatch(r"[A-Za-z_]\w*", key):
            if sign and re.fullmatch(r"\w+(\.\w+)+", key):
                section, _, name = key.partition(".")
                raise InputError(f"--config {text}: write '{section}={{{name}: {value}}}'")
            raise InputError(f"--config {text}: write KEY=VALUE, and -- before what follows the settings")
        settings = _laid_over(settings, {key: parsed_setting(value)})
    schema: Mapping[str, Any] = {}
    if settings and (project / _SCHEMA).is_file():
        schema = yaml.safe_load((project / _SCHEMA).read_text(encoding="utf-8"))
    return with_paths_from(conformed(settings, schema, from_texts=True), schema, here)


def _laid_over(base: Any, change: Any) -> Any:
    """Return settings with others laid over them, mappings key by key, as snakemake does."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return base | {key: _laid_over(base.get(key), value) for key, value in change.items()}
