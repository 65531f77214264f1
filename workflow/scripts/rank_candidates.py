"""Rank a set's candidates and count what each screen left."""

from matwheel.candidates.funnel import funnel_counts, sun_rates
from matwheel.candidates.ranking import JudgedCandidates, candidates_table
from matwheel.core.files import write_csv
from matwheel.crystals.table import crystals_of_table, read_table, write_cif_archive
from matwheel.hull.hull_sensitivity import OTHER_CHOICES
from matwheel.runs.recorded_code import recorded

with recorded(__file__, snakemake.params.code, snakemake.log[0]) as log:
    params = snakemake.params
    crystals, verdicts = read_table(snakemake.input.crystals), read_table(snakemake.input.verdicts)
    relaxed = read_table(snakemake.input.relaxed).set_index("id", drop=False)
    relaxed = relaxed[relaxed["status"].isin(["converged", "not_converged"])]
    others = read_table(snakemake.input.sensitivity)
    predicted = {}
    for path in snakemake.input.predicted:
        predicted = read_table(path).set_index("id")["predicted"].to_dict()
    one = JudgedCandidates(
        dataset=params.title,
        crystals=crystals,
        verdicts=verdicts,
        screens=params.screens,
        predicted=predicted,
        relaxed_space_groups=relaxed["space_group_after"].to_dict(),
        stable_ev_per_atom=params.stable_ev_per_atom,
        cif_archive=params.archive,
        archived=frozenset(relaxed["id"]),
    )
    candidates = candidates_table([one])
    ids = list(dict.fromkeys([*crystals["id"], *verdicts["candidate_id"]]))
    funnel = funnel_counts(verdicts, ids, params.screens)
    rates = sun_rates(
        verdicts,
        ids,
        params.screens,
        unique_screens=params.unique_screens,
        novelty_screens=params.novelty_screens,
        stable_ev_per_atom=params.stable_ev_per_atom,
        metastable_ev_per_atom=params.metastable_ev_per_atom,
        other_choices={name: others[others["choice"] == name] for name in OTHER_CHOICES},
    )
    log(f"{len(candidates)} candidates\n{candidates['verdict'].value_counts().to_string()}")
    log(f"funnel\n{funnel.to_string(index=False)}")
    write_cif_archive(crystals_of_table(relaxed), snakemake.output.cifs)
    write_csv(funnel, snakemake.output.funnel)
    write_csv(rates, snakemake.output.rates)
    write_csv(candidates, snakemake.output.candidates)
