"""Bytes ↔ gzip or zstd, in bounded memory whatever was stored."""

from __future__ import annotations

import sys
import zlib
from importlib import import_module
from typing import Any, Final

from spark.errors import CheckpointDamagedError, DeserializationError, GraphDefinitionError

NAMES: Final = ("gzip", "zstd")
"""Of all compressions; what ``zstd`` needs is only imported when it is used."""
COST_FACTOR: Final = {"": 1, "gzip": 35, "zstd": 8}
"""By name, as many bytes are hashed in the time that one byte is hashed and packed; measured on text."""
LARGEST_RATIO: Final = 200
"""A payload that was compressed more than this is taken for a gzip bomb, …"""
ALWAYS_ALLOWED: Final = 16 * 2**20
"""… unless it is no longer than this many bytes."""

_WORTH_WHILE: Final = 0.9
_GZIP_WINDOW: Final = 31
_LARGEST_ZSTD_WINDOW: Final = 23
"""As a power of two: 8 MB. We write with 2; nobody's frame may ask a reader for more."""


def compression_name(compression: bool | str) -> str:
    """``"gzip"``, ``"zstd"`` or ``""``, from what users write: True, False or a name.

    :raises GraphDefinitionError: no such compression, or what it needs is not installed.
    """
    name = {True: "gzip", False: "", "gzip": "gzip", "zstd": "zstd", "": ""}.get(compression)
    if name is None:
        raise GraphDefinitionError(f"compression={compression!r} is unknown; use True, False, 'gzip' or 'zstd'.")
    if name == "zstd":
        try:
            _zstd()
        except ImportError as error:
            raise GraphDefinitionError(f"compression='zstd' can't be used: {error}") from error
    return name


def compress(raw: bytes, name: str) -> bytes | None:
    """Some bytes compressed, equal for equal bytes; None when the reader would take it for a bomb."""
    packed = _zstd().compress(raw) if name == "zstd" else _gzip(raw)
    return packed if is_plausible(size=len(packed), raw_size=len(raw)) else None


def shrinks(sample: bytes, name: str) -> bool:
    """Whether it is worth while to compress bytes of which this is a sample: random ones, such as most floats, it is not."""
    return len(_zstd().compress(sample) if name == "zstd" else _gzip(sample)) < _WORTH_WHILE * len(sample)


def _gzip(raw: bytes) -> bytes:
    import gzip  # slow to import, and most programs never compress

    return gzip.compress(raw, compresslevel=6, mtime=0)


def is_plausible(*, size: int, raw_size: int) -> bool:
    """Whether honest compression makes ``size`` bytes of ``raw_size`` bytes."""
    return raw_size <= max(ALWAYS_ALLOWED, LARGEST_RATIO * size)


def unpack(stored: bytes, name: str, *, raw_size: int, what: str) -> bytes:
    """What was stored under this compression, or under none, and must have exactly ``raw_size`` bytes.

    :param what: whose bytes these are, for messages.
    :raises CheckpointDamagedError: it is not so many bytes, compressed in this way; no more than these were ever made.
    :raises DeserializationError: this release does not know the compression, or what it needs is not installed.
    """
    if name not in ("", *NAMES):
        raise DeserializationError(
            f"{what} is compressed with {name!r}, which this release can't unpack. "
            "Load it with the release that wrote it, or a newer one."
        )
    if not is_plausible(size=len(stored), raw_size=raw_size) or (not name and raw_size != len(stored)):
        raise CheckpointDamagedError(f"its header says that {len(stored)} bytes unpack to {raw_size}")
    if not name:
        return stored
    try:
        return _decompress(stored, name, raw_size)
    except ImportError as error:
        raise DeserializationError(f"{what} is intact, but can't be unpacked: {error}.") from error
    except MemoryError as error:
        raise DeserializationError(
            f"{what} can't be unpacked: there is not enough memory for its {raw_size} bytes."
        ) from error


def _decompress(packed: bytes, name: str, raw_size: int) -> bytes:
    unpacker, broken = _unpacker(name)
    try:
        raw: bytes = unpacker.decompress(packed, raw_size + 1)
    except broken as error:
        raise CheckpointDamagedError(f"its {name} stream is broken ({error})") from error
    if len(raw) != raw_size or not unpacker.eof or unpacker.unused_data:
        raise CheckpointDamagedError(f"it does not unpack to the {raw_size} bytes that its header announces")
    return raw


def _unpacker(name: str) -> tuple[Any, type[Exception]]:
    """What unpacks one stream, and what it raises."""
    if name != "zstd":
        return zlib.decompressobj(_GZIP_WINDOW), zlib.error
    zstd = _zstd()
    limits = {zstd.DecompressionParameter.window_log_max: _LARGEST_ZSTD_WINDOW}
    return zstd.ZstdDecompressor(options=limits), zstd.ZstdError


def _zstd() -> Any:
    """The standard library's module, or the one that stands in for it before Python 3.14."""
    try:
        return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError as error:
        raise ImportError("zstd is not installed here; pip install 'spark-graphs[zstd]'") from error
