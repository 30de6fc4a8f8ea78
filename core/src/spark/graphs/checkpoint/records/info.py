"""One line of a listing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
"""What can be searched for."""


@dataclass(kw_only=True, unsafe_hash=True)
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
    """Stored size of the record, in bytes. In memory it is found when it is first read."""
    manual: bool = False
    """Made by hand, so that retention leaves it alone."""
    metadata: Mapping[str, Scalar] = field(default_factory=dict, compare=False)
    """The short scalars of its metadata: ``iteration``, metrics, what was given by hand. Listings may leave it empty, unless they
    are asked for it: ``with_metadata=True``."""
    parent: int | None = field(default=None, compare=False)
    """The sequence that it continues, if any. In listings it is where ``metadata`` is."""

    @classmethod
    def deferred(
        cls, graph_id: str, sequence: int, timestamp: datetime, parent: int | None, *, find: Callable[[str], Any]
    ) -> Self:
        """The line of an automatic checkpoint of which the other fields are found when they are read.

        :param find: given the name of one of these, returns its value, the same each time.
        """
        line = cls.__new__(cls)
        line.graph_id = graph_id
        line.sequence = sequence
        line.timestamp = timestamp
        line.parent = parent
        line._find = find  # type: ignore[attr-defined]
        return line

    if not TYPE_CHECKING:  # or a type checker would take any name for one of its fields

        def __getattr__(self, name: str) -> Any:
            if name not in _FOUND or "_find" not in self.__dict__:
                raise AttributeError(f"A {type(self).__name__} has no {name!r}.")
            value = self.__dict__[name] = self._find(name)
            return value

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


_FOUND: Final = frozenset({"checkpoint_id", "size", "metadata"})
"""The fields that may be found when they are read."""
