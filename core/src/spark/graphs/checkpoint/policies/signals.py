"""Has a signal arrived? A trigger that saves before the process is preempted."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any, Final, TypeAlias

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.policies.boundary import Boundary
from spark.graphs.checkpoint.policies.triggers import Trigger

_LOG = logging.getLogger("spark.checkpoint")


class OnSignal(Trigger):
    """Due at the next boundary after one of these signals: ``OnSignal("SIGTERM", "SIGUSR1")``; without any, after SIGTERM.

    A run listens from its start to its end, and each of several runs makes its checkpoint. A handler that was there before is
    called as well, and put back when the last run that listens has ended, unless somebody replaced ours meanwhile. Where there
    was none, the signal does not end the process while a run listens: the run continues. A second SIGTERM, SIGINT, SIGHUP or
    SIGQUIT does.

    Python handles signals in its main thread only. A run in another thread is refused, unless a run in the main thread listens to
    the same signals already.

    :raises GraphDefinitionError: this system has no such signal, or a program can't handle it.
    """

    name = "on_signal"

    def __init__(self, *signals: str) -> None:
        self._numbers = frozenset(map(_number, signals or ("SIGTERM",)))
        self._arrived: signal.Signals | None = None
        """What has arrived since the last checkpoint; only of a rule that was started."""

    @property
    def signals(self) -> list[str]:
        """The names of the signals."""
        return sorted(number.name for number in self._numbers)

    def start(self) -> Trigger:
        """A rule that listens.

        :raises RuntimeError: this is not the main thread, or a handler is installed that Python knows nothing of.
        """
        rule = OnSignal(*self.signals)
        _listen(rule._note, self._numbers)
        return rule

    def is_due(self, boundary: Boundary) -> bool:
        return self._arrived is not None

    def saved(self, boundary: Boundary) -> None:
        if self._arrived is not None:
            _LOG.warning(
                "A checkpoint is made after iteration %d, as %s arrived.", boundary.iteration, self._arrived.name
            )
            self._arrived = None

    def stop(self) -> None:
        _stop_listening(self._note, self._numbers)

    def _note(self, number: signal.Signals) -> None:
        self._arrived = number

    def __repr__(self) -> str:
        return f"OnSignal({', '.join(map(repr, self.signals))})"


_Listener: TypeAlias = Callable[[signal.Signals], None]

_FATAL: Final = frozenset({"SIGKILL", "SIGSTOP", "SIGSEGV", "SIGFPE", "SIGILL", "SIGBUS", "SIGABRT"})
"""Can't be handled, or not so that the program continues."""
_ENDING: Final = frozenset({"SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGBREAK"})
"""Ask a process to end."""

_lock = threading.RLock()  # the handler does without it
_listeners: dict[int, list[_Listener]] = {}
"""Who is told of a signal."""
_previous: dict[int, Any] = {}
"""What handled it before."""
_held_back: set[int] = set()
"""These have arrived, and would have ended the process."""
_handling: set[int] = set()


def _listen(listener: _Listener, numbers: Collection[signal.Signals]) -> None:
    """Have a listener told of signals, until ``_stop_listening``: of all, or of none where this raises."""
    with _lock:
        missing = [number for number in numbers if signal.getsignal(number) is not _handle]
        if missing and threading.current_thread() is not threading.main_thread():
            names = ", ".join(sorted(number.name for number in missing))
            raise RuntimeError(
                f"{names} can only be handled in the main thread. Run the graph there, or without OnSignal"
            )
        foreign = [number.name for number in missing if signal.getsignal(number) is None]
        if foreign:
            raise RuntimeError(
                f"a handler of {foreign[0]} is installed that Python can't call. Run the graph without OnSignal"
            )
        for number in missing:
            _previous[number] = signal.signal(number, _handle)
        for number in numbers:
            _listeners.setdefault(number, []).append(listener)


def _stop_listening(listener: _Listener, numbers: Collection[signal.Signals]) -> None:
    with _lock:
        for number in numbers:
            _listeners[number].remove(listener)
            if not _listeners[number]:
                _held_back.discard(number)
                # In another thread it stays, and does what the previous one would have done.
                if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is _handle:
                    signal.signal(number, _previous.pop(number))


def _handle(number: int, frame: FrameType | None) -> None:
    """Tell those who listen, and then do what would have been done without us. Runs in the main thread."""
    if number in _handling:  # a handler that was installed later calls ours, and was found by a later run
        return
    _handling.add(number)
    try:
        listeners = [*_listeners.get(number, ())]
        for listener in listeners:
            listener(signal.Signals(number))
        previous = _previous.get(number, signal.SIG_DFL)
        if callable(previous):
            previous(number, frame)
        elif previous is signal.SIG_DFL and not (listeners and _holds_back(number)):
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            signal.signal(number, _handle)  # where the system's default is to ignore it
    finally:
        _handling.discard(number)


def _holds_back(number: int) -> bool:
    """Whether the system's default has to wait: of a request to end only once."""
    if number in _held_back and signal.Signals(number).name in _ENDING:
        return False
    _held_back.add(number)
    return True


def _number(name: Any) -> signal.Signals:
    number = getattr(signal, name, None) if isinstance(name, str) and name.startswith("SIG") else None
    if not isinstance(number, signal.Signals) or number.name in _FATAL:
        known = sorted(each.name for each in signal.Signals if each.name not in _FATAL)
        raise GraphDefinitionError(
            f"OnSignal({name!r}): there is no such signal that a program can handle. Give one of {', '.join(known)}."
        )
    return number
