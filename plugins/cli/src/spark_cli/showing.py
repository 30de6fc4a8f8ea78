"""A stored value on one line: in full, or what it is about."""

from __future__ import annotations

import json
from typing import Any, Final

from spark_cli.output import plain, shortened

_FEW: Final = 20
"""Lists and mappings of so many items are written in full, if that is short."""


def summary(value: Any) -> str:
    """The value, or the beginning of it; of a long list or mapping how many items it has, and of a list the last one."""
    if isinstance(value, list | tuple) and len(value) > _FEW:
        return shortened(f"{counted(len(value), 'item')}, the last one: {in_full(value[-1])}")
    if isinstance(value, dict) and len(value) > _FEW:
        some = ", ".join(in_full(key) for key in list(value)[:_FEW])
        return shortened(f"{counted(len(value), 'key')}: {some}, …")
    return shortened(in_full(value))


def in_full(value: Any) -> str:
    """The value as text where it is one, otherwise as JSON."""
    # What is stored may hold whatever a terminal takes for commands; JSON spells control characters out.
    is_safe = isinstance(value, str) and value.isprintable()
    return value if is_safe else json.dumps(plain(value))


def counted(count: int, noun: str) -> str:
    """``3 items``, ``1 item``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
