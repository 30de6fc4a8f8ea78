"""One line of a listing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class CheckpointInfo:
    """One line of a listing: enough to choose a checkpoint, without reading it. Never changed."""

    checkpoint_id: str
    """What ``load_checkpoint`` takes."""
    graph_id: str
    """The graph it belongs to."""
    sequence: int
    """Its place in the history of its graph; larger is later, whatever the clocks say."""
    timestamp: datetime
    """When it was made: an aware datetime, in UTC."""
    size: int
    """Stored size of the record, in bytes."""
    manual: bool = False
    """Made by hand, so that retention leaves it alone."""
