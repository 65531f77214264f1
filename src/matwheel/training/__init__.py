"""What every training shares: the loop, checkpoints, devices, random draws, scales of labels."""
