"""The executor: steps as tasks of Ray, and as calls of a pool of its actors."""
