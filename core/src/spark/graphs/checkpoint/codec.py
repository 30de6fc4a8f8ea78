"""Checkpoint ↔ record: tree, format, compression, checksum, signature."""

from __future__ import annotations

from typing import Any


class Codec:
    def __init__(self, **options: Any) -> None:
        self.options = options
