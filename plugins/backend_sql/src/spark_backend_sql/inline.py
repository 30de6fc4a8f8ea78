"""Saves committed where they are called: while the disk is fast, handing one to another thread takes about as long as the save.

Only SQLite is written so, which is a file and not a server, and only what comes alone: saves of several graphs share
transactions in the writer's thread. Nothing is waited for here but the disk. See ``docs/decisions/sql-backend.md``.
"""

from __future__ import annotations

import time
from typing import Final

from spark_backend_sql.ledger import Ledger
from spark_backend_sql.operations import Operation, Put

LONGEST: Final = 0.001
"""Seconds that the event loop may be held up, as by encoding: while commits take longer, the writer's thread makes them."""
LARGEST: Final = 256 * 1024
"""Bytes of a save that is made here."""
LOG_SIZE: Final = 4 * 1024 * 1024
"""After so many bytes the writer's thread makes a save, and with it SQLite's checkpoint, which takes milliseconds."""

_ROUND: Final = 16 * 1024
"""Bytes that a small save adds to the log at most, beside its own."""
_NEWEST: Final = 0.3
"""The weight of the last commit in the running mean."""


def inline_commits(ledger: Ledger) -> InlineCommits | None:
    """What commits saves in their caller's thread, where the database is one for which that is right."""
    return InlineCommits(ledger) if ledger.can_commit_at_once else None


class InlineCommits:
    """Decides which saves are committed at once, and commits them: one at a time, as ``Writer`` sees to."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._pace = LONGEST
        """How long a commit of one save takes, in seconds: a running mean, slow until it was seen to be fast."""
        self._last_graph = ""
        self._logged = 0
        """Bytes since the writer's thread made a save."""

    def suits(self, operation: Operation) -> bool:
        """Whether to try it here. Asked about every operation, in order."""
        is_alone = operation.graph_id == self._last_graph
        self._last_graph = operation.graph_id
        is_quick = self._pace < LONGEST and self._logged < LOG_SIZE
        return is_alone and is_quick and isinstance(operation, Put) and operation.weight <= LARGEST

    def commit(self, operation: Operation) -> list[int] | None:
        """What the save answers once it is durable; None when that did not succeed: it is the writer's thread's."""
        assert isinstance(operation, Put)
        began = time.perf_counter()
        gone = self._ledger.commit_at_once(operation)
        if gone is not None:
            self._logged += operation.weight + _ROUND
            self._took(time.perf_counter() - began)
        return gone

    def handed_over(self, seconds: float) -> None:
        """The writer's thread has made one save, in this time."""
        self._logged = 0
        self._took(seconds)

    def _took(self, seconds: float) -> None:
        # One commit that took long, as with SQLite's checkpoint now and then, is not a slow disk yet; two are.
        self._pace += _NEWEST * (min(seconds, 2 * LONGEST) - self._pace)
