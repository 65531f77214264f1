"""What a run is: code version, certificate, lock, SLURM jobs, times, machine, provenance."""
