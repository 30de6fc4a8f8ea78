"""How requests are made: tried again within bounds, and many at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, TypeVar

from spark.errors import SparkError
from spark_backend_s3.errors import is_passing, status_of

Item = TypeVar("Item")
Result = TypeVar("Result")

PARALLEL: Final = 16
"""So many requests of one operation are under way at once."""
SLOWEST: Final = 1024 * 1024
"""Bytes per second: a slower transfer is abandoned."""
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


class RetryBudget:
    """How long requests to one store are tried, and how long the pauses between attempts are."""

    def __init__(self, timeout: float, *, random: random.Random) -> None:
        """At most ``timeout`` seconds for one request, all attempts together."""
        self._timeout = timeout
        self._random = random
        self._has_answered = False

    @property
    def timeout(self) -> float:
        """Seconds for a request. A store that never answered is more likely misspelt than down, and gets a quarter of them."""
        return self._timeout if self._has_answered else self._timeout / 4

    def note_answer(self) -> None:
        """The store is there."""
        self._has_answered = True

    def pause(self, tried: int) -> float:
        """Seconds to wait after so many failures.

        Any moment up to a limit that doubles: many clients that were refused together do not come back together.
        """
        return self._random.uniform(0, min(_FIRST_PAUSE * 2.0 ** (tried - 1), _LONGEST_PAUSE))


class Attempts:
    """The attempts of one request."""

    def __init__(self, budget: RetryBudget, *, size: int = 0, is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Attempts, the first of which is made in any case, the others while ``is_wanted()``.

        :param size: bytes that the request carries, for which it gets more time.
        """
        self._budget = budget
        self._is_wanted = is_wanted
        self._carrying = size / SLOWEST
        self._limit: asyncio.Timeout | None = None

    def expect(self, size: int) -> None:
        """Give the attempt that is being made, and those after it, more time for so many bytes that are about to come."""
        more, self._carrying = size / SLOWEST - self._carrying, size / SLOWEST
        if self._limit is not None and (ends := self._limit.when()) is not None:
            self._limit.reschedule(ends + more)

    async def run(self, request: Callable[[], Awaitable[Result]]) -> Result:
        """What the request returns when an attempt succeeds.

        :raises Exception: what the last attempt failed with.
        """
        loop = asyncio.get_running_loop()
        started, tried = loop.time(), 0
        while True:
            self._limit = limit = asyncio.timeout(self._budget.timeout / 3 + self._carrying)
            try:
                async with limit:
                    result = await request()
            except SparkError:
                raise
            except Exception as error:
                if status_of(error):
                    self._budget.note_answer()
                if not is_passing(error):
                    raise
                tried += 1
                # An attempt that ended later than it could was held up here: this process was stopped, and the store
                # may have answered in time.
                started += max(0.0, loop.time() - (limit.when() or loop.time()))
                pause = self._budget.pause(tried)
                is_late = loop.time() - started + pause > self._budget.timeout * 2 / 3 + self._carrying
                if is_late or not self._is_wanted():
                    raise
            else:
                self._budget.note_answer()
                return result
            await asyncio.sleep(pause)


async def in_parallel(function: Callable[[Item], Awaitable[Result]], items: Iterable[Item]) -> list[Result]:
    """What the function returns for each item, in order.

    :raises Exception: one call failed; the others were cancelled.
    """
    numbered = enumerate(items)
    results: dict[int, Result] = {}

    async def work(numbered: Iterator[tuple[int, Item]]) -> None:
        for number, item in numbered:
            results[number] = await function(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(PARALLEL):
                group.create_task(work(numbered))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
    return [results[number] for number in sorted(results)]
