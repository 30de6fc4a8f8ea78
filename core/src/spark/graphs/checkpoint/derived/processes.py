"""Is a process that wrote something still there? Known only of processes of this very system, and asked nowhere else."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Final

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE: Final = Path("/proc/self/ns/pid")


@lru_cache(maxsize=1)
def this_system() -> str | None:
    """Where process ids mean the same as here: this boot of this machine, and in a container this container. None if unknown."""
    try:
        return f"{_BOOT.read_text().strip()}/{_NAMESPACE.stat().st_ino}"
    except OSError:
        return None


def is_gone(system: object, pid: object) -> bool:
    """Whether the process is known to have ended.

    :param system: what ``this_system`` said there.
    """
    if type(pid) is not int or pid <= 0 or system is None or system != this_system():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # there is one, of another user
    return False
