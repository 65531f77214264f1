from __future__ import annotations

from pathlib import Path

import pytest

from matwheel.runs import code_version as module
from matwheel.runs.code_version import code_version, distribution_of

ROOT = Path(__file__).resolve().parents[3]


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


def version(tree: Path, *modules: str) -> str:
    # Caches live as long as one parse of the workflow; a test edits files in between.
    for cached in (module.code_version, module._file_of, module._read, module.library_version):
        cached.cache_clear()
    return code_version(tree / "script.py", *modules, source_root=tree / "src")


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
    imported = {name for path in sources for name in module._read(path, ROOT / "src").libraries}
    assert {"numpy", "sklearn", "torch", "sevenn"} <= imported
    optional = {"gpaw", "gpaw_data"}  # of an environment of its own, whose version its results carry
    missing = {name for name in imported - optional if not module.library_version(distribution_of(name))}
    assert not missing
