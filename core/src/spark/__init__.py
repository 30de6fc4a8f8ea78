"""Async graphs in Python whose runs survive."""
