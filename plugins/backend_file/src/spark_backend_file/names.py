"""Ids, sequences and writers ↔ file names: whatever the string, the name stays in its folder, and no two share one."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

LONGEST_NAME: Final = 150
"""Names are at most this many bytes, so that a sequence can be appended; file systems allow 255."""
LAST_SEQUENCE: Final = 10**12 - 1
"""Twelve digits: names sort like numbers, and they are lengths that a sparse file may have on ext4."""
ALIASES: Final = "ids"
"""The folder of the ids given by hand, inside the graph's folder."""
BLOBS: Final = "blobs"
"""The folder of the large values, inside the graph's folder."""
DELETED_UP_TO: Final = "floor"
"""The file whose length is the highest sequence that was deleted, inside the graph's folder."""
TEMPORARY: Final = ".tmp-"
"""How the names of files begin that are being written."""
STALE_SECONDS: Final = 24 * 3600
"""A file of a process that can't be seen from here is a leftover after a day; writing one takes seconds at most."""

_READABLE: Final = 80
_UNKNOWN_START: Final = "0"
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,149}\Z")
_HASHED = re.compile(r"[A-Za-z0-9_.%-]{0,80}~[0-9a-f]{64}\Z")
_RECORD = re.compile(r"([0-9]{12})\.ckpt\Z")
_DELETED_UP_TO = re.compile(r"([0-9]{12})\.floor\Z")
_ALIAS = re.compile(r"([A-Za-z0-9_.%~-]+)@([0-9]{12})\Z")


@lru_cache(maxsize=1024)
def quote(text: str) -> str:
    """The file name that stands for an id, and for no other."""
    name = _spelt(text)
    if len(name) > LONGEST_NAME:
        return _readable(name) + "~" + sha256(name.encode()).hexdigest()
    return name or "%"


def beginning_of(prefix: str) -> str:
    """What the names of all ids begin with that begin with a text; those of some others begin with it, too."""
    return _spelt(prefix)[: _READABLE - 2]  # so much is left of a name that is cut, whatever the cut divides


def begins_with(name: str, prefix: str) -> bool:
    """Whether the id that a name stands for begins with a text, as far as the name tells."""
    if is_hashed(name):
        return len(_spelt(prefix)) <= _READABLE - 2 and name.startswith(_spelt(prefix))
    return (unquote(name) or "").startswith(prefix)


def unquote(name: str) -> str | None:
    """The id that a name stands for; None when the name holds a hash, or is no name that ``quote`` makes."""
    if _PLAIN.match(name):
        return name  # as most are
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


def sequences_in(names: Iterable[str]) -> list[int]:
    """The sequences of all records among these files, in order."""
    return sorted(int(match[1]) for match in map(_RECORD.match, names) if match)


def is_sequence(sequence: int) -> bool:
    """Whether a record can have this sequence."""
    return 0 < sequence <= LAST_SEQUENCE


def deleted_up_to_name(sequence: int) -> str:
    """The name of a file that says, where names say everything: sequences up to this one were used, and it is deleted."""
    return f"{sequence:012d}.floor"


def deleted_up_to_of(name: str) -> int | None:
    """The sequence in the name of such a file, or None for another file."""
    match = _DELETED_UP_TO.match(name)
    return int(match[1]) if match else None


def alias_name(quoted_id: str, sequence: int) -> str:
    """The name that says: the record with this sequence was given this id by hand."""
    return f"{quoted_id}@{sequence:012d}"


def split_alias(name: str) -> tuple[str, int] | None:
    """The quoted id and the sequence in the name of an alias, or None for another file."""
    match = _ALIAS.match(name)
    return (match[1], int(match[2])) if match else None


def new_temporary() -> str:
    """A name for a file to be written that no other file of any process has; it says which process writes it."""
    pid = os.getpid()
    return f"{TEMPORARY}{_machine(pid)}-{pid}-{_own_start(pid)}-{secrets.token_hex(6)}"


def is_leftover(name: str, *, age: float) -> bool:
    """Whether this is a temporary file whose process can't be writing it any more.

    :param age: seconds since the file was last changed.
    """
    parts = name.removeprefix(TEMPORARY).split("-")
    if not name.startswith(TEMPORARY) or len(parts) != 4 or not parts[1].isdecimal():
        return False
    machine, pid, start, _ = parts
    if machine != _machine(os.getpid()):
        # Another computer, another container, or before the last boot: its process ids mean nothing here.
        return age > STALE_SECONDS
    if not _is_alive(int(pid)):
        return True
    # Alive, and perhaps another one with the same id. Where a start time is unknown, the doubt is the file's benefit.
    return _UNKNOWN_START not in (start, now := _start_of(int(pid))) and start != now


def _spelt(text: str) -> str:
    # Lone surrogates have no UTF-8; "surrogatepass" still gives each its own bytes.
    name = quote_from_bytes(text.encode("utf-8", "surrogatepass"), safe="").replace("~", "%7E")
    return "%2E" + name[1:] if name.startswith(".") else name


def _readable(name: str) -> str:
    # A percent sign is followed by two digits; what the cut leaves of one is dropped.
    return re.sub(r"%.?\Z", "", name[:_READABLE])


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
    return _UNKNOWN_START


@lru_cache(maxsize=4)
def _machine(pid: int) -> str:
    """What identifies this boot of this computer, and this container, among others that see the same folder."""
    witnesses = [os.uname().nodename]
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
        witnesses.append(boot.read().strip())
    with suppress(OSError):
        witnesses.append(os.readlink(f"/proc/{pid}/ns/pid"))
    return sha256("\0".join(witnesses).encode()).hexdigest()[:12]
