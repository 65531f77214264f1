"""The documents name what is there: links, settings, rules, targets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import jsonschema
import pytest
import yaml
from default_settings import default_settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
SCHEMA, REGISTRY_SCHEMA = (
    yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8"))
    for name in ("schemas/config.schema.yaml", "schemas/datasets.schema.yaml")
)
DEFAULTS = default_settings()
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
# `a.b.c` in a text, where a is a section of the config.
KEY = re.compile(rf"`((?:{'|'.join(SCHEMA['properties'])})(?:\.\w+)+)`")
BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
SUFFIXES = ("csv", "json", "parquet", "py", "smk", "svg", "zip")
OPTION = re.compile(r"--config ((?:'[^']+' ?)+)")
RULES = "".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("workflow/rules/**/*.smk")))


def patterns(paths: Iterable[PurePosixPath]) -> list[re.Pattern[str]]:
    """Return what matches outputs as rules write them; a wildcard stands for anything."""
    return [re.compile(re.sub(r"\\\{.*?\\\}|%s", ".+", re.escape(str(path)))) for path in sorted(paths)]


NAMED = {PurePosixPath(name) for name in re.findall(r'"(results/[^"]+)"', RULES)}
OUTPUTS = patterns(NAMED)
FOLDERS = patterns({folder for path in NAMED for folder in path.parents[:-2]})


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def paths_of(part: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the keys that a schema knows, from the top; '*' stands for a key of the user's choice."""
    if not isinstance(part, dict):
        return
    yield path
    for key, deeper in part.get("properties", {}).items():
        yield from paths_of(deeper, (*path, key))
    yield from paths_of(part.get("additionalProperties"), (*path, "*"))
    yield from paths_of(part.get("then"), path)
    if "$ref" in part:
        yield from paths_of(SCHEMA["$defs"][part["$ref"].removeprefix("#/$defs/")], path)


KNOWN = set(paths_of(SCHEMA))


def merged(base: Any, change: Any) -> Any:
    """Lay a config over another, as snakemake does."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return base | {key: merged(base.get(key), value) for key, value in change.items()}


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    dead = [link for link in links if not (page.parent / link).exists()]
    assert not dead


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = [
        page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.is_relative_to(ROOT / "docs")
    ]
    missing = [name for name in pages if name != "README.md" and f"({name})" not in index]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_setting_named_is_known(page: Path) -> None:
    for key in KEY.findall(page.read_text(encoding="utf-8")):
        path = tuple(key.split("."))
        if path[-1] in SUFFIXES:
            continue
        alike = [known for known in KNOWN if len(known) == len(path)]
        assert any(all(b in (a, "*") for a, b in zip(path, known, strict=True)) for known in alike), key


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_config_and_registry_entry_is_valid(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    contents = [yaml.safe_load(block) for block in BLOCK.findall(text)]
    for options in OPTION.findall(text):
        pairs = [option.split("=", 1) for option in re.findall(r"'([^']+)'", options)]
        contents += [{key: yaml.safe_load(value)} for key, value in pairs]
    for content in contents:
        if set(content) <= set(SCHEMA["properties"]):
            jsonschema.validate(merged(DEFAULTS, content), SCHEMA)
        elif all(isinstance(entry, dict) and "title" in entry for entry in content.values()):
            jsonschema.validate(content, REGISTRY_SCHEMA)


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_result_named_is_handed_on_by_a_rule(page: Path) -> None:
    """In commands and between backticks; {words in braces} stand for anything, as in rules."""
    text = page.read_text(encoding="utf-8")
    commands = [line.split(" #")[0] for line in text.splitlines() if line.startswith("snakemake ")]
    named = [name for line in commands for name in re.findall(r"(?<![\w/])results/[^\s'\"`,;]+", line)]
    named += re.findall(r"`(results/[^\s`*…]+)`", text)
    for name in named:
        name = re.sub(r"\{[^}]*\}", "any", name)
        if name.rstrip("/") == DEFAULTS["store"]:
            continue
        known = FOLDERS if name.endswith("/") else OUTPUTS
        assert any(pattern.fullmatch(name.rstrip("/")) for pattern in known), name
