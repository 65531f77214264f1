"""Settings in the types that their schema wants, or one line that says which is wrong. No rules.

The main process refuses what is wrong (`matwheel.configuration`); jobs, on a cluster each with a process of its
own, take it as checked and only read the types.
"""

import yaml
from matwheel.core.config_values import conformed, survives_hand_over

# With LibYAML where there is, since every job reads it.
CONFIG_SCHEMA = yaml.load(
    (ROOT / "config" / "schemas" / "config.schema.yaml").read_text(encoding="utf-8"),
    getattr(yaml, "CSafeLoader", yaml.SafeLoader),
)
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

if workflow.is_main_process:
    from matwheel.configuration.configuration import fault_of_configuration

    if fault := fault_of_configuration(config):
        raise WorkflowError(f"config: {fault}")
