"""Rules that answer yes or no: when a checkpoint is due, which ones stay, when a run waits for the store."""
