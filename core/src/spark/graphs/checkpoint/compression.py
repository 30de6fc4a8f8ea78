"""Bytes ↔ gzip, in bounded memory whatever was stored."""

from __future__ import annotations

import gzip
import zlib
from typing import Final

from spark.errors import GraphDefinitionError

LARGEST_RATIO: Final = 200
"""A payload that was compressed more than this is taken for a gzip bomb, …"""
ALWAYS_ALLOWED: Final = 16 * 2**20
"""… unless it is no longer than this many bytes."""

_GZIP_WINDOW: Final = 31


def compression_name(compression: bool | str) -> str:
    """``"gzip"`` or ``""``, from what users write: True, False or a name.

    :raises GraphDefinitionError: no such compression.
    """
    name = {True: "gzip", False: "", "gzip": "gzip", "": ""}.get(compression)
    if name is None:
        raise GraphDefinitionError(f"compression={compression!r} is not known; use True, False or 'gzip'.")
    return name


def compress(raw: bytes) -> bytes | None:
    """The gzip of some bytes, equal for equal bytes; None when the reader would take it for a bomb."""
    packed = gzip.compress(raw, compresslevel=6, mtime=0)
    return packed if is_plausible(size=len(packed), raw_size=len(raw)) else None


def is_plausible(*, size: int, raw_size: int) -> bool:
    """Whether honest compression makes ``size`` bytes of ``raw_size`` bytes."""
    return raw_size <= max(ALWAYS_ALLOWED, LARGEST_RATIO * size)


def decompress(packed: bytes, *, raw_size: int) -> bytes:
    """What was compressed, which must have exactly ``raw_size`` bytes; no more than these are ever made.

    :raises ValueError: it is no gzip of so many bytes.
    """
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        raw = unpacker.decompress(packed, raw_size + 1)
    except zlib.error as error:
        raise ValueError(f"its gzip stream is broken ({error})") from error
    if len(raw) != raw_size or not unpacker.eof or unpacker.unused_data:
        raise ValueError(f"it does not unpack to the {raw_size} bytes that its header says")
    return raw
