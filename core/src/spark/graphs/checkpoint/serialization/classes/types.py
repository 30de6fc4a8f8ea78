"""Bundles of types: what a plugin says about the classes of one library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class SavedType:
    """How instances of exactly one class become something that can be saved, and are rebuilt from it."""

    cls: type
    name: str
    """What stored data calls the class, forever: ``"module:name"``. In a bundle, the module is one that its ``TypesSpec`` names,
    because a reader finds the bundle by it."""
    to_data: Callable[[Any], Any]
    """Returns anything that can be saved. A ``memoryview`` in it, or ``storage.Pieces`` for bytes in several buffers, stands for
    raw bytes: large ones are stored beside the record, without a copy and without base64. To refuse a value, raise a
    ``SerializationError`` with the reason, as a clause that begins with "it" or "its" and a sentence that says what to do
    instead."""
    from_data: Callable[[Any], Any]
    """Gets what ``to_data`` returned, from a store that anybody may have written to: it checks everything, runs no code that
    the data names, and allocates no more than the data accounts for. A ``memoryview`` comes back contiguous and writable, and
    belongs to the value."""
    copy: Callable[[Any], Any] | None = None
    """Returns a value that shares nothing with the given one that could be changed; the value itself if it can't be. Without it,
    ``copy.deepcopy`` is used."""
    nbytes: Callable[[Any], int] | None = None
    """Returns about how many bytes an instance holds, so that large ones are encoded in a thread."""


class Types(ABC):
    """How the classes of one library are saved: a bundle that a plugin provides, in use as soon as it is installed.

    The module of a bundle does not import the library: ``types`` does, when the first value is saved or loaded. What a program
    registers itself with ``register_type`` comes before it.
    """

    install: ClassVar[str] = ""
    """What ``pip install`` takes to get the library, for messages; by default the name of the module that is missing."""

    @abstractmethod
    def types(self) -> Iterable[SavedType]:
        """The classes, each with its stored name; called once per process.

        :raises ImportError: the library is not installed.
        """
