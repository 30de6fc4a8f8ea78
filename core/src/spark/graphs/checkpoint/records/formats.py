"""The promise that a format makes: plain tree ↔ bytes; and what a payload is composed of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self, TypeAlias


class EncodedItems(list[bytes]):
    """The items of a mapping, each as its bytes, and their total length. Never changed once it is made."""

    __slots__ = ("size",)

    size: int
    """The total length of all items, in bytes."""

    @classmethod
    def of(cls, items: Iterable[bytes]) -> Self:
        """These items, in this order."""
        made = cls(items)
        made.size = sum(map(len, made))
        return made


Encoded: TypeAlias = "EncodedItems | DeferredPayload | bytes"
"""A value of a mapping: as its bytes, as the items of a mapping, or as an object with the ``len()`` and ``bytes()`` of these."""
Sections = Mapping[str, Encoded]
"""The values of a mapping by their names."""


class Format(ABC):
    """How the payload of a record is written.

    A plain tree is made of ``None``, ``bool``, ``int`` (below ``2**63`` in size), finite ``float``, ``str`` (without lone
    surrogates), ``list`` and ``dict`` with ``str`` keys.
    """

    name: ClassVar[str]
    """What ``format=`` and the record's header call it."""
    suffix: ClassVar[str]
    """The file name ending that people expect, without the dot."""
    text: ClassVar[bool] = False
    """The bytes are readable JSON text, so that they can be embedded in a JSON document. Its class takes
    ``pretty_print=``."""
    safe_to_load: ClassVar[bool] = False
    """Loading bytes from an untrusted store runs no code of theirs. Unless a class says so, it is only used where it is named."""
    composes: bool = False
    """It has ``member`` and ``compose``, so that what did not change need not be encoded again."""
    takes_objects: ClassVar[bool] = False
    """It writes any object by itself; then nothing is turned into a plain tree first."""

    @abstractmethod
    def dumps(self, tree: Any) -> bytes:
        """The bytes that ``loads`` turns into an equal tree.

        :raises Exception: whatever the format's library raises; the codec finds the path to the value and wraps it.
        """

    @abstractmethod
    def loads(self, data: bytes) -> Any:
        """The tree that the bytes were made from, in bounded time and memory, whatever the bytes are.

        :raises Exception: whatever the format's library raises; the codec wraps it.
        """

    def is_plain(self, data: bytes) -> bool:
        """Whether it is known without a look at the tree that no ``dict`` in it has a key that begins with ``$``, as those have
        that stand for other values. A format that can tell saves a walk through the whole tree."""
        return False

    def count(self, data: bytes) -> int:
        """How many values ``loads`` makes of these bytes at most, without making them. A format that knows better than
        one for each byte may compress more."""
        return len(data)

    def member(self, name: str, value: bytes) -> bytes:
        """One member of a mapping, from the bytes of its value, as ``compose`` wants it. Only for formats that compose."""
        raise NotImplementedError(f"The format {self.name!r} can't be composed of members.")

    def compose(self, sections: Sections) -> bytes:
        """The bytes of a mapping of sections. Only for formats that compose."""
        raise NotImplementedError(f"The format {self.name!r} can't be composed of members.")

    def composed_size(self, sections: Sections) -> int:
        """The length of what ``compose`` returns; a format that can tell it without composing saves most of the work."""
        return len(self.compose(sections))

    def sign(self, message: bytes) -> str:
        """A signature in hex over header and payload, or ``""`` when the format has no key."""
        return ""

    def verify(self, message: bytes, signature: str) -> bool:
        """Whether ``signature`` is right for ``message``; True when the format has no key. Asked before ``loads``."""
        return True


def is_signed(format: Format) -> bool:
    """Whether its records are signed, when it has a key."""
    return type(format).sign is not Format.sign or type(format).verify is not Format.verify


class DeferredPayload:
    """A payload that is composed only when somebody reads it. What did not change, it shares with those before and after it.

    ``bytes(payload)`` is the payload, and ``len(payload)`` its length, which is known without composing it.
    """

    __slots__ = ("_format", "_sections")

    def __init__(self, format: Format, sections: Sections) -> None:
        """Of ``sections``, nothing may be changed afterwards."""
        self._format = format
        self._sections = sections

    def __len__(self) -> int:
        return self._format.composed_size(self._sections)

    def __bytes__(self) -> bytes:
        return self._format.compose(self._sections)


def format_class(name: str) -> type[Format]:
    """The class of the format with this name.

    :raises PluginNotFoundError: no installed plugin provides it.
    :raises PluginConflictError: two do.
    :raises PluginBrokenError: one does, and can't be used.
    """
    from spark.hooks.registry import class_of  # not needed by those who give a format themselves

    return class_of(("format", name), base=Format)  # type: ignore[type-abstract]
