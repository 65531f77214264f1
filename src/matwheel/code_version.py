"""A hash of the code that a rule runs, blind to comments, docstrings and formatting.

Snakemake sees neither an edited module that a script imports nor that an edit was only a comment.
A rule that carries this hash among its parameters reruns exactly when the meaning of its code changed.
Of a registry (`matwheel.registries`) only the entries count whose module the rule names, so that a new
predictor does not train the old ones again.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

PACKAGE = "matwheel"
REGISTRY = "Registry["
"""How the annotation of a registry begins."""


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
    pending = [*_imports(Path(script).resolve(), root), *modules]
    reached: set[str] = set()
    while pending:
        module = pending.pop()
        if module not in reached:
            reached.add(module)
            pending.extend(_imports(_file_of(module, root), root))
    digest = sha256(_meaning(Path(script).resolve(), frozenset()).encode())
    for module in sorted(reached):
        path = _file_of(module, root)
        used = _registered_modules(path).intersection(modules)
        digest.update(f"\n{module}\n{_meaning(path, used)}".encode())
    return digest.hexdigest()[:16]


def _file_of(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise ModuleNotFoundError(f"{module} is not under {root}")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def _imports(path: Path, root: Path) -> tuple[str, ...]:
    """Name the package's modules that a file imports anywhere, inside functions too."""
    return tuple(sorted(set(_imported_modules(_tree(path), root))))


def _imported_modules(tree: ast.Module, root: Path) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [node.module, *(name for name in submodules if _is_module(name, root))]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == PACKAGE)


def _is_module(name: str, root: Path) -> bool:
    path = root.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@cache
def _meaning(path: Path, used: frozenset[str]) -> str:
    """Return the source without comments, docstrings, formatting and registry entries of other modules."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = body[1:] or [ast.Pass()]
    for registry in _registries(tree):
        kept = [place for place, entry in enumerate(registry.values) if _module_of(entry) in used]
        registry.keys = [registry.keys[place] for place in kept]
        registry.values = [registry.values[place] for place in kept]
    return ast.unparse(tree)


@cache
def _registered_modules(path: Path) -> frozenset[str]:
    """Name the modules that the registries of a file lead to."""
    return frozenset(_module_of(entry) for registry in _registries(_tree(path)) for entry in registry.values)


def _registries(tree: ast.Module) -> list[ast.Dict]:
    """Return the dicts that a module annotates as registries."""
    return [
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.value, ast.Dict)
        and ast.unparse(node.annotation).startswith(REGISTRY)
    ]


def _module_of(entry: ast.expr) -> str:
    """Return the module of a registry's entry (module, name in it); empty for another kind of entry."""
    is_pair = isinstance(entry, ast.Tuple) and isinstance(entry.elts[0], ast.Constant)
    return str(entry.elts[0].value) if is_pair else ""
