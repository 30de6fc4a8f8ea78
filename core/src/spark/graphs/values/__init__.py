"""Values as they are kept: snapshots, the engine's own containers, classes by their names, exceptions as plain values."""
