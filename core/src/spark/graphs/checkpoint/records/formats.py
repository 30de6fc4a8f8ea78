"""The promise that a format makes: plain tree ↔ bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from spark.errors import CheckpointDamagedError, DeserializationError, SparkError
from spark.graphs.checkpoint.records.limits import SHORTAGES, shortage


class Format(ABC):
    """How the payload of a record is written.

    A plain tree is made of ``None``, ``bool``, ``int`` (below ``2**63`` in size), finite ``float``, ``str`` (without lone
    surrogates), ``list`` and ``dict`` with ``str`` keys; and of ``bytes`` where the format takes them.
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
    """The bytes of a mapping are ``opening(count)``, the members with ``separator`` between them, and ``closing``; a member is
    ``key(name)`` and the bytes that ``dumps`` makes of its value. What did not change need not be encoded again then, and is
    kept in chunks where there is much of it."""
    separator: ClassVar[bytes] = b""
    """What stands between two members of a mapping."""
    closing: ClassVar[bytes] = b""
    """What stands after the members of a mapping."""
    takes_bytes: ClassVar[bool] = False
    """A plain tree may hold ``bytes``, so that they need not be written as text."""
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
        """Whether it is known without a look at the tree that no ``dict`` in it has a single key that begins with ``$``, as those
        have that stand for other values. A format that can tell saves a walk through the whole tree."""
        return False

    def count(self, data: bytes) -> int:
        """How many values, keys not counted, ``loads`` makes of these bytes at most, without making them: never more than there
        are bytes. Asked where much was compressed to little; a format that knows better than one for each byte may compress
        more."""
        return len(data)

    def opening(self, count: int) -> bytes:
        """What stands before the members of a mapping with so many. Only for formats that compose."""
        raise NotImplementedError(f"The format {self.name!r} declares composes = True, but has no opening().")

    def key(self, name: str) -> bytes:
        """What stands before the value of a mapping's member. Only for formats that compose."""
        raise NotImplementedError(f"The format {self.name!r} declares composes = True, but has no key().")

    def sign(self, message: bytes) -> str:
        """A signature in hex over header and payload, or ``""`` when the format has no key."""
        return ""

    def verify(self, message: bytes, signature: str) -> bool:
        """Whether ``signature`` is right for ``message``; True when the format has no key. Asked before ``loads``."""
        return True


def parsed(format: Format, raw: bytes, what: str) -> Any:
    """The tree that a format makes of these bytes.

    :param what: whose bytes these are, for messages.
    :raises DeserializationError: this process has too little memory or stack for it.
    :raises CheckpointDamagedError: they are not of this format; the text says what they should be.
    """
    try:
        return format.loads(raw)
    except SparkError:
        raise
    except SHORTAGES as error:
        raise DeserializationError(f"{what} can't be read: {shortage(error)}") from error
    except Exception as error:
        raise CheckpointDamagedError(f"the {format.name} it should be ({type(error).__name__}: {error})") from error


def is_signed(format: Format) -> bool:
    """Whether its records are signed, when it has a key."""
    return type(format).sign is not Format.sign or type(format).verify is not Format.verify


def format_class(name: str) -> type[Format]:
    """The class of the format with this name.

    :raises PluginNotFoundError: no installed plugin provides it.
    :raises PluginConflictError: two do.
    :raises PluginBrokenError: one does, and can't be used.
    """
    from spark.hooks.registry import class_of  # not needed by those who give a format themselves

    return class_of(("format", name), base=Format)  # type: ignore[type-abstract]
