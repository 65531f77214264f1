"""Certify the results: hashes of all that went in and came out, and what they were made with."""

from datetime import UTC, datetime
from pathlib import Path

from matwheel.core.files import read_json, write_json
from matwheel.runs.certificate import Run, certificate
from matwheel.runs.job_times import job_times
from matwheel.runs.machine import git_state, machine_facts
from matwheel.runs.provenance import library_versions
from matwheel.runs.recorded_code import recorded

CODE = ("Snakefile", "src/**/*.py", "workflow/**/*.*", "profiles/**/*")

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    given, params = snakemake.input, snakemake.params
    potentials = params.potentials.items()
    project = Path(params.project)
    code = {path for pattern in CODE for path in project.glob(pattern) if path.is_file()}
    run = Run(
        headlines=[Path(path).relative_to("results").as_posix() for path in [*given.results, given.report]],
        inputs=[Path(path) for path in params.sources],
        origins={path: read_json(path) for path in given.provenance},
        settings=params.settings,
        code=sorted(path for path in code if "__pycache__" not in path.parts),
        repository=git_state(project),
        versions=library_versions(),
        potentials={role: f"{one['name']} {one['version']}" for role, one in potentials},
        machine=machine_facts(),
        times=job_times(Path(params.logs), params.stage_of_rule),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    content = certificate(run, Path("results"))
    log(f"{sum(entity['@type'] == 'File' for entity in content['@graph'])} files of results certified")
    write_json(content, snakemake.output.certificate)
