"""What every room needs: errors, files, seeds, progress, processes, registries, limits of time."""
