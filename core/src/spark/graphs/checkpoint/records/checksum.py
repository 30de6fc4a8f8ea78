"""How damage is found: a checksum over header and payload, with the name of its method before it."""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final


def checksum(method: str, header: bytes, payload: bytes) -> str:
    """``"sha256:…"`` or ``"crc32:…"``, in hex.

    SHA-256 is for whatever leaves the process; CRC-32, a quarter of the work, is enough for what never does.
    """
    return f"{method}:{_METHODS[method](header, payload)}"


def checksum_of(views: Iterable[memoryview]) -> str:
    """The SHA-256 of bytes in pieces, as ``checksum`` makes it of the whole."""
    digest = sha256()
    for view in views:
        digest.update(view)
    return f"sha256:{digest.hexdigest()}"


def shortened(checksum: str) -> str:
    """The first 128 bits of a SHA-256, as ``checksum`` made it, in base64: what follows ``SHORT``. Also of one that is short."""
    if checksum.startswith(SHORT):
        return checksum[len(SHORT) :]
    return _short(bytes.fromhex(checksum.partition(":")[2]))


def is_right(stated: str, header: bytes, payload: bytes) -> bool:
    """Whether a checksum is that of this header and payload; False also for one of an unknown method."""
    method = stated.partition(":")[0]
    return method in _METHODS and checksum(method, header, payload) == stated


SHORT: Final = "sha256-128:"
"""What stands before a shortened checksum."""
_SMALL: Final = 64 * 1024
_AT_ONCE: Final = 2047
"""With more bytes at a time, hashlib lets other threads run meanwhile, and a busy one can take longer than the hashing."""


def _sha256(header: bytes, payload: bytes) -> str:
    if len(header) + len(payload) <= _AT_ONCE:
        return sha256(header + payload).hexdigest()
    digest = sha256(header)
    if len(payload) > _SMALL:
        digest.update(payload)
    else:
        view = memoryview(payload)
        for start in range(0, len(view), _AT_ONCE):
            digest.update(view[start : start + _AT_ONCE])
    return digest.hexdigest()


def _crc32(header: bytes, payload: bytes) -> str:
    return f"{zlib.crc32(payload, zlib.crc32(header)):08x}"


def _sha256_128(header: bytes, payload: bytes) -> str:
    return _short(bytes.fromhex(_sha256(header, payload)))


def _short(digest: bytes) -> str:
    return urlsafe_b64encode(digest[:16])[:22].decode("ascii")


_METHODS: Final[dict[str, Callable[[bytes, bytes], str]]] = {
    "sha256": _sha256,
    "sha256-128": _sha256_128,
    "crc32": _crc32,
}
