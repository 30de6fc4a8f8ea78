"""One line of a listing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
"""What can be searched for."""


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
    metadata: Mapping[str, Scalar] = field(default_factory=dict, compare=False)
    """The short scalars of its metadata: ``iteration``, metrics, what was given by hand. Listings may leave it empty, unless they
    are asked for it: ``with_metadata=True``."""
