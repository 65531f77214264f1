"""The certificate of a run: what went in, what came out, and what it was made with, as an RO-Crate.

JSON-LD of RO-Crate 1.2 (https://w3id.org/ro/crate/1.2) with the terms of Workflow Run Crate: every file of
the results is a `File` with its sha256, the run a `CreateAction`, the workflow its instrument. It is the
metadata of a crate whose root is the folder that it lies in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from matwheel.core.errors import InputError
from matwheel.core.files import sha256_of_content, sha256_of_file
from matwheel.core.store import TAG

if TYPE_CHECKING:
    from rocrate.model.contextentity import ContextEntity
    from rocrate.model.file import File
    from rocrate.rocrate import ROCrate

NAME = "certificate.json"
RUN_TERMS = "https://w3id.org/ro/terms/workflow-run/context"
RUN, WORKFLOW, CONFIGURATION, DIGEST = "#run", "#workflow", "#configuration", "#digest"
_INPUT, _CODE = "#input/", "#code/"

CHANGED, MISSING, ADDED = "changed", "missing", "not certified"
INPUT_CHANGED, INPUT_MISSING, CODE_CHANGED, EDITED = (
    "input changed", "input not found", "code changed", "certificate edited",
)  # fmt: skip
FAILURES = frozenset({CHANGED, MISSING, INPUT_CHANGED, EDITED})
"""Findings that make a verification fail; the others are notes."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a certificate says of a run.

    Attributes:
        headlines: files of the results that people look at.
        inputs: files that went in, as paths from the project's folder.
        origins: provenance file of what was fetched → its content: source, sha256.
        settings: the whole configuration; `seed` and the table of oxidation states are named apart too.
        code: sources of library, rules and scripts, as paths from the project's folder.
        repository: commit and state of the working tree.
        versions: library → version.
        potentials: role → potential with version.
        machine: see `matwheel.runs.machine.machine_facts`.
        times: table of `matwheel.runs.job_times.job_times`.
        written: time of the certificate, ISO 8601.
    """

    headlines: Sequence[str]
    inputs: Sequence[Path]
    origins: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]
    code: Sequence[Path]
    repository: Mapping[str, str]
    versions: Mapping[str, str]
    potentials: Mapping[str, str]
    machine: Mapping[str, str]
    times: pd.DataFrame = field(repr=False)
    written: str


@dataclass(frozen=True)
class Finding:
    """One thing that a verification found, `kind` of the constants above."""

    kind: str
    path: str
    said: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether results or inputs are not what was certified."""
        return self.kind in FAILURES


def result_files(results: Path) -> list[str]:
    """Return the files of a results folder, sorted: all but the certificate, hidden and unfinished ones.

    What stores hold is left out too: it can be computed again, and nothing is read from it alone.
    """
    stores = {path.parent for path in results.rglob(TAG)}
    return sorted(
        path.relative_to(results).as_posix()
        for path in results.rglob("*")
        if path.is_file()
        and path != results / NAME
        and not any(part.startswith(".") for part in path.relative_to(results).parts)
        and path.suffix != ".checkpoint"
        and stores.isdisjoint(path.parents)
    )


def certificate(run: Run, results: Path) -> dict[str, Any]:
    """Return the certificate of a run as JSON-LD.

    Args:
        run: what is known of it.
        results: folder with its files; all of them are hashed.
    """
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version="1.2")
    crate.metadata.extra_contexts.append(RUN_TERMS)
    crate.name = "Results of matwheel"
    crate.description = (
        "Every file of a results folder with its SHA-256, and what the run was made of and with."
    )
    crate.datePublished = run.written
    # In this order: it is that of the entities in the file.
    outputs = _outputs(crate, run, results)
    inputs = _inputs(crate, run)
    workflow = _workflow(crate, run)
    facts = _facts(crate, run)
    rules = [_rule(crate, row) for row in run.times.to_dict("records")]
    action = _add(
        crate, RUN, "CreateAction", name="run of the workflow", instrument=workflow, endTime=run.written,
        object=inputs, result=outputs, additionalProperty=facts, step=rules,
    )  # fmt: skip
    crate.root_dataset["mentions"] = [action]
    content = crate.metadata.generate()
    digest = _digest(content)
    seal = {"@id": DIGEST, "@type": "PropertyValue", "name": "sha256 of all else", "value": digest}
    content["@graph"].append(seal)
    return content


def _add(crate: ROCrate, entity_id: str, kind: str, **properties: Any) -> ContextEntity:
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, entity_id, properties={"@type": kind, **properties}))


def _value(crate: ROCrate, entity_id: str, name: str, content: Any) -> ContextEntity:
    return _add(crate, entity_id, "PropertyValue", name=name, value=content)


def _outputs(crate: ROCrate, run: Run, results: Path) -> list[File]:
    """Add the files of the results."""
    from rocrate.model.file import File

    outputs = []
    for name in result_files(results):
        path = results / name
        about = {"sha256": sha256_of_file(path), "contentSize": str(path.stat().st_size)}
        if name in run.headlines:
            about["description"] = "headline result"
        outputs.append(crate.add(File(crate, dest_path=name, properties=about)))
    return outputs


def _inputs(crate: ROCrate, run: Run) -> list[ContextEntity]:
    """Add the files that went in, where fetched ones are from, and the configuration."""
    files = [
        _add(
            crate, f"{_INPUT}{path.as_posix()}", "CreativeWork", name=path.as_posix(),
            sha256=sha256_of_file(path),
        )
        for path in run.inputs
    ]  # fmt: skip
    origins = [
        _add(
            crate, f"#origin/{name}", "Dataset", name=name, description=json.dumps(facts, sort_keys=True)
        )
        for name, facts in run.origins.items()
    ]  # fmt: skip
    configuration = _add(
        crate, CONFIGURATION, "CreativeWork", name="configuration with overlays",
        encodingFormat="application/json", text=json.dumps(run.settings, sort_keys=True),
        sha256=sha256_of_content(run.settings),
    )  # fmt: skip
    return [*files, *origins, configuration]


def _workflow(crate: ROCrate, run: Run) -> ContextEntity:
    """Add the libraries, the files of code, and the workflow that they make up."""
    libraries = [
        _add(crate, f"#library/{name}", "SoftwareApplication", name=name, version=version)
        for name, version in run.versions.items()
    ]
    code = {path.as_posix(): sha256_of_file(path) for path in run.code}
    sources = [
        _add(crate, f"{_CODE}{name}", "SoftwareSourceCode", name=name, sha256=digest)
        for name, digest in code.items()
    ]
    return _add(
        crate, WORKFLOW, "ComputationalWorkflow", name="matwheel", version=run.versions["matwheel"],
        sha256=sha256_of_content(code), identifier=run.repository["commit"], softwareRequirements=libraries,
        hasPart=sources,
        description=f"changes of tracked files since that commit: {run.repository['changes']}",
    )  # fmt: skip


def _facts(crate: ROCrate, run: Run) -> list[ContextEntity]:
    """Add the seed, the oxidation states, the potentials and the machine."""
    oxidation_table = run.settings["screen"]["composition"]["oxidation_table"]
    return [
        _value(crate, "#seed", "seed", run.settings["seed"]),
        _value(crate, "#oxidation", "oxidation states", oxidation_table),
        *(
            _value(crate, f"#potential/{role}", f"potential, {role}", name)
            for role, name in run.potentials.items()
        ),
        *(_value(crate, f"#machine/{name}", name, text) for name, text in run.machine.items()),
    ]


def _rule(crate: ROCrate, row: Mapping[Any, Any]) -> ContextEntity:
    """Add what the jobs of one rule took, a row of the table of times."""
    entity_id = f"#rule/{row['rule']}"
    took = {
        "jobs": int(row["jobs"]),
        "wall seconds": round(3600 * row["wall_hours"], 1),
        "CPU seconds": round(3600 * row["cpu_hours"], 1),
        "largest memory, MB": round(row["peak_memory_mb"]) if row["peak_memory_mb"] > 0 else 0,
    }
    return _add(
        crate, entity_id, "HowToStep", name=row["rule"], description=f"stage {row['stage']}",
        additionalProperty=[_value(crate, f"{entity_id}/{name}", name, much) for name, much in took.items()],
    )  # fmt: skip


def read_certificate(path: Path) -> dict[str, Any]:
    """Read a certificate.

    Raises:
        InputError: there is none, or it is no certificate of a run.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: there is no certificate; make one with snakemake --cores 1 -- results/{NAME}, or name "
            "the folder that holds one"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = {entity["@id"] for entity in content["@graph"]}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is no certificate ({error}); make it again or take it from a backup"
        ) from None
    lacking = sorted({RUN, WORKFLOW, CONFIGURATION, DIGEST} - known)
    if lacking:
        raise InputError(f"{path}: is no certificate of matwheel; it lacks {', '.join(lacking)}")
    return content


def certified_files(content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the entities of a certificate that are files of the results, by path."""
    files = (one for one in content["@graph"] if one["@type"] == "File" and "sha256" in one)
    return {one["@id"]: one for one in files}


def verify(content: Mapping[str, Any], results: Path, project: Path) -> list[Finding]:
    """Compare a certificate with what is there now.

    Args:
        content: of `read_certificate`.
        results: folder with the results, here or copied elsewhere.
        project: folder that inputs and code are looked for in.

    Returns:
        Findings: of the certificate itself, then results, inputs and code; none where all is as certified.
        The digest of the certificate tells accidents, not forgery: who edits it can compute a new one.
    """
    findings = []
    entities = {entity["@id"]: entity for entity in content["@graph"]}
    if entities[DIGEST].get("value") != _digest(content):
        findings.append(Finding(EDITED, NAME, "its own digest does not agree"))
    certified = certified_files(content)
    for name, entity in certified.items():
        path = results / name
        if not path.is_file():
            findings.append(Finding(MISSING, name))
        elif sha256_of_file(path) != entity["sha256"]:
            findings.append(Finding(CHANGED, name, entity.get("description", "")))
    findings += [Finding(ADDED, name) for name in result_files(results) if name not in certified]
    inputs, code = (
        [entity for identifier, entity in entities.items() if identifier.startswith(kind)]
        for kind in (_INPUT, _CODE)
    )
    findings += [
        Finding(INPUT_CHANGED if is_there else INPUT_MISSING, name)
        for name, is_there in _differences(inputs, project)
    ]
    if any((project / entity["name"]).is_file() for entity in code):  # not where only results were copied to
        commit = f"certified at commit {entities[WORKFLOW]['identifier'][:10]}"
        findings += [
            Finding(CODE_CHANGED, name, commit if is_there else f"gone; {commit}")
            for name, is_there in _differences(code, project)
        ]
    return findings


def _differences(entities: Sequence[Mapping[str, Any]], project: Path) -> Iterator[tuple[str, bool]]:
    """Yield the files that are not what was certified, and whether they are there at all."""
    for entity in entities:
        path = project / entity["name"]
        if not path.is_file() or sha256_of_file(path) != entity["sha256"]:
            yield entity["name"], path.is_file()


def _digest(content: Mapping[str, Any]) -> str:
    rest = [entity for entity in content["@graph"] if entity["@id"] != DIGEST]
    return sha256_of_content({"@context": content["@context"], "@graph": rest})
