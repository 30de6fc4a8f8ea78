"""What the pages show, made of stored checkpoints by pure functions: no server, no store, no clock."""
