"""Notify whoever listens of events, one after another: no plugin can end a run, nor block it for long.

A plain function is called in a thread, an ``async`` one in the event loop, which pluggy can't do. It makes no difference whether
it is an event hook or a method of an observer.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any, Final

from spark.hooks import discovery
from spark.hooks.plugin import Listener

LONGEST: Final = 10.0
"""Seconds that a plugin's function is waited for."""
_PAUSE: Final = 10
"""How many times as long one that took too long is left alone."""

_log = logging.getLogger("spark.hooks")


async def fire(event: str, /, *, longest: float | None = None, **arguments: Any) -> list[tuple[str, BaseException]]:
    """Notify the event hooks of all plugins, one after another; returns the errors, each with the plugin's name.

    :param longest: seconds that each function is waited for; ``LONGEST`` by default.
    :param arguments: those of the hook.
    """
    return [
        (listener.plugin, error)
        for listener in listeners(event)
        if (error := await tell(listener, event, arguments, longest=longest)) is not None
    ]


def listeners(event: str) -> tuple[Listener, ...]:
    """The event hooks of an event: after the first call, a look-up in a dict. The first call loads the plugins.

    :raises KeyError: there is no such event.
    """
    return discovery.found().listeners[event]


async def tell(
    listener: Listener, event: str, arguments: dict[str, Any], *, longest: float | None = None
) -> BaseException | None:
    """Notify one listener of a plugin; returns what it raised, ``SystemExit`` included, which is logged.

    One that takes longer is left behind: the log names the plugin, which is not notified of this event again before that call has
    ended, and before ten times as long has passed. So it takes no more than a tenth of a run's time.

    :param longest: seconds that it is waited for; ``LONGEST`` by default.
    """
    longest = LONGEST if longest is None else longest
    if (reason := why_not_now(listener)) is not None:
        _log.warning("The %s is not notified of %s: %s.", listener.plugin, event, reason)
        return TimeoutError(f"{event}: {reason}")
    call = asyncio.create_task(_outcome(listener, arguments), name=f"{event} of the {listener.plugin}")
    try:
        await asyncio.wait([call], timeout=longest)
    finally:
        if not call.done() and listener.is_async:
            call.cancel()
    if not call.done():
        listener.late, listener.resumes_at = call, time.monotonic() + _PAUSE * longest
        _log.error(
            "The %s took longer than %g s in its hook %s; the run continues without it. A hook should hand long work to a thread "
            "or task of its own.",
            listener.plugin,
            longest,
            event,
        )
        return TimeoutError(f"{event} took longer than {longest:g} s")
    if (error := call.result()) is not None:
        _log.error("The %s raised in its hook %s; the run continues.", listener.plugin, event, exc_info=error)
    return error


def why_not_now(listener: Listener) -> str | None:
    """Why one is left alone for a while; None if it is not."""
    if listener.late is not None and not (listener.late.done() or listener.late.get_loop().is_closed()):
        return "an earlier call has not ended yet"
    if time.monotonic() < listener.resumes_at:
        return "an earlier call took too long, so it is skipped for a while"
    return None


async def _outcome(listener: Listener, arguments: dict[str, Any]) -> BaseException | None:
    """What a function raised, if it did; returned, since a task that raises ``SystemExit`` ends the event loop."""
    call = listener.call_with(arguments)
    try:
        returned, error = (call(), None) if listener.is_async else await _in_thread(call, listener.plugin)
        if inspect.isawaitable(returned):
            await returned
    except KeyboardInterrupt:  # in this thread, it is the user's own
        raise
    except BaseException as raised:
        return raised
    return error


async def _in_thread(call: Callable[[], Any], name: str) -> tuple[Any, BaseException | None]:
    """What a call returned and raised. The thread is a daemon: one that never ends keeps no program from ending."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def run() -> None:
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = context.run(call), None
        except BaseException as error:
            outcome = None, error
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_give, answer, outcome)

    context = contextvars.copy_context()
    Thread(target=run, name=name, daemon=True).start()
    return await answer


def _give(answer: asyncio.Future[Any], outcome: Any) -> None:
    if not answer.done():
        answer.set_result(outcome)
