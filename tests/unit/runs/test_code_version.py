from __future__ import annotations

import ast
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from matwheel.runs import code_version as module
from matwheel.runs.code_version import CodeVersion, SourceTree, distribution_of, meaning

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = sorted((ROOT / "workflow" / "scripts").glob("*.py"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    package = tmp_path / "src" / "matwheel"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models" / "__init__.py").write_text("")
    (package / "models" / "network.py").write_text("def width():\n    return 3\n")
    (package / "models" / "loop.py").write_text("def fit():\n    from matwheel.models import network\n")
    (package / "other.py").write_text("VALUE = 1\n")
    (tmp_path / "script.py").write_text("from matwheel.models.loop import fit\nfit()\n")
    return tmp_path


def version(tree: Path, *modules: str) -> CodeVersion:
    module.library_version.cache_clear()  # a test changes what is installed in between
    return SourceTree(tree / "src").version(tree / "script.py", *modules)


@pytest.mark.parametrize(
    "path", ["script.py", "src/matwheel/models/loop.py", "src/matwheel/models/network.py"]
)
def test_follows_the_script_and_the_imports_of_its_imports(tree: Path, path: str) -> None:
    before = version(tree)
    (tree / path).write_text((tree / path).read_text() + "\nprint('changed')\n")
    assert version(tree) != before


def test_is_blind_to_other_modules_comments_docstrings_and_formatting(tree: Path) -> None:
    before = version(tree)
    (tree / "src/matwheel/other.py").write_text("VALUE = 2\n")
    (tree / "src/matwheel/models/network.py").write_text(
        '"""A docstring."""\n\n# a comment\ndef width():\n    """Another."""\n    return (3)\n'
    )
    assert version(tree) == before


def test_is_blind_to_what_is_said_of_settings_and_to_what_checks_them(tree: Path) -> None:
    network = tree / "src/matwheel/models/network.py"
    settings = "from matwheel.core.settings import settings\nimport pydantic\n\n@settings\nclass Settings:\n"
    checks = tree / "src/matwheel/core/settings.py"
    checks.parent.mkdir(exist_ok=True)
    checks.write_text("LARGEST = 5\n")
    network.write_text(settings + "    steps: int = 5\n")
    before = version(tree)
    network.write_text(settings + '    steps: int = 5\n    """Of the optimiser."""\n')
    checks.write_text("LARGEST = 6\n")
    assert version(tree) == before
    network.write_text(settings + "    steps: int = 6\n")
    assert version(tree) != before


def test_modules_reached_by_name_count_when_named(tree: Path) -> None:
    before = version(tree, "matwheel.other")
    assert before != version(tree)
    (tree / "src/matwheel/other.py").write_text("VALUE = 2\n")
    assert version(tree, "matwheel.other") != before


def test_unknown_module_is_an_error(tree: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"matwheel\.nothing"):
        version(tree, "matwheel.nothing")


REGISTRY = """MODELS: Registry[tuple[str, str]] = {
    "one": ("matwheel.models.network", "One"),
    "other": ("matwheel.other", "Other"),
}
POTENTIALS: Registry[Potential] = {"zero": Potential("zero.pt")}
"""


def test_of_a_registry_the_entries_of_named_modules_count(tree: Path) -> None:
    registry = tree / "src/matwheel/models/registry.py"
    registry.write_text(REGISTRY)
    (tree / "script.py").write_text("from matwheel.models.registry import MODELS\n")

    def versions(text: str) -> list[str]:
        registry.write_text(text)
        named = ((), ("matwheel.models.network",), ("matwheel.other",))
        return [version(tree, *modules) for modules in named]

    nothing, network, other = versions(REGISTRY)
    longer = REGISTRY.replace("\n}", '\n    "third": ("matwheel.third", "Third"),\n}', 1)
    assert versions(longer) == [nothing, network, other]
    assert versions(REGISTRY.replace("zero.pt", "one.pt")) == [nothing, network, other]
    renamed = versions(REGISTRY.replace('"One"', '"Two"'))
    assert renamed[1] != network and [renamed[0], renamed[2]] == [nothing, other]
    assert versions(REGISTRY + "VALUE = 1\n")[0] != nothing


def test_another_version_of_a_library_that_the_code_reaches_is_another_version(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = tree / "src/matwheel/models/network.py"
    network.write_text(
        "import json\n\ndef width():\n    from sklearn.svm import SVR\n    import sevenn.util\n"
    )
    installed = {"scikit-learn": "1.0", "sevenn": "0.1", "e3nn": "0.5", "numpy": "2.0"}
    monkeypatch.setattr(module, "version", lambda name: installed[name])
    monkeypatch.setattr(module, "UNDERLYING", {"sevenn": ("e3nn",)})
    before = version(tree)
    for name in ("scikit-learn", "sevenn", "e3nn"):
        installed[name] += ".1"
        assert version(tree) != before
        before = version(tree)
    installed["numpy"] = "3.0"  # not reached
    assert version(tree) == before


def test_every_library_that_the_project_imports_has_a_distribution() -> None:
    """A name that is not known to be installed would leave its version out without a word."""
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "workflow" / "scripts").glob("*.py")]
    imported = {name for path in sources for name in module._parsed(path.read_text()).libraries}
    assert {"numpy", "sklearn", "torch", "sevenn"} <= imported
    optional = {"gpaw", "gpaw_data"}  # of an environment of its own, whose version its results carry
    missing = {name for name in imported - optional if not module.library_version(distribution_of(name))}
    assert not missing


def test_an_upgrade_is_told_from_an_edit(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tree / "src/matwheel/models/network.py"
    network.write_text("import numpy\n")
    before = version(tree)
    network.write_text("import numpy\nVALUE = 1\n")
    edited = version(tree)
    assert edited.code != before.code and edited.libraries == before.libraries
    monkeypatch.setattr(module, "version", lambda name: "another")
    upgraded = version(tree)
    assert upgraded.code == edited.code and upgraded.libraries != edited.libraries


def test_a_tree_keeps_what_it_read(tree: Path) -> None:
    """A run of hours hashes what it was planned with, also what it asks for late."""
    script, network = tree / "script.py", tree / "src/matwheel/models/network.py"
    planned = SourceTree(tree / "src")
    planned.read_all(tree)
    before = version(tree)
    network.unlink()
    (tree / "src/matwheel/models/loop.py").write_text("def fit():\n    pass\n")
    script.write_text("print('edited')\n")
    assert planned.version(script) == before != version(tree)
    assert {script, network, network.with_name("loop.py")} <= set(planned.files(script))


# What versions of Python write or parse differently: f-strings with quotes, braces, empty and nested formats,
# non-printable characters, parentheses, type parameters that are not there.
SPECIMEN = """
import numpy as np
from matwheel import models
@decorated(1, *[2], key=..., **{})
async def f(a, /, b: int = 3, *args, c, d=None, **kwargs) -> "Ä\\n":
    async with a as (b, c), d: x[1:2, ..., ::3] += (yield)
    try: pass
    except* (ValueError, OSError) as error: raise error from None
    return f"{a}" "b" f'{c!r:>{d}.3f}{{}}{e["k"]}' 'q' f"{x=}{x:}{x!s:}" f"", rf"\\d{1:{2}{3}x}", \\
        u"u", b"\\x00\\'"
class C(B, metaclass=M):
    x: int = -1.5e300 + 2j; y = 1e999, 0x10, 1_000, True, None, "\\U0001fae8\\u200b\\x7f"
match (x := [*a, lambda *, k=1: k]):
    case {"a": 1 | 2, **rest} if not rest: del a.b
    case C(x=[_, *_]) | None: print({**a, "b": {i for i in j if i}})
"""
HASH_OF_SPECIMEN = "fcfa99eb296da826"  # by CPython 3.11.3, 3.12.1, 3.13.2 and 3.14.2


def test_every_version_of_python_gives_the_same_hash(tree: Path) -> None:
    """CI runs it with several."""
    (tree / "script.py").write_text(SPECIMEN)
    assert version(tree).code == HASH_OF_SPECIMEN


@pytest.mark.parametrize("interpreter", ["3.11", "3.12", "3.13", "3.14"])
def test_another_interpreter_hashes_the_project_alike(interpreter: str) -> None:
    found = shutil.which(f"python{interpreter}", path="/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if found is None:
        pytest.skip(f"no Python {interpreter} here")
    program = f"""
import json, runpy, sys
found = runpy.run_path({module.__file__!r})
tree = found["SourceTree"]({str(ROOT / "src")!r})
print(json.dumps([tree.version(path).code for path in json.loads(sys.stdin.read())]))
"""
    done = subprocess.run(
        [found, "-I", "-c", program],
        input=json.dumps(list(map(str, SCRIPTS))),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    here = SourceTree(ROOT / "src")
    assert json.loads(done.stdout) == [here.version(path).code for path in SCRIPTS]


class FunctionDef(ast.FunctionDef):
    """As a later Python has it: with type parameters (3.12) and whatever comes."""

    _fields = (
        "decorator_list",
        "type_params",
        "name",
        "body",
        "args",
        "unheard_of",
        "returns",
        "type_comment",
    )


def test_a_field_that_a_later_python_adds_counts_where_it_says_something() -> None:
    node = ast.parse("@a\ndef f(x: int) -> str:\n    return x\n").body[0]
    before = meaning(node)
    node.__class__ = FunctionDef
    node.type_params, node.unheard_of = [], None
    assert meaning(node) == before
    node.type_params = [ast.Name("T")]
    assert meaning(node) != before


def test_texts_of_an_f_string_count_put_together() -> None:
    """As Python 3.12.1 does not always do; an empty format is none."""
    node = ast.parse('f"a{b}c"', mode="eval").body
    before = meaning(node)
    _, value, last = node.values
    node.values = [ast.Constant("a"), ast.Constant(""), value, ast.Constant(""), last]
    value.format_spec = ast.JoinedStr([])
    assert meaning(node) == before
    value.format_spec = ast.JoinedStr([ast.Constant("s")])
    assert meaning(node) != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = 'a'", "x = a"),
        (
            "return_ = None",
            "return_ = ...",
        ),
        ("f(a, *b)", "f(*b, a)"),
        ("{**a}", "{a: a}"),
        ("f'{a!r}'", "f'{a!s}'"),
        ("f'{a}'", "f'{{a}}'"),
        ("x = a if b else c", "x = a if c else b"),
        ("def f(a, /): g()", "def f(a): g()"),
        ("def f(*, a=1, b): g()", "def f(*, a, b=1): g()"),
        ("for i in x: f()", "async def f():\n async for i in x: f()"),
        ("x[1:]", "x[:1]"),
        ("x[1::]", "x[::1]"),
        ("from a import b", "from .a import b"),
        ("x: int", "(x): int"),
    ],
)
def test_different_code_has_different_meanings(one: str, other: str) -> None:
    assert meaning(ast.parse(one)) != meaning(ast.parse(other))
