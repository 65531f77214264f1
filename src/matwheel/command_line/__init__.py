"""The command matwheel: the only room that knows paths and Snakemake's options."""
