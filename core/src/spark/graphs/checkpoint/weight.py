"""Is there so much to encode that it would hold up the event loop?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from spark.graphs.checkpoint.fragments import FragmentCache
    from spark.graphs.checkpoint.model import GraphCheckpoint

_LIGHT_VALUES: Final = 2_000
"""About a millisecond's worth of small values."""
_LIGHT_BYTES: Final = 1_000_000
"""About a millisecond's worth of checksum."""
_TEXT_UNIT: Final = 256
"""As many characters as take about as long to encode as one small value."""


def is_light(checkpoint: GraphCheckpoint, cache: FragmentCache) -> bool:
    """Whether what is new since the cache was last used is encoded within about a millisecond."""
    if cache.size > _LIGHT_BYTES:
        return False
    new = [
        *cache.fresh("graph_state", checkpoint.graph_state),
        *cache.fresh("node_states", checkpoint.node_states),
        checkpoint.frontier,
        checkpoint.execution_metadata,
    ]
    return weight(new, limit=_LIGHT_VALUES) <= _LIGHT_VALUES


def weight(value: Any, *, limit: int) -> int:
    """About how many small values a value amounts to. It stops counting past the limit, also where a value contains itself."""
    total, pending = 0, [value]
    while pending and total <= limit:
        item = pending.pop()
        total += 1
        kind = type(item)
        if kind in (str, bytes, bytearray):
            total += len(item) // _TEXT_UNIT
        elif kind in (list, tuple, set, frozenset, dict):
            if len(item) > limit:
                return limit + 1
            pending.extend(item.values() if kind is dict else item)
        elif hasattr(item, "__dict__"):
            pending.extend(vars(item).values())
    return total
