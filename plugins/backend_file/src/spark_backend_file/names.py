"""Ids and sequences ↔ file names: whatever the string, the name stays in its folder, and no two share one."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

LONGEST_NAME: Final = 150
"""Names are at most this many bytes, so that a sequence can be appended; file systems allow 255."""
LAST_SEQUENCE: Final = 10**12 - 1
"""Twelve digits: names sort like numbers, and the floor file stays below the longest file that ext4 allows."""
ALIASES: Final = "ids"
"""The folder of the ids given by hand, inside the graph's folder."""
BLOBS: Final = "blobs"
"""The folder of the large values, inside the graph's folder."""
FLOOR: Final = "floor"
"""The file whose length is the highest sequence that was deleted, inside the graph's folder."""

_READABLE: Final = 80
_HASHED = re.compile(r"[A-Za-z0-9_.%-]{0,80}~[0-9a-f]{64}\Z")
_RECORD = re.compile(r"([0-9]{12})\.ckpt\Z")
_FLOOR = re.compile(r"([0-9]{12})\.floor\Z")
_ALIAS = re.compile(r"([A-Za-z0-9_.%~-]+)@([0-9]{12})\Z")


@lru_cache(maxsize=1024)
def quote(text: str) -> str:
    """The file name that stands for an id, and for no other."""
    # Lone surrogates have no UTF-8; "surrogatepass" still gives each its own bytes.
    name = quote_from_bytes(text.encode("utf-8", "surrogatepass"), safe="").replace("~", "%7E")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > LONGEST_NAME:
        return _readable(name) + "~" + sha256(name.encode()).hexdigest()
    return name or "%"


def unquote(name: str) -> str | None:
    """The id that a name stands for; None when the name holds a hash, or is no name that ``quote`` makes."""
    if is_hashed(name) or not name.isascii():
        return None
    try:
        text = unquote_to_bytes("" if name == "%" else name).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return text if quote(text) == name else None


def is_hashed(name: str) -> bool:
    """Whether the name stands for an id too long to be spelt out; the id is then read from a record's header."""
    return _HASHED.match(name) is not None


def record_name(sequence: int) -> str:
    """The name of a record's file. It holds the sequence and nothing else, so that it can exist only once."""
    return f"{sequence:012d}.ckpt"


def sequence_of(name: str) -> int | None:
    """The sequence in the name of a record's file, or None for another file."""
    match = _RECORD.match(name)
    return int(match[1]) if match else None


def is_sequence(sequence: int) -> bool:
    """Whether a record can have this sequence."""
    return 0 < sequence <= LAST_SEQUENCE


def floor_name(sequence: int) -> str:
    """The name that says: sequences up to this one were used, and the last of them is deleted."""
    return f"{sequence:012d}.floor"


def floor_of(name: str) -> int | None:
    """The sequence in the name of a floor, or None for another file."""
    match = _FLOOR.match(name)
    return int(match[1]) if match else None


def alias_name(checkpoint_id: str, sequence: int) -> str:
    """The name that says: the record with this sequence was given this id by hand."""
    return f"{quote(checkpoint_id)}@{sequence:012d}"


def split_alias(name: str) -> tuple[str, int] | None:
    """The quoted id and the sequence in the name of an alias, or None for another file."""
    match = _ALIAS.match(name)
    return (match[1], int(match[2])) if match else None


def _readable(name: str) -> str:
    # A percent sign is followed by two digits; what the cut leaves of one is dropped.
    return re.sub(r"%.?\Z", "", name[:_READABLE])
