"""What every training shares: checkpoints, devices, random draws, resuming, scales of labels."""
