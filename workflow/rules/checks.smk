"""What the schema cannot check: names of registries, sums, folders; before anything runs. No rules."""

SECOND = config["validate"]["second_opinion"]


def refuse_unknown(*named):
    """Refuse names that a registry does not have, which the schema leaves open; each is key, names, registry."""
    for key, names, registry in named:
        for unknown in [name for name in names if name not in registry]:
            raise WorkflowError(
                f"config: {key} names {unknown!r}, which is none of {', '.join(registry)}"
            )


refuse_unknown(
    ("predictors", config["predictors"], PREDICTORS),
    ("predictor_settings", config["predictor_settings"], PREDICTORS),
    ("teacher", [config["teacher"]], PREDICTORS),
    ("judge", [config["judge"]], PREDICTORS),
    ("baselines", config["baselines"], PREDICTORS),
    ("generator.name", [config["generator"]["name"]], GENERATORS),
    ("screen.further", config["screen"]["further"], SCREENS),
    ("validate.potential", [config["validate"]["potential"]], POTENTIALS),
    ("validate.phonon_potential", [config["validate"]["phonon_potential"]], POTENTIALS),
    ("validate.second_opinion", [SECOND] if SECOND else [], POTENTIALS),
    (
        "screen.synthesizability.model",
        [config["screen"]["synthesizability"]["model"]],
        ["none", *SCORES],
    ),
)
for twice in [name for name in config["baselines"] if name in config["predictors"]]:
    raise WorkflowError(
        f"config: {twice} is in predictors and in baselines; name it in one of them"
    )

for folder in (Path("results"), Path("logs"), Path(".")):
    if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise WorkflowError(
            f"{folder.resolve()} is not a folder that you may write to; "
            "change its permissions or run in a copy of the project"
        )
if SECOND == config["validate"]["phonon_potential"]:
    raise WorkflowError(
        f"config: validate.second_opinion and validate.phonon_potential are both {SECOND}; a second opinion is "
        "that of another potential"
    )
if abs(sum(config["split"]["fractions"].values()) - 1) > 1e-9:
    raise WorkflowError("config: split.fractions do not add up to 1")
if "chang2022" in SCHEMES and len(RUNS) > 5:
    raise WorkflowError(
        "config: scheme chang2022 has five published splits; set split.runs to 5 or fewer"
    )
if config["conditions"]["method"] == "target" and not config["conditions"]["targets"]:
    raise WorkflowError(
        "config: conditions.method is target, but conditions.targets is empty"
    )
