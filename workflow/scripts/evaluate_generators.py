"""Write the cards of the generated sets and of two null generators, against the training rows."""

from matwheel.chapters.matwheel.generator_card import cards_table, condition_adherence, generator_card, judge
from matwheel.core.files import read_json, write_csv
from matwheel.core.seeds import derive_seed
from matwheel.crystals.table import crystals_of_table, read_table
from matwheel.generators.null import rattle_crystals, resample_elements
from matwheel.predictors.registry import load_predictor, load_prepared
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    train_ids = read_json(snakemake.input.split)["train"]
    table = read_table(snakemake.input.crystals).set_index("id", drop=False)
    training = crystals_of_table(table.loc[train_ids])
    predictor = load_predictor(
        params.judge, snakemake.input.judge, load_prepared(params.judge, snakemake.input.prepared)
    )

    generated = [read_table(path) for path in snakemake.input.generated]
    sets = {
        f"{params.generator} ({name})": crystals_of_table(frame)
        for name, frame in zip(params.supervisions, generated, strict=True)
    }
    n = len(generated[0])
    for name, make in (("elements", resample_elements), ("rattled", rattle_crystals)):
        seed = derive_seed(params.seed, name)
        sets[f"null ({name})"] = make(training, n, seed=seed, id_prefix=f"null-{name}")
    # A null generator is deaf to conditions; it is asked for those of the first generated set.
    conditions = [*(frame["condition"] for frame in generated), *[generated[0]["condition"]] * 2]

    tested = read_table(snakemake.input.tested)
    ceiling = condition_adherence(tested["target"].to_numpy(), tested["prediction"].to_numpy())
    log(f"{params.judge} on {ceiling['n']} real test crystals: rank correlation {ceiling['spearman']}")
    cards = {}
    for (name, crystals), asked in zip(sets.items(), conditions, strict=True):
        log(f"judge {name}")
        cards[name] = generator_card(
            crystals,
            training,
            conditions=asked.to_numpy(),
            judged=judge(crystals, predictor),
            ceiling=ceiling,
            oxidation_table=params.oxidation_table,
        )
    cards = cards_table(cards)
    for position, key in enumerate(("dataset", "scheme", "seed")):
        cards.insert(position, key, snakemake.wildcards[key])
    write_csv(cards, snakemake.output.cards)
