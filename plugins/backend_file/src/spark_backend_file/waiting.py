"""How long a call waits for a lock that another call, or another process, holds: not for ever, and not for nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from errno import ETIMEDOUT
from threading import Lock
from typing import Final

DEFAULT: Final = 30.0
_LONGEST_PAUSE: Final = 0.05
"""Seconds between two looks, and so what giving up may take."""


class Patience:
    """What one call may spend on waiting.

    :param seconds: for each lock.
    """

    def __init__(self, seconds: float = DEFAULT) -> None:
        self.seconds = seconds
        self._is_given_up = False

    def give_up(self) -> None:
        """Let the call end where it waits, from another thread: nobody wants its outcome any more."""
        self._is_given_up = True

    def lasts(self, attempt: Callable[[float], bool]) -> bool:
        """Whether an attempt succeeded in time.

        :param attempt: tries for so many seconds.
        """
        if attempt(0):
            return True
        end, pause = time.monotonic() + self.seconds, 0.001
        while not self._is_given_up and (left := end - time.monotonic()) > 0:
            if attempt(min(pause, left)):
                return True
            pause = min(2 * pause, _LONGEST_PAUSE)
        return False


PATIENCE: ContextVar[Patience] = ContextVar("PATIENCE")
"""That of the call that is made here."""


def patience() -> Patience:
    """That of the call that is made here; the default one where nobody set any."""
    return PATIENCE.get(None) or Patience()


@contextmanager
def held(lock: Lock, what: str) -> Iterator[None]:
    """Hold a lock of this process meanwhile.

    :param what: it is about, for messages.
    :raises TimeoutError: another call held it for too long.
    """
    allowed = patience()
    if not allowed.lasts(lambda seconds: lock.acquire(timeout=seconds)):
        raise TimeoutError(ETIMEDOUT, f"other calls of this process have used {what} for {allowed.seconds:g} s")
    try:
        yield
    finally:
        lock.release()
