"""On which addresses processes listen, as Linux tells it under ``/proc``."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

_LISTENS: Final = "0A"
"""The state of a TCP socket."""


def addresses_of(processes: Iterable[int]) -> set[IPv4Address | IPv6Address]:
    """Those of all TCP sockets on which these processes listen."""
    sockets = {name for process in processes for name in _open_files(process)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *more = line.split()
            if state == _LISTENS and f"socket:[{more[5]}]" in sockets:
                found.add(_address(local.partition(":")[0]))
    return found


def _open_files(process: int) -> set[str]:
    names = set()
    with suppress(OSError):  # it has ended just now
        for file in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                names.add(os.readlink(file))
    return names


def _address(hexadecimal: str) -> IPv4Address | IPv6Address:
    """The kernel writes words of four bytes, in the order of this machine."""
    words = [int(hexadecimal[at : at + 8], 16) for at in range(0, len(hexadecimal), 8)]
    address = ip_address(b"".join(struct.pack("=I", word) for word in words))
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
