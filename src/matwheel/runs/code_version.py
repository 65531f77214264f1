"""A hash of the code that a rule runs, blind to comments, docstrings and formatting, and of its libraries.

Snakemake sees neither an edited module that a script imports, nor that an edit was only a comment, nor an
upgraded library. A rule that carries this hash among its parameters reruns exactly when the meaning of its
code or the version of a library that the code imports changed.
Of a registry (`matwheel.core.registries`) only the entries count whose module the rule names, so that a new
predictor does not train the old ones again.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

PACKAGE = "matwheel"
REGISTRY = "Registry["
"""How the annotation of a registry begins."""

CHECKING = frozenset({"pydantic", "pydantic_core", f"{PACKAGE}.core.settings"})
"""What refuses wrong settings and changes no result, so that an upgrade or an edit of it reruns nothing."""

DISTRIBUTIONS = {"PIL": "pillow", "mpl_toolkits": "matplotlib", "sklearn": "scikit-learn", "yaml": "PyYAML"}
"""Imported name → name of what is installed, where they differ."""

UNDERLYING = {
    "phonopy": ("symfc", "spglib"),
    "pymatgen": ("spglib",),
    "pyxtal": ("pymatgen", "spglib"),
    "sevenn": ("e3nn",),
}
"""Library → others that its numbers rest on and the project may not import itself."""


# A workflow asks the same for thousands of jobs, and many scripts reach the same modules.
@cache
def code_version(script: str | Path, *modules: str, source_root: str | Path) -> str:
    """Return 16 hexadecimal digits that stand for a script and the code it reaches.

    Args:
        script: the rule's script.
        modules: modules that the script reaches by name only (through a registry), e.g.
            'matwheel.predictors.cgcnn'.
        source_root: the folder that holds the package `matwheel`.

    Raises:
        ModuleNotFoundError: a module of the package does not exist.
    """
    root = Path(source_root).resolve()
    source = _read(Path(script).resolve(), root)
    pending = [*source.imports, *modules]
    reached: dict[str, _Source] = {}
    while pending:
        module = pending.pop()
        if module not in reached:
            reached[module] = _read(_file_of(module, root), root)
            pending.extend(reached[module].imports)
    names = set(source.libraries).union(*(one.libraries for one in reached.values()))
    libraries = {distribution_of(name) for name in names}
    libraries = libraries.union(*(UNDERLYING.get(name, ()) for name in libraries))
    digest = sha256(source.meaning.encode())
    digest.update("\n".join(f"{name} {library_version(name)}" for name in sorted(libraries)).encode())
    for module in sorted(reached):
        source = reached[module]
        used = [text for registered, text in source.entries if registered in modules]
        digest.update("\n".join(["", module, source.meaning, *used]).encode())
    return digest.hexdigest()[:16]


class _Source(NamedTuple):
    meaning: str  # without comments, docstrings, formatting and the entries of registries
    entries: tuple[tuple[str, str], ...]  # of registries: module, text
    imports: tuple[str, ...]  # modules of the package, those imported inside functions too
    libraries: tuple[str, ...]  # top-level names of other packages, without the standard library


def distribution_of(name: str) -> str:
    """Return what is installed for an imported name."""
    return DISTRIBUTIONS.get(name, name)


@cache
def library_version(distribution: str) -> str:
    """Return the installed version; empty for what is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


@cache
def _file_of(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise ModuleNotFoundError(f"{module} is not under {root}")


@cache
def _read(path: Path, root: Path) -> _Source:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    nodes = list(ast.walk(tree))
    names = set(_imported_names(nodes))
    names -= CHECKING
    imports = tuple(sorted(name for name in names | set(_submodules(nodes, root)) if _is_ours(name)))
    tops = {name.split(".")[0] for name in names if not _is_ours(name)}
    libraries = tuple(sorted(tops - sys.stdlib_module_names - CHECKING))
    _drop_docstrings(nodes)
    entries = tuple(_take_entries(tree))
    return _Source(ast.unparse(tree), entries, imports, libraries)


def _imported_names(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def _submodules(nodes: list[ast.AST], root: Path) -> Iterator[str]:
    """Yield what `from package import module` imports, where it is a module of ours."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module and _is_ours(node.module):
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name for name in names if _is_module(name, root))


def _is_ours(name: str) -> bool:
    return name.split(".")[0] == PACKAGE


def _is_module(name: str, root: Path) -> bool:
    path = root.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _drop_docstrings(nodes: list[ast.AST]) -> None:
    for node in nodes:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            # Also the texts below constants and settings.
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _take_entries(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Empty the registries of a file; return each entry, (module, name in it), with its module."""
    for node in tree.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.value, ast.Dict):
            continue
        if not ast.unparse(node.annotation).startswith(REGISTRY):
            continue
        for key, value in zip(node.value.keys, node.value.values, strict=True):
            first = value.elts[0] if isinstance(value, ast.Tuple) else None
            module = str(first.value) if isinstance(first, ast.Constant) else ""
            name = ast.unparse(key) if key else "**"
            yield module, f"{name}: {ast.unparse(value)}"
        node.value.keys, node.value.values = [], []
