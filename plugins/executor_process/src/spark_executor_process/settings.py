"""What a worker is started with."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from spark.errors import GraphDefinitionError

_UNITS: Final = {
    "": 1,
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", 1)},
}


class WorkerSettings(NamedTuple):
    """What all workers of one executor have in common."""

    start_method: str
    memory_limit: int | None
    """Bytes."""
    shared_memory_from: int
    """Bytes."""
    packs_code: bool


def in_bytes(name: str, given: Any) -> int:
    """A size as bytes: ``"500MB"`` is 500,000,000, and ``"500MiB"`` 524,288,000.

    :raises GraphDefinitionError: it is no size.
    """
    if isinstance(given, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", given.strip())
        if found is not None and found[2].upper() in _UNITS:
            return int(float(found[1]) * _UNITS[found[2].upper()])
    elif isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return given
    raise GraphDefinitionError(f"ProcessExecutor({name}={given!r}): give bytes, or a size such as '500MB' or '2GiB'.")
