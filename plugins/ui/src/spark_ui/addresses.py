"""From graph ids to the paths of their pages, and back; and the numbers in addresses.

A path is one readable segment for whatever id: a browser would resolve ``..`` in it, and a server would decode ``%2F``. So every
byte but those of plain words is spelt ``~`` and two hexadecimal digits.
"""

from __future__ import annotations

import re
from typing import Final

_SPELT: Final = re.compile(r"~([0-9A-F]{2})")
_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:@+,=")


def to_segment(text: str) -> str:
    """The text as one segment of a path, in ASCII; ``from_segment`` is its inverse."""
    spelt = "".join(
        chr(byte) if byte in _PLAIN else f"~{byte:02X}" for byte in text.encode("utf-8", errors="surrogatepass")
    )
    return spelt.replace(".", "~2E") if spelt.strip(".") == "" else spelt


def from_segment(segment: str) -> str:
    """The text that ``to_segment`` was given.

    :raises ValueError: it gives no such segment.
    """
    encoded = _SPELT.sub(lambda match: chr(int(match[1], 16)), segment).encode("latin-1")
    text = encoded.decode("utf-8", errors="surrogatepass")
    if to_segment(text) != segment:
        raise ValueError(f"{segment!r} is not the address of anything.")
    return text


def number_of(text: str) -> int | None:
    """The number that an address or a form names; None where it names none. No store has one with more than 18 digits."""
    return int(text) if text.isdecimal() and len(text) < 19 else None


def run_path(graph_id: str) -> str:
    """The page of a run."""
    return f"/run/{to_segment(graph_id)}"


def timeline_path(graph_id: str) -> str:
    """The page of its steps over time."""
    return f"{run_path(graph_id)}/timeline"
