"""A stored value on one line: in full, or what it is about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from spark_cli.terminal.output import is_raw, plain, shortened

if TYPE_CHECKING:
    from spark.graphs import MapProgress

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
    """The value as text where it is one, otherwise as JSON; of an object whose data alone was read, its type before that."""
    if is_raw(value):
        return f"{value.type} {in_full(value.value)}"
    # What is stored may hold whatever a terminal takes for commands; JSON spells control characters out.
    is_safe = isinstance(value, str) and value.isprintable()
    return value if is_safe else json.dumps(plain(value), ensure_ascii=False)


def map_line(map: MapProgress) -> str:
    """How many items of a map are done, have begun, and are still to run."""
    source, node, key = (in_full(name) for name in (map.source, map.node, map.key))
    counts = f"{map.running:,} running, {map.waiting:,} waiting"
    return f"{source}, each {key} → {node}: {map.done:,} of {counted(map.total, 'item')} done, {counts}"


def size(count: int) -> str:
    """So many bytes, in a unit that leaves few digits."""
    amount = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def counted(count: int, noun: str, plural: str = "") -> str:
    """``3 items``, ``1 item``."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
