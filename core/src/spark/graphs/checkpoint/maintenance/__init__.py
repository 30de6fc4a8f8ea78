"""What people do with stored checkpoints: list, load, verify, delete."""
