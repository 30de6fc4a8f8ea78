"""The pages of one run: its graph at any moment of its past, what changed, everything as a tree, the timeline."""
