"""Who is told about checkpoints."""
