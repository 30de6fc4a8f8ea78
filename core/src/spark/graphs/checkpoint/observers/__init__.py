"""Who is notified of checkpoints."""
