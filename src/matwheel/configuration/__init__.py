"""The configuration as one model: what may be given, what goes together, what else is written of it."""
