"""What came with the project, and which settings belong to which chapter; no rules."""

import os
import shlex
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod
from snakemake.shell import shell
from snakemake.utils import update_config

# Where the project lies; a run's folder is another one with `--directory`, or where the workflow is a module.
ROOT = Path(str(workflow.current_basedir)).resolve().parents[1]
if not (ROOT / "src").is_dir():
    raise WorkflowError(
        "matwheel needs its library and its resources beside its rules: clone the repository, and name "
        "workflow/Snakefile of the clone as the module's snakefile"
    )
# Before any other: an installed clone, or one that PYTHONPATH names. Jobs inherit the variable.
sys.path.insert(0, str(ROOT / "src"))
FOLDERS_OF_PYTHON = [str(ROOT / "src"), *os.getenv("PYTHONPATH", "").split(os.pathsep)]
os.environ |= {
    "PYTHONPATH": os.pathsep.join(
        folder for folder in dict.fromkeys(FOLDERS_OF_PYTHON) if folder
    )
}

# Snakemake takes it from jobs in conda environments, which do not hold the library at all.
if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
    prefix = f"set -euo pipefail; export PYTHONPATH={shlex.quote(str(ROOT / 'src'))}; "
    shell.prefix(prefix.replace("{", "{{").replace("}", "}}"))

from matwheel.configuration.sections import SECTION_OF_CHAPTER
from matwheel.core.errors import InputError
from matwheel.runs.recorded_code import refuse_another_library

try:
    refuse_another_library(ROOT / "src")
except InputError as error:
    raise WorkflowError(str(error)) from None


def shipped(path):
    """A file that came with the project, or the one of that name in the run's folder."""
    return (
        path if Path(path).exists() or not (ROOT / path).exists() else f"{ROOT}/{path}"
    )


def fill_in(path):
    """Take what the config does not say from a file in the run's folder, and then from that of the project."""
    for place in dict.fromkeys((Path(path).resolve(), ROOT / path)):
        if place.exists():
            settings = yaml.safe_load(place.read_text(encoding="utf-8")) or {}
            update_config(settings, config)
            config.update(settings)
