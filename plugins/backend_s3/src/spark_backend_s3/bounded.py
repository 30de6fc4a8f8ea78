"""Remembering, within bounds."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

Value = TypeVar("Value")


def keep(kept: OrderedDict[str, Value], key: str, value: Value, *, most: int) -> None:
    """Keep a value, and of all only the last ``most``."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)
