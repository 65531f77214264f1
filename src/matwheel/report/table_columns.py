"""Columns of the tables on the page: name in the file → heading."""

TABLE2 = {
    "dataset": "dataset",
    "scheme": "splits",
    "predictor": "predictor",
    "method": "trained on",
    "mae_mean": "test MAE",
    "mae_std": "standard deviation",
    "runs": "runs",
    "skill": "skill",
    "published_mean": "published",
}
RECOVERY = {
    "formula_set": "set",
    "generator": "generator",
    "samples": "samples",
    "held_out_recovery": "held-out recovery",
    "held_out_recovery_low": "from",
    "held_out_recovery_high": "to",
    "train_recovery": "training recovery",
    "unique_samples": "distinct",
    "new_samples": "new",
    "paper_held_out_recovery": "published",
}
YIELDS = {
    "set": "set",
    "genes": "genes",
    "passed_gene_screens": "passed the screens of genes",
    "built": "built",
    "relaxed": "relaxed",
    "near_hull": "near both hulls",
    "stable": "stable",
    "stable_of_relaxed": "stable of relaxed",
    "stable_of_relaxed_low": "from",
    "stable_of_relaxed_high": "to",
}
PERTURBED = {name: heading for name, heading in TABLE2.items() if name not in ("skill", "published_mean")}
FALSE_NEGATIVES = {
    "set": "real crystals of",
    "screen": "screen",
    "judged": "judged",
    "killed": "rejected",
    "killed_share": "share",
    "killed_low": "from",
    "killed_high": "to",
    "killed_alone": "by it alone",
}
ORACLES = {
    "dataset": "dataset",
    "property": "property",
    "value": "value",
    "rows": "crystals",
    "computed": "computed",
    "spearman": "rank correlation",
    "pearson": "correlation",
    "mae_raw": "MAE as it is",
    "mae_line": "test MAE by a line",
    "mae_log_line": "by a line in logarithms",
    "mae_constant": "by a constant",
    "seconds": "s per crystal",
}
OUTLIERS = {
    "id": "crystal",
    "formula": "formula",
    "target": "label",
    "value": "computed",
    "calibrated": "by a line",
    "error": "error",
    "status": "status",
    "reason": "reason",
}
TIMES = {
    "stage": "stage",
    "rule": "rule",
    "jobs": "jobs",
    "cpu": "CPU time",
    "wall": "wall time",
    "longest": "longest job",
    "peak_memory_mb": "peak memory, MB",
}
RATES = {
    "metric": "rate",
    "hull": "hull",
    "count": "candidates",
    "measured": "of measured",
    "rate": "share",
    "rate_low": "from",
    "rate_high": "to",
    "rate_at_least": "undecided as no",
    "rate_at_most": "undecided as yes",
    "share_at_least": "of all, at least",
    "share_at_most": "at most",
    "meaning": "meaning",
}
CONTRASTS = {
    "dataset": "dataset",
    "scheme": "splits",
    "predictor": "predictor",
    "contrast": "contrast",
    "splits": "runs",
    "mean_difference": "difference of MAE",
    "interval_low": "from",
    "interval_high": "to",
    "p_corrected_t_holm": "p (Holm)",
    "better": "better",
    "minimum_detectable_difference": "detectable",
}
