"""The flow of automatic checkpoints, from a run to the store."""
