"""What this process knows of a checkpoint besides its data: the store that it came from, and who is notified when it is saved.

It is kept beside the checkpoint, which therefore is plain data: it can be compared, copied, pickled and sent to another process.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple, TypeVar
from weakref import ref

Checkpoint = TypeVar("Checkpoint")


class Links(NamedTuple):
    """What belongs to a checkpoint for as long as that is alive."""

    store: Any = None
    """The backend that it was loaded from or saved to."""
    observers: Any = None
    """Who is notified when it is saved by hand."""
    codec: Any = None
    """The store of its graph and what writes there, where that is not the store's own codec."""


_NONE: Final = Links()
_LINKS: Final[dict[int, tuple[ref[Any], Links]]] = {}
"""By the id of the checkpoint, which leaves this mapping when it dies: checkpoints can't be hashed, for they can be changed."""


def links_of(checkpoint: object) -> Links:
    """What belongs to this object."""
    found = _LINKS.get(id(checkpoint))
    return _NONE if found is None else found[1]


def link(checkpoint: Checkpoint, **links: Any) -> Checkpoint:
    """The checkpoint, to which a store or observers belong from now on."""
    _set(checkpoint, links_of(checkpoint)._replace(**links))
    return checkpoint


def linked_as(original: object, copy: Checkpoint) -> Checkpoint:
    """The copy, to which everything belongs that belongs to the original."""
    links = links_of(original)
    if links is not _NONE:
        _set(copy, links)
    return copy


def _set(checkpoint: object, links: Links) -> None:
    # Called without Python code, in which an interrupt or a full stack could keep the entry for the next object of this id.
    number = id(checkpoint)
    _LINKS[number] = ref(checkpoint, partial(_LINKS.pop, number)), links
