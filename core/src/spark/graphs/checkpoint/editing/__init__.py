"""Checkpoints that nobody's run has made: edits of the latest one, branches and forks from any, written from what is stored."""
