"""When a failed step is executed again, and how long that waits."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from random import Random
from typing import Any, Final, Literal, TypeAlias

from spark.errors import (
    GraphDefinitionError,
    GraphRestoreError,
    InvalidIdError,
    NodeError,
    PluginError,
    RunError,
    SerializationError,
)
from spark.graphs.values.loaded import class_name, find_loaded

RetryFunction: TypeAlias = Callable[[Exception, int], float | timedelta | Literal[False] | None]
"""What a user may write instead of a ``Retry``: called with the error and the attempt that failed, it returns how long to wait,
in seconds or as a ``timedelta``; None or False for no further attempt."""

HOPELESS: Final = (
    GraphDefinitionError,
    GraphRestoreError,
    InvalidIdError,
    NodeError,
    PluginError,
    RunError,
    SerializationError,
)
"""Our own errors that another attempt can't cure. They are never retried, whatever a policy says."""
_LONGEST: Final = timedelta(days=3650).total_seconds()


class Raised:
    """How an attempt ended, as strategies of ``tenacity`` ask for it."""

    __slots__ = ("_error",)
    failed: Final = True

    def __init__(self, error: Exception) -> None:
        self._error = error

    def exception(self) -> Exception:
        """What the node raised."""
        return self._error

    def result(self) -> Any:
        """
        :raises Exception: what the node raised.
        """
        raise self._error


class AttemptState:
    """An attempt that failed, as strategies see it. The names are those of tenacity's ``RetryCallState``."""

    __slots__ = ("attempt_number", "idle_for", "outcome", "seconds_since_start", "upcoming_sleep")

    def __init__(self, error: Exception, attempt: int, *, seconds_since_start: float, idle_for: float) -> None:
        self.attempt_number: int = attempt
        """1 for the first execution."""
        self.outcome: Raised = Raised(error)
        self.seconds_since_start: float = seconds_since_start
        """From the beginning of the first attempt to the failure of this one, however often the run was resumed."""
        self.idle_for: float = idle_for
        """Seconds for which the attempts so far have waited."""
        self.upcoming_sleep: float = 0.0
        """Seconds before the next attempt, if there is one; ``stop`` sees it, ``wait`` and ``retry`` don't."""


Strategy: TypeAlias = Callable[[Any], Any]
"""A function of an ``AttemptState``, for instance one of tenacity's."""


class RetryRule:
    """What a node's ``retry`` comes down to."""

    __slots__ = ()

    @property
    def given(self) -> Any:
        """What the user wrote."""
        return self

    @property
    def asks_for_time(self) -> bool:
        """Whether it may ask how long all attempts have taken together."""
        return False

    def delay(self, state: AttemptState, random: Random) -> float | None:
        """Seconds until the next attempt; None for no more."""
        raise NotImplementedError

    def delay_after(
        self, error: Exception, attempt: int, random: Random, *, seconds_since_start: float, idle_for: float
    ) -> float | None:
        """The same after an attempt that failed with this error.

        :param seconds_since_start: from the beginning of the first attempt.
        :param idle_for: seconds for which the attempts so far have waited.
        :raises Exception: whatever a function of the user raised.
        """
        if isinstance(error, HOPELESS):
            return None
        return self.delay(
            AttemptState(error, attempt, seconds_since_start=seconds_since_start, idle_for=idle_for), random
        )

    def to_data(self) -> dict[str, Any] | None:
        """What checkpoints record of it; None where that is not possible."""
        return None


class Retry(RetryRule):
    """Retries a failed step with exponential backoff: after a wait that grows from attempt to attempt.

    Times are in seconds, or a ``timedelta``. An instance is never changed, and may serve many nodes.

    :param max_attempts: the number of attempts, including the first; None: 3, or as many as ``stop`` allows.
    :param initial_interval: the wait before the second attempt.
    :param backoff_factor: each further wait is longer by this factor.
    :param max_interval: the longest wait.
    :param jitter: whether each wait is drawn at random, from half of it to all of it, so that steps don't all retry at once.
    :param retry_on: the types of exceptions that are retried, or a plain function of the exception that decides.
    :param stop: a strategy, such as tenacity's, that decides when to give up.
    :param wait: a strategy that decides how long to wait, instead of the four options for intervals.
    :param retry: a strategy that decides what is retried, instead of ``retry_on``.
    :raises GraphDefinitionError: one of them can't be used.
    """

    __slots__ = (
        "backoff_factor",
        "initial_interval",
        "jitter",
        "max_attempts",
        "max_interval",
        "retry",
        "retry_on",
        "stop",
        "wait",
    )

    def __init__(
        self,
        *,
        max_attempts: int | None = None,
        initial_interval: float | timedelta = 1,
        backoff_factor: float = 2,
        max_interval: float | timedelta = 60,
        jitter: bool = True,
        retry_on: type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], Any] = Exception,
        stop: Strategy | None = None,
        wait: Strategy | None = None,
        retry: Strategy | None = None,
    ) -> None:
        if max_attempts is not None and (type(max_attempts) is not int or max_attempts < 1):
            raise GraphDefinitionError(f"Retry(max_attempts={max_attempts!r}): give a whole number of at least 1.")
        if not _is_number(backoff_factor) or not backoff_factor >= 1:
            raise GraphDefinitionError(f"Retry(backoff_factor={backoff_factor!r}): give a number of at least 1.")
        if type(jitter) is not bool:
            raise GraphDefinitionError(f"Retry(jitter={jitter!r}): give True or False.")
        for name, strategy in {"stop": stop, "wait": wait, "retry": retry}.items():
            if strategy is not None:
                _check_function(f"Retry({name}=…)", strategy)
        self.max_attempts: Final = 3 if max_attempts is None and stop is None else max_attempts
        self.initial_interval: Final = _interval("initial_interval", initial_interval)
        self.backoff_factor: Final = float(backoff_factor)
        self.max_interval: Final = _interval("max_interval", max_interval)
        self.jitter: Final = jitter
        self.retry_on: Final = _checked_retry_on(retry_on)
        self.stop: Final = stop
        self.wait: Final = wait
        self.retry: Final = retry
        self._refuse_both()

    @property
    def asks_for_time(self) -> bool:
        """Whether it has strategies, which may."""
        return bool(self.stop or self.wait or self.retry)

    def delay(self, state: AttemptState, random: Random) -> float | None:
        """Seconds until the next attempt; None for no more.

        :param random: where the jitter comes from.
        :raises Exception: whatever a strategy or a function of the user raised.
        """
        if self.max_attempts is not None and state.attempt_number >= self.max_attempts:
            return None
        if not self._covers(state):
            return None
        seconds = self._wait(state, random)
        state.upcoming_sleep = seconds
        if self.stop is not None and _answer(self.stop(state)):
            return None
        return seconds

    def to_data(self) -> dict[str, Any] | None:
        """The options that it was made with, as checkpoints record them; None where a function is among them."""
        if self.asks_for_time or not isinstance(self.retry_on, tuple):
            return None
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {**plain, "retry_on": [class_name(kind) for kind in self.retry_on]}

    @classmethod
    def from_data(cls, data: Mapping[str, Any], *, lost: list[str]) -> Retry:
        """The one that ``to_data`` described.

        :param lost: the names of exceptions that this program has not loaded are added to it; they are not retried.
        :raises GraphDefinitionError: ``to_data`` never gave this.
        :raises TypeError: the same.
        """
        names = [str(name) for name in data["retry_on"]]
        found = {name: find_loaded(Exception, *name.partition(":")[::2]) for name in names}
        lost += [name for name, kind in found.items() if kind is None]
        return cls(
            **{name: data[name] for name in _PLAIN},
            retry_on=tuple(kind for kind in found.values() if kind is not None),
        )

    def _covers(self, state: AttemptState) -> bool:
        if self.retry is not None:
            return _answer(self.retry(state))
        error = state.outcome.exception()
        if isinstance(self.retry_on, tuple):
            return isinstance(error, self.retry_on)
        return _answer(self.retry_on(error))

    def _wait(self, state: AttemptState, random: Random) -> float:
        if self.wait is not None:
            return checked_seconds(self.wait(state))
        try:
            grown = self.initial_interval * self.backoff_factor ** (state.attempt_number - 1)
        except OverflowError:
            grown = math.inf
        seconds = min(grown, self.max_interval) if self.initial_interval else 0.0
        return seconds * random.uniform(0.5, 1.0) if self.jitter else seconds

    def _refuse_both(self) -> None:
        intervals = (self.initial_interval, self.backoff_factor, self.max_interval, self.jitter)
        if self.wait is not None and intervals != (1.0, 2.0, 60.0, True):
            raise GraphDefinitionError("Retry(wait=…) says how long to wait; leave out the intervals and jitter=.")
        if self.retry is not None and self.retry_on != (Exception,):
            raise GraphDefinitionError("Retry(retry=…) says what is retried; leave out retry_on=.")

    def __eq__(self, other: object) -> bool:
        if type(other) is not Retry:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in Retry.__slots__)

    def __hash__(self) -> int:
        return hash((self.max_attempts, self.initial_interval, self.backoff_factor, self.max_interval))

    def __repr__(self) -> str:
        return f"Retry(max_attempts={self.max_attempts!r}, initial_interval={self.initial_interval:g})"


class CustomRetry(RetryRule):
    """A user's own function as a rule."""

    __slots__ = ("_function",)

    def __init__(self, function: RetryFunction) -> None:
        self._function = function

    @property
    def given(self) -> RetryFunction:
        return self._function

    def delay(self, state: AttemptState, random: Random) -> float | None:
        """What the function says.

        :raises Exception: it raised, or returned something that is no time.
        """
        answer = self._function(state.outcome.exception(), state.attempt_number)
        return None if answer is None or answer is False else checked_seconds(answer)


def retry_rule(retry: Any, *, where: str) -> RetryRule | None:
    """The rule that ``retry=`` means; None for no retries.

    :param where: how an error names the place.
    :raises GraphDefinitionError: it can't be used.
    """
    if retry is None or retry is False or isinstance(retry, Retry):
        return retry or None
    if isinstance(retry, type) and issubclass(retry, Retry):
        raise GraphDefinitionError(f"{where}: this is the class; give an instance, Retry().")
    if hasattr(retry, "stop") and hasattr(retry, "wait"):
        raise GraphDefinitionError(
            f"{where}: a {type(retry).__name__} retries by itself. Give its strategies: Retry(stop=…, wait=…, retry=…)."
        )
    _check_function(where, retry)
    return CustomRetry(retry)


def checked_seconds(value: Any) -> float:
    """A time to wait, in seconds.

    :raises ValueError: it is none.
    """
    if type(value) is not bool and hasattr(value, "__await__"):
        getattr(value, "close", lambda: None)()
        raise ValueError("it is async, and a plain function is needed")
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not _is_number(seconds) or not 0 <= seconds <= _LONGEST:
        raise ValueError(f"it returned {value!r} instead of seconds, a timedelta, or None")
    return float(seconds)


def _answer(value: Any) -> bool:
    """What a strategy says, which must be plain.

    :raises ValueError: it is async.
    """
    if hasattr(value, "__await__"):
        getattr(value, "close", lambda: None)()
        raise ValueError("it is async, and a plain function is needed")
    return bool(value)


def _check_function(where: str, function: Any) -> None:
    if not callable(function):
        raise GraphDefinitionError(
            f"{where}: {function!r} can't be used; give a Retry, or a plain function of the error and the attempt that returns "
            "the seconds to wait."
        )
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        raise GraphDefinitionError(
            f"{where}: an async function can't be used, because it is asked between two steps; make it plain."
        )


def _checked_retry_on(retry_on: Any) -> tuple[type[Exception], ...] | Callable[[Exception], Any]:
    kinds = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    if all(isinstance(kind, type) for kind in kinds):
        if not all(issubclass(kind, Exception) for kind in kinds):
            raise GraphDefinitionError(
                f"Retry(retry_on={retry_on!r}): give subclasses of Exception; others, such as CancelledError, are never retried."
            )
        return kinds
    if isinstance(retry_on, tuple):
        raise GraphDefinitionError(f"Retry(retry_on={retry_on!r}): a tuple holds types of exceptions only.")
    _check_function("Retry(retry_on=…)", retry_on)
    return retry_on  # type: ignore[no-any-return]


def _interval(name: str, value: Any) -> float:
    try:
        return checked_seconds(value)
    except ValueError:
        raise GraphDefinitionError(f"Retry({name}={value!r}): give seconds or a timedelta, 0 to ten years.") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_PLAIN: Final = ("max_attempts", "initial_interval", "backoff_factor", "max_interval", "jitter")
