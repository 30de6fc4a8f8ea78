"""Durable calls: the result of a function is recorded, and a step that is repeated gets it back without another call."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeAlias, TypeVar, overload

from spark.errors import NodeError
from spark.graphs.concurrency.blocking import Threads, run_blocking
from spark.graphs.definition.step_journal import StepJournal
from spark.graphs.state.journal import CALL, Entry
from spark.graphs.values.failures import error_again, error_to_repeat
from spark.graphs.values.snapshots import snapshot

P = ParamSpec("P")
T = TypeVar("T")

RecordErrors: TypeAlias = bool | type[Exception] | tuple[type[Exception], ...]
"""Which errors of a durable call are recorded as its outcome: all, none, or those of some types."""


class DurableCalls:
    """Makes the durable calls of a step: ``context.durable(…)``.

    :param threads: where plain functions run; None: where checkpoints do.
    """

    __slots__ = ("_errors", "_journal", "_threads")

    def __init__(self, journal: StepJournal, *, record_errors: RecordErrors = False, threads: Threads | None) -> None:
        self._journal = journal
        self._errors = _checked_errors(record_errors)
        self._threads = threads

    @overload
    def run(
        self, key: str, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...

    @overload
    def run(
        self, key: str, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...

    def run(self, key: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """As ``context.run``."""
        journal = self._journal
        call = partial(_checked_function(key, function), *args, **kwargs)
        number = journal.next_number() if journal.current_call() is None else None
        name = journal.next_key(CALL, _checked_key(key))
        return self._run(name, call, number)

    async def _run(self, name: str, call: partial[Any], number: int | None) -> Any:
        """The result of the call, as the caller's own copy."""
        journal = self._journal
        entry = journal.entry(name)
        if entry is None:
            _check_order(journal, name, number)
            entry = await self._make(name, call, number)
        if "error" in entry:
            raise error_again(entry["error"], what=f"the durable call {_shown(name)} of node {journal.step.node!r}")
        return snapshot(entry["value"])

    async def _make(self, name: str, call: partial[Any], number: int | None) -> Entry:
        """Call the function, and record what comes of it."""
        journal, failure = self._journal, None
        entry: dict[str, Any] = {}
        around = journal.step.scope.around_call(journal.step, name.partition(":")[2])
        async with journal.call_under_way(name):
            try:
                value = await self._result(call) if around is None else await self._watched(around, call)
            except self._errors as error:
                failure, entry["error"] = error, error_to_repeat(error)
            else:
                entry["value"] = journal.kept(value, path=f"the result of the durable call {_shown(name)}")
            if number is not None and journal.is_sure_of_order:
                entry["number"] = number
            await journal.record(name, entry)
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback leads to this frame
        return entry

    async def _watched(self, around: AbstractAsyncContextManager[Any], call: partial[Any]) -> Any:
        async with around:
            return await self._result(call)

    async def _result(self, call: partial[Any]) -> Any:
        function = call.func
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            return await call()
        result = await run_blocking(copy_context().run, call, executor=self._threads)
        return await result if inspect.isawaitable(result) else result


def _check_order(journal: StepJournal, name: str, number: int | None) -> None:
    """A call is about to be made that is not recorded. Is another one recorded in its place, which the step has not asked for?

    :raises NodeError: there is.
    """
    recorded = journal.recorded_as(number) if number is not None else None
    if recorded is None or journal.has_asked(recorded):
        return
    raise NodeError(
        f"Node {journal.step.node!r} makes the durable call {_shown(name)} where, before it was repeated, it had made the call "
        f"{_shown(recorded)}, whose result is recorded. Either its code has changed since: give the call its old key, or ask for "
        f"the old one first. Or it took another path, because of something that is not recorded, such as the time or a "
        "random number: record that with a separate durable call. Nothing was called."
    )


def _shown(name: str) -> str:
    return repr(name.partition(":")[2])


def _checked_key(key: Any) -> str:
    if type(key) is not str or not key:
        raise TypeError(
            f"context.run({key!r}, …): the key of a durable call is a text, such as 'charge', that names it."
        )
    return key


def _checked_function(key: Any, function: Any) -> Callable[..., Any]:
    if callable(function):
        return function  # type: ignore[no-any-return]
    if inspect.iscoroutine(function):
        function.close()
    raise TypeError(
        f"context.run({key!r}, {function!r}): give the function and its arguments, not its result: "
        "context.run('charge', charge_card, amount)."
    )


def _checked_errors(errors: Any) -> tuple[type[Exception], ...]:
    if isinstance(errors, bool):
        return (Exception,) if errors else ()
    types = errors if isinstance(errors, tuple) else (errors,)
    if all(isinstance(each, type) and issubclass(each, Exception) for each in types):
        return types
    raise TypeError(
        f"context.durable(record_errors={errors!r}): give True to record every error, or the types of those to record, such as "
        "(CardDeclined,)."
    )
