"""Bytes into a file, all of them."""

from __future__ import annotations

import os


def write_fully(file: int, content: bytes) -> None:
    """Write everything, in as many calls as the system wants."""
    written = os.write(file, content)
    while written < len(content):
        written += os.write(file, memoryview(content)[written:])
