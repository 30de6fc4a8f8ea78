"""Saves committed where they are called: while the disk is fast, handing one to another thread takes about as long as the save.

Only SQLite is written so, which is a file and not a server, and only what comes alone: saves of several graphs share
transactions in the writer's thread. Nothing is waited for here but the disk. See ``docs/decisions/sql-backend.md``.
"""

from __future__ import annotations

import time
from typing import Final

from spark.graphs.checkpoint.storage import LatencyGate
from spark_backend_sql.ledger import Ledger
from spark_backend_sql.operations import Operation, Put

LOG_SIZE: Final = 5 * 1024 * 1024
"""After so many bytes the writer's thread makes a save, and with it SQLite's checkpoint, which takes milliseconds."""

_ROUND: Final = 16 * 1024
"""Bytes that a small save adds to the log at most, beside its own."""


def inline_commits(ledger: Ledger) -> InlineCommits | None:
    """What commits saves in their caller's thread, where the database is one for which that is right."""
    return InlineCommits(ledger) if ledger.can_commit_at_once else None


class InlineCommits:
    """Decides which saves are committed at once, and commits them: one at a time, as ``Writer`` sees to."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._gate = LatencyGate()
        """Of commits of one save."""
        self._logged = 0
        """Bytes since the writer's thread made a save."""

    def suits(self, operation: Operation) -> bool:
        """Whether to try it here. Asked about every operation, in order."""
        is_allowed = self._gate.allows_save(operation.graph_id, operation.nbytes)
        return is_allowed and self._logged < LOG_SIZE and isinstance(operation, Put)

    def commit(self, operation: Operation) -> list[int] | None:
        """What the save answers once it is durable; None when that did not succeed: it is the writer's thread's."""
        assert isinstance(operation, Put)
        began = time.perf_counter()
        deleted = self._ledger.commit_at_once(operation)
        if deleted is not None:
            self._logged += operation.nbytes + _ROUND
            self._gate.took(time.perf_counter() - began)
        return deleted

    def handed_over(self, seconds: float) -> None:
        """The writer's thread has made one save, in this time."""
        self._logged = 0
        self._gate.took_elsewhere(seconds)
