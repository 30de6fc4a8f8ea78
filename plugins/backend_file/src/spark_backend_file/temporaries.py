"""The names of temporary files: each says which process writes it, so that leftovers of dead ones can be told apart."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from typing import Final

PREFIX: Final = ".tmp-"
_UNKNOWN: Final = "0"
STALE_SECONDS: Final = 24 * 3600
"""A file of a process that can't be seen from here is a leftover after a day; writing one takes seconds at most."""


def new_temporary() -> str:
    """A name that no other file of any process has."""
    pid = os.getpid()
    return f"{PREFIX}{_machine(pid)}-{pid}-{_own_start(pid)}-{secrets.token_hex(6)}"


def is_leftover(name: str, *, age: float) -> bool:
    """Whether the process that made this temporary file can't be writing it any more.

    :param age: seconds since the file was last changed.
    """
    parts = name.removeprefix(PREFIX).split("-")
    if not name.startswith(PREFIX) or len(parts) != 4 or not parts[1].isdecimal():
        return False
    machine, pid, start, _ = parts
    if machine != _machine(os.getpid()):
        # Another computer, another container, or before the last boot: its process ids mean nothing here.
        return age > STALE_SECONDS
    if not _is_alive(int(pid)):
        return True
    # Alive, and perhaps another one with the same id. Where a start time is unknown, the doubt is the file's benefit.
    return _UNKNOWN not in (start, now := _start_of(int(pid))) and start != now


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@lru_cache(maxsize=4)  # by process id, because a fork inherits the cache
def _own_start(pid: int) -> str:
    return _start_of(pid)


def _start_of(pid: int) -> str:
    """When the process started, in ticks since boot: with its id it means one process only. "0" where unknown."""
    with suppress(OSError, IndexError), open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        # The second field, a name in brackets, may hold spaces; the start time is the 22nd.
        return stat.read().rpartition(")")[2].split()[19]
    return _UNKNOWN


@lru_cache(maxsize=4)
def _machine(pid: int) -> str:
    """What tells this boot of this computer, and this container, from others that see the same folder."""
    witnesses = [os.uname().nodename]
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
        witnesses.append(boot.read().strip())
    with suppress(OSError):
        witnesses.append(os.readlink(f"/proc/{pid}/ns/pid"))
    return sha256("\0".join(witnesses).encode()).hexdigest()[:12]
