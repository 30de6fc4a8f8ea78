"""Why did a worker end? From its exit code, in words that say what to do."""

from __future__ import annotations

import signal
from typing import Final

_HINTS: Final = {
    "SIGKILL": "Somebody killed it, or the system had no memory left: with memory_limit= a node that needs too much fails with a "
    "MemoryError, and fewer workers= need less",
    "SIGSEGV": "That is a crash in native code: PYTHONFAULTHANDLER=1 prints where",
    "SIGBUS": "That is a crash in native code: PYTHONFAULTHANDLER=1 prints where",
    "SIGABRT": "That is native code that gave up, often because it got no memory: PYTHONFAULTHANDLER=1 prints where",
}


def why_lost(code: int | None, *, pid: int | None, was_ready: bool, memory_limit: int | None = None) -> str:
    """Why a worker has ended, and what to do.

    :param code: its exit code; negative for the signal that ended it, None if it is not known.
    :param memory_limit: the bytes that it may allocate, if that is limited.
    """
    how = _how(code)
    if not was_ready:
        limit = (
            "" if memory_limit is None else f" Or its memory_limit of {memory_limit:,} bytes is too low to start in."
        )
        return (
            f"its worker process {how} before it was ready; see its output. A script that runs a graph does so under "
            f"if __name__ == '__main__':, because workers import it, too.{limit}"
        )
    return f"its worker process (pid {pid}) {how}. {_hint(code)}. This attempt has failed; set retry= to repeat it."


def _how(code: int | None) -> str:
    if code is None:
        return "is gone, and somebody else took its exit code"
    return f"ended with exit code {code}" if code >= 0 else f"was ended by {_signal(code)}"


def _hint(code: int | None) -> str:
    if code is None or code >= 0:
        return "A node, or a library that it uses, ended it (os._exit)"
    return _HINTS.get(_signal(code), "Something ended it from outside")


def _signal(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
