"""Collect the candidates of all sets: one ranked table, one archive, one figure of their funnels."""

import zipfile

import pandas as pd

from matwheel.evaluation.candidates import ranked
from matwheel.evaluation.funnel import draw_funnel
from matwheel.files import atomic_path, write_csv
from matwheel.progress import logged

with logged(snakemake.log[0]) as log:
    sets = snakemake.params.sets
    # An id may look like a number, or like a missing value.
    as_written = {"dtype": {"id": str}, "keep_default_na": False, "na_values": [""]}
    candidates = ranked([pd.read_csv(path, **as_written) for path in snakemake.input.candidates])
    funnels = {name: pd.read_csv(path) for name, path in zip(sets, snakemake.input.funnels, strict=True)}
    rates = {name: pd.read_csv(path) for name, path in zip(sets, snakemake.input.rates, strict=True)}
    log(f"{candidates['verdict'].value_counts().to_dict()}")
    with (
        atomic_path(snakemake.output.cifs) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for path in snakemake.input.cifs:
            with zipfile.ZipFile(path) as part:
                for entry in part.infolist():
                    archive.writestr(entry, part.read(entry), zipfile.ZIP_DEFLATED)
    in_archive = candidates["cif"].fillna("").str.rpartition("/")[2]
    candidates["cif"] = [f"{snakemake.output.cifs}/{name}" if name else "" for name in in_archive]
    write_csv(pd.concat(funnels, names=["set"]).reset_index("set"), snakemake.output.funnel)
    write_csv(pd.concat(rates, names=["set"]).reset_index("set"), snakemake.output.rates)
    draw_funnel(funnels, snakemake.output.figure)
    write_csv(candidates, snakemake.output.candidates)
