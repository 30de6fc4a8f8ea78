"""One line of a listing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self, TypeAlias, overload

Scalar: TypeAlias = str | int | float | bool | None
"""What can be searched for."""


class Size:
    """A field with a number of bytes, or with what finds it when it is read."""

    @overload
    def __get__(self, line: None, owner: type) -> Self: ...
    @overload
    def __get__(self, line: object, owner: type) -> int: ...
    def __get__(self, line: object | None, owner: type) -> Self | int:
        if line is None:
            raise AttributeError(_NAME)  # for a dataclass: there is no default
        size: int | Callable[[], int] = getattr(line, _NAME)
        if not isinstance(size, int):
            size = size()
            setattr(line, _NAME, size)
        return size

    def __set__(self, line: object, size: int | Callable[[], int]) -> None:
        setattr(line, _NAME, size)


_NAME: Final = "_size"


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
    size: Size = Size()
    """Stored size of the record, in bytes. In memory it is found when it is first read."""
    manual: bool = False
    """Made by hand, so that retention leaves it alone."""
    metadata: Mapping[str, Scalar] = field(default_factory=dict, compare=False)
    """The short scalars of its metadata: ``iteration``, metrics, what was given by hand. Listings may leave it empty, unless they
    are asked for it: ``with_metadata=True``."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, _NAME: self.size}
