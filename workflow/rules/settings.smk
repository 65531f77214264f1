"""Settings in the types that their schema wants, or one message that says which is wrong. No rules."""

import sys

import yaml

sys.path.insert(0, str(ROOT / "src"))

from matwheel.core.config_values import conformed, first_fault, survives_hand_over


def schema_of(name):
    """One of the project's schemas; with LibYAML where there is, since every job reads it."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    path = ROOT / "config" / "schemas" / f"{name}.schema.yaml"
    return yaml.load(path.read_text(encoding="utf-8"), loader)


CONFIG_SCHEMA = schema_of("config")
# Snakemake reads what stands inside of a nested `--config` without types.
FROM_COMMAND_LINE = dict(workflow.config_settings.config)

for key in [
    key for key, value in FROM_COMMAND_LINE.items() if not survives_hand_over(value)
]:
    raise WorkflowError(
        f"config: {key}, given with --config, holds quotes or backslashes that Snakemake does not hand on to "
        "jobs as they are; write it into a YAML file and give that with --configfile"
    )

update_config(config, conformed(FROM_COMMAND_LINE, CONFIG_SCHEMA, from_texts=True))
config.update(conformed(config, CONFIG_SCHEMA))
if fault := first_fault(config, CONFIG_SCHEMA):
    raise WorkflowError(f"config: {fault} (keys: config/schemas/config.schema.yaml)")
