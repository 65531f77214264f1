"""A hash of the code that a rule runs, blind to comments, docstrings and formatting, and of its libraries.

Snakemake sees neither an edited module that a script imports, nor that an edit was only a comment, nor an
upgraded library. A rule that carries this hash among its parameters reruns exactly when the meaning of its
code or the version of a library that the code imports changed.
Of a registry (`matwheel.core.registries`) only the entries count whose module the rule names, so that a new
predictor does not train the old ones again.
The hash is that of the syntax tree, written here (`meaning`) and not by `ast.unparse` or `ast.dump`, whose
texts differ between versions of Python.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

PACKAGE = "matwheel"
REGISTRY = "Registry"
"""How the annotation of a registry begins."""

CHECKING = frozenset(
    {"pydantic", "pydantic_core", f"{PACKAGE}.core.settings", f"{PACKAGE}.runs.recorded_code"}
)
"""What refuses wrong settings or code and changes no result: an upgrade or an edit of it reruns nothing."""

DISTRIBUTIONS = {"PIL": "pillow", "mpl_toolkits": "matplotlib", "sklearn": "scikit-learn", "yaml": "PyYAML"}
"""Imported name → name of what is installed, where they differ."""

UNDERLYING = {
    "phonopy": ("symfc", "spglib"),
    "pymatgen": ("spglib",),
    "pyxtal": ("pymatgen", "spglib"),
    "sevenn": ("e3nn",),
}
"""Library → others that its numbers rest on and the project may not import itself."""

_WITHOUT_MEANING = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields of syntax trees that follow from the others, or that only tools for types read."""

_Write = Callable[[str], object]


class CodeVersion(NamedTuple):
    """What stands for a script and the code it reaches, in hexadecimal digits.

    Attributes:
        code: 16 digits, of the sources.
        libraries: 8 digits, of the names and versions of the libraries that they import.
    """

    code: str
    libraries: str

    def __str__(self) -> str:
        return f"{self.code}.{self.libraries}"


class SourceTree:
    """The sources of the package and of scripts, each as it was when it was first read here.

    A run that goes on for hours hashes what it was planned with, whatever is edited meanwhile.
    """

    def __init__(self, source_root: str | Path) -> None:
        self.root = Path(source_root).resolve()
        self._texts: dict[Path, str | None] = {}
        self._versions: dict[tuple[Path, tuple[str, ...]], CodeVersion] = {}

    def read_all(self, *folders: str | Path) -> None:
        """Read every source of the package, and of folders with scripts."""
        for folder in (self.root, *folders):
            for path in Path(folder).resolve().rglob("*.py"):
                self._text(path)

    def version(self, script: str | Path, *modules: str) -> CodeVersion:
        """Return what stands for a script and the code it reaches.

        Args:
            script: the rule's script.
            modules: modules that the script reaches by name only (through a registry), e.g.
                'matwheel.predictors.cgcnn'.

        Raises:
            ModuleNotFoundError: a module of the package does not exist.
            FileNotFoundError: the script does not exist.
        """
        # A workflow asks the same for thousands of jobs.
        key = Path(script).resolve(), modules
        if key not in self._versions:
            self._versions[key] = self._version(*key)
        return self._versions[key]

    def files(self, script: str | Path, *modules: str) -> list[Path]:
        """Return the files of a script and of the modules it reaches; raises as `version` does."""
        return [Path(script).resolve(), *map(self._file_of, self._reached(Path(script).resolve(), modules))]

    def _version(self, script: Path, modules: tuple[str, ...]) -> CodeVersion:
        reached = self._reached(script, modules)
        source = self._source(script)
        names = set(source.libraries).union(*(one.libraries for one in reached.values()))
        libraries = {distribution_of(name) for name in names}
        libraries = libraries.union(*(UNDERLYING.get(name, ()) for name in libraries))
        # Without those that are not installed: what is a library to one Python is part of another.
        versions = [f"{name} {library_version(name)}" for name in sorted(libraries) if library_version(name)]
        digest = sha256(source.meaning.encode())
        for module, source in sorted(reached.items()):
            used = [text for registered, text in source.entries if registered in modules]
            digest.update("\n".join(["", module, source.meaning, *used]).encode())
        return CodeVersion(digest.hexdigest()[:16], sha256("\n".join(versions).encode()).hexdigest()[:8])

    def _reached(self, script: Path, modules: Sequence[str]) -> dict[str, _Source]:
        pending = [*self._imports(self._source(script)), *modules]
        reached: dict[str, _Source] = {}
        while pending:
            module = pending.pop()
            if module not in reached:
                reached[module] = self._source(self._file_of(module))
                pending.extend(self._imports(reached[module]))
        return reached

    def _imports(self, source: _Source) -> Iterator[str]:
        """Yield the modules of ours that a source imports, those inside functions too."""
        yield from source.imports
        yield from (name for name in source.perhaps_modules if self._found(name) is not None)

    def _source(self, path: Path) -> _Source:
        text = self._text(path)
        if text is None:
            raise FileNotFoundError(path)
        return _parsed(text)

    def _file_of(self, module: str) -> Path:
        path = self._found(module)
        if path is None:
            raise ModuleNotFoundError(f"{module} is not under {self.root}")
        return path

    def _found(self, module: str) -> Path | None:
        path = self.root.joinpath(*module.split("."))
        places = (path.with_suffix(".py"), path / "__init__.py")
        return next((place for place in places if self._text(place) is not None), None)

    def _text(self, path: Path) -> str | None:
        if path not in self._texts:
            self._texts[path] = path.read_text(encoding="utf-8") if path.is_file() else None
        return self._texts[path]


@cache
def code_version(script: str | Path, *modules: str, source_root: str | Path) -> str:
    """Return what stands for a script and the code it reaches, as text; see `SourceTree.version`."""
    return str(SourceTree(source_root).version(script, *modules))


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


class _Source(NamedTuple):
    meaning: str  # without comments, docstrings, formatting and the entries of registries
    entries: tuple[tuple[str, str], ...]  # of registries: module, text
    imports: tuple[str, ...]  # modules of the package, those imported inside functions too
    perhaps_modules: tuple[str, ...]  # what is imported from packages of ours, modules or names in them
    libraries: tuple[str, ...]  # top-level names of other packages, without the standard library


# By text, so that a file which is read again costs nothing while it is the same.
@cache
def _parsed(text: str) -> _Source:
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    names = set(_imported_names(nodes)) - CHECKING
    ours = {name for name in names if _is_ours(name)}
    libraries = {name.split(".")[0] for name in names - ours} - sys.stdlib_module_names - CHECKING
    perhaps = set(_names_from_packages(nodes)) - ours - CHECKING
    _drop_docstrings(nodes)
    entries = tuple(_take_entries(tree))
    return _Source(
        meaning(tree), entries, tuple(sorted(ours)), tuple(sorted(perhaps)), tuple(sorted(libraries))
    )


def _imported_names(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def _names_from_packages(nodes: list[ast.AST]) -> Iterator[str]:
    """Yield what `from package import name` imports from a package of ours."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module and _is_ours(node.module):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_ours(name: str) -> bool:
    return name.split(".")[0] == PACKAGE


def _drop_docstrings(nodes: list[ast.AST]) -> None:
    for node in nodes:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            # Also the texts below constants and settings.
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and _is_constant_text(node.value)


def _is_constant_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _take_entries(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Empty the registries of a file; return each entry, (module, name in it), with its module."""
    for node in tree.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.value, ast.Dict):
            continue
        kind = node.annotation.value if isinstance(node.annotation, ast.Subscript) else None
        if not isinstance(kind, ast.Name) or kind.id != REGISTRY:
            continue
        for key, value in zip(node.value.keys, node.value.values, strict=True):
            first = value.elts[0] if isinstance(value, ast.Tuple) else None
            module = str(first.value) if isinstance(first, ast.Constant) else ""
            yield module, f"{meaning(key) if key else '**'}: {meaning(value)}"
        node.value.keys, node.value.values = [], []


def meaning(node: ast.AST) -> str:
    """Return a syntax tree as a text that every version of Python writes alike.

    Nodes by the names of their classes, their fields by name in alphabetical order, without those that are
    empty, so that a field which a later version adds appears where it says something; constants in ASCII,
    since what counts as printable grows with Unicode.
    """
    parts: list[str] = []
    _write(node, parts.append)
    return "".join(parts)


def _write(node: ast.AST, write: _Write) -> None:
    write(type(node).__name__)
    write("(")
    for name in _fields(type(node)):
        value = getattr(node, name, None)
        if value is None:
            continue
        if name == "values" and isinstance(node, ast.JoinedStr):
            value = _joined(value)
        if isinstance(value, list):
            if value:
                write(f"{name}=[")
                for item in value:
                    _write_value(item, write)
                    write(",")
                write("]")
        elif not (isinstance(value, ast.JoinedStr) and name == "format_spec" and not _joined(value.values)):
            write(f"{name}=")
            _write_value(value, write)
            write(",")
    write(")")


def _write_value(value: object, write: _Write) -> None:
    if isinstance(value, ast.AST):
        _write(value, write)
    else:
        write(ascii(value))


_fields_of_kind: dict[type[ast.AST], tuple[str, ...]] = {}


def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    if kind not in _fields_of_kind:
        _fields_of_kind[kind] = tuple(sorted(set(kind._fields) - _WITHOUT_MEANING))
    return _fields_of_kind[kind]


def _joined(parts: Sequence[ast.AST]) -> list[ast.AST]:
    """Return the parts of an f-string, neighbouring texts put together and empty ones left out."""
    joined: list[ast.AST] = []
    for text, group in groupby(parts, key=_is_constant_text):
        if not text:
            joined.extend(group)
        elif whole := "".join(str(part.value) for part in group if isinstance(part, ast.Constant)):
            joined.append(ast.Constant(whole))
    return joined
