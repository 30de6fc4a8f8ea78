"""The promise that a codec makes: bytes ↔ other bytes, such as encrypted ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

from spark.errors import CheckpointDamagedError, DeserializationError, SerializationError
from spark.graphs.checkpoint.records.compression import (
    ALWAYS_ALLOWED,
    LARGEST_RATIO,
    compress,
    is_plausible,
    unpack,
)
from spark.wording import raised


class Codec(ABC):
    """A reversible transformation of all that a store holds of a checkpoint's content: encryption, for instance.

    It gets each payload and each large value by itself, after compression; several codecs are applied in the order in which they
    are given, and undone in reverse. Headers stay as they are: everybody can read ids, times, sizes and searchable metadata.
    Records name their codecs, so that one that needs no options is found again by itself. It may be called by several threads
    at once.
    """

    name: ClassVar[str]
    """What ``codec=`` and the record's header call it."""
    cost: ClassVar[int] = 10
    """How many bytes are hashed with SHA-256 in the time in which it transforms one, about. What takes long does not run in the
    event loop."""

    @abstractmethod
    def encode(self, data: bytes) -> bytes:
        """What is stored instead of these bytes. Equal bytes need not become equal ones.

        :raises Exception: whatever its library raises; then nothing is stored.
        """

    @abstractmethod
    def decode(self, data: bytes, *, limit: int) -> bytes:
        """The bytes that ``encode`` was given, in bounded time, whatever the bytes are; runs no code of theirs.

        :param limit: there were never more than so many; a codec that would make more stops and raises.
        :raises Exception: they are none that ``encode`` has made with these options.
        """


def codec_class(name: str) -> type[Codec]:
    """The class of the codec with this name.

    :raises PluginNotFoundError: no installed plugin provides it.
    :raises PluginConflictError: two do.
    :raises PluginBrokenError: one does, and can't be used.
    """
    from spark.hooks.registry import class_of  # not needed by those who give a codec themselves

    return class_of(("codec", name), base=Codec)  # type: ignore[type-abstract]


FindCodecs: TypeAlias = Callable[[Sequence[str]], Sequence[Codec]]
"""The codecs with these names, for reading."""


def codec_names(codecs: Sequence[Codec]) -> tuple[str, ...]:
    """What a record's header calls them."""
    return tuple(codec.name for codec in codecs)


def pack(
    raw: bytes, *, compression: str, codecs: Sequence[Codec], admits: Callable[[int], bool] = lambda size: True
) -> tuple[bytes, str]:
    """What is stored of some bytes, and how that is compressed: not at all where a reader would take it for a bomb.

    :param admits: whether a reader takes it, if so many bytes are stored.
    :raises SerializationError: a codec fails, or makes less of them than a reader believes.
    """
    for name in dict.fromkeys((compression, "")):
        packed = compress(raw, name) if name else raw
        if packed is None:
            continue
        for codec in codecs:
            packed = _encoded(codec, packed)
        if len(packed) >= len(raw) or (is_plausible(size=len(packed), raw_size=len(raw)) and admits(len(packed))):
            return packed, name
    names = ", ".join(map(repr, codec_names(codecs)))
    raise SerializationError(
        f"What the codecs {names} make of {len(raw):,} bytes is so short that a reader would take it for a decompression "
        "bomb. To save space, "
        "use compression=, which is left out in such a case. Nothing was written."
    )


def undo(stored: bytes, *, compression: str, codecs: Sequence[Codec], raw_size: int, what: str) -> bytes:
    """The bytes that ``pack`` was given.

    :param what: whose bytes these are, for messages.
    :raises CheckpointDamagedError: they are not so many, compressed in this way.
    :raises DeserializationError: a codec can't undo them, or the compression is not known here.
    """
    if codecs and not is_plausible(size=len(stored), raw_size=raw_size):
        raise CheckpointDamagedError(f"its header says that {len(stored)} bytes unpack to {raw_size}")
    for place in reversed(range(len(codecs))):
        is_last = place == 0 and not compression
        limit = raw_size if is_last else max(ALWAYS_ALLOWED, LARGEST_RATIO * len(stored))
        stored = _decoded(codecs[place], stored, limit=limit, what=what)
    return unpack(stored, compression, raw_size=raw_size, what=what)


def _encoded(codec: Codec, data: bytes) -> bytes:
    try:
        encoded = codec.encode(data)
    except Exception as error:
        raise SerializationError(f"The codec {codec.name!r} failed: {raised(error)}. Nothing was written.") from error
    if type(encoded) is not bytes:
        raise SerializationError(
            f"The codec {codec.name!r} made a {type(encoded).__name__}, not bytes. Nothing was written."
        )
    return encoded


def _decoded(codec: Codec, data: bytes, *, limit: int, what: str) -> bytes:
    try:
        decoded = codec.decode(data, limit=limit)
    except Exception as error:
        raise DeserializationError(
            f"{what} can't be decoded by the codec {codec.name!r} ({type(error).__name__}: {error}). Either it was written with "
            "other options, such as another key, or somebody changed it and its checksum. Open the store with the options that "
            "it was written with."
        ) from error
    if type(decoded) is not bytes or len(decoded) > limit:
        raise DeserializationError(f"{what} can't be decoded: the codec {codec.name!r} made more than {limit:,} bytes.")
    return decoded
