"""Carries out operations in transactions, and knows what became of each of them, even when the answer to COMMIT was lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary

from spark.errors import BackendError, SequenceTakenError
from spark_backend_sql.connection import FIRST_PAUSE, Database
from spark_backend_sql.dialect import PartlyStoredError, RefusedError
from spark_backend_sql.faults import is_away, is_locked, may_have_committed
from spark_backend_sql.operations import Blocked, Delete, Forget, Operation, Outcome, Outcomes, Put

Doubts = dict[Operation, list[int]]
"""Operations that may have been carried out already, and the sequences that they then deleted."""


class TransactionExecutor:
    """Carries out operations on a database, in the way of its dialect, over its one connection that writes."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._left_in_doubt: WeakKeyDictionary[Operation, list[int]] = WeakKeyDictionary()
        """Doubts that a transaction left which was given up, for the next one with the same operation."""
        self._may_have_doubts = False
        """Nobody need look whether there are any: a dictionary of weak references takes its time to tell."""

    def execute(self, operations: Sequence[Operation], lock_timeout: float | None = None) -> list[Outcome | Blocked]:
        """Carry out all of them in one transaction; on return each is durable or has not happened. Never raises.

        Operations that meet a lock are ``Blocked``, and don't hold up others.

        :param lock_timeout: for operations of one lane that met a lock before, seconds to wait for it now.
        """
        attempt = _Attempt(self.database, operations, self._doubts_about(operations), lock_timeout=lock_timeout)
        try:
            outcomes = self.database.write(attempt, attempt.is_wanted)
        except Exception as error:
            return self._after_failure(error, attempt)
        return [outcomes[operation] for operation in operations]

    def execute_now(self, operations: Sequence[Operation]) -> list[Outcome] | None:
        """The outcomes of operations in a database that is a file, without waiting for anything but the disk.

        None where that is not possible or failed: ``execute`` then carries them out, or finds out what is wrong.
        """
        if not self.database.writer.is_open or self._is_one_in_doubt(operations):
            return None
        attempt = _Attempt(self.database, operations, {}, no_wait=True)
        try:
            with self.database.no_fork:
                outcomes = attempt.transact()
        except Exception:
            # Most often another program's lock, or a full disk, and nothing happened.
            self._leave_in_doubt(attempt.in_doubt)
            return None
        return [outcomes[operation] for operation in operations]

    def lane_of(self, operation: Operation) -> str:
        """What operations have in common that one lock holds up: a graph, or the whole of a database that is a file."""
        return "" if self.database.dialect.runs_in_process else operation.graph_id

    def _leave_in_doubt(self, doubts: Doubts) -> None:
        if doubts:
            self._left_in_doubt.update(doubts)
            self._may_have_doubts = True

    def _is_one_in_doubt(self, operations: Sequence[Operation]) -> bool:
        if self._may_have_doubts:
            self._may_have_doubts = bool(self._left_in_doubt)
        return self._may_have_doubts and any(operation in self._left_in_doubt for operation in operations)

    def _doubts_about(self, operations: Sequence[Operation]) -> Doubts:
        left = self._left_in_doubt
        return {operation: left.pop(operation) for operation in operations if operation in left} if left else {}

    def _after_failure(self, error: Exception, attempt: _Attempt) -> list[Outcome | Blocked]:
        """What one of many can't do, the others still can; if the database is away, all have failed."""
        operations = attempt.operations
        is_blocked = is_locked(error.__cause__)
        is_in_one_lane = len({*map(self.lane_of, operations)}) == 1
        is_over = len(operations) == 1 or (is_blocked and is_in_one_lane)
        if not is_over and is_away(error.__cause__):
            is_over = not self.database.answers()
        if not is_over or is_blocked:
            self._leave_in_doubt(attempt.in_doubt)
        if is_over:
            return [attempt.failure(operation, error, is_blocked=is_blocked) for operation in operations]
        lock_timeout = FIRST_PAUSE / 10 if is_blocked else None
        return [self.execute([operation], lock_timeout)[0] for operation in operations]


class _Attempt:
    """The work that ``Database.write`` tries until it is known to be done.

    :param in_doubt: what an earlier transaction may have done.
    """

    def __init__(
        self,
        database: Database,
        operations: Sequence[Operation],
        in_doubt: Doubts,
        *,
        lock_timeout: float | None = None,
        no_wait: bool = False,
    ) -> None:
        self.operations = operations
        self.in_doubt = in_doubt
        self._database = database
        self._lock_timeout = lock_timeout
        self._no_wait = no_wait
        self._outcomes: Outcomes | None = None
        """Those of the transaction under way, once all but its COMMIT is done."""
        # In one order, so that two processes with conflicting transactions wait for each other and don't deadlock.
        is_in_order = len(operations) == 1 or database.dialect.runs_in_process  # which one at a time writes
        self._ordered = operations if is_in_order else sorted(operations, key=attrgetter("touched"))

    def __str__(self) -> str:
        return str(self.operations[0]) if len(self.operations) == 1 else f"carry out {len(self.operations)} operations"

    def __call__(self) -> Outcomes:
        """Carry out the operations in one transaction."""
        if self._fits_in_one_piece() and (outcomes := self._send()) is not None:
            return outcomes
        self._database.dialect.make_room(self._database.writer.open())
        return self.transact()

    def is_wanted(self) -> bool:
        """Whether a caller waits for it, or must learn what became of an earlier try."""
        return bool(self.in_doubt) or any(operation.is_wanted for operation in self.operations)

    def failure(self, operation: Operation, error: Exception, *, is_blocked: bool) -> Exception | Blocked:
        """The outcome of an operation that failed."""
        is_in_doubt = operation in self.in_doubt
        reported = _doubtful(error, operation) if is_in_doubt else error
        return Blocked(reported, is_in_doubt) if is_blocked else reported

    def _fits_in_one_piece(self) -> bool:
        if not self._database.dialect.sends_in_one_piece or self._lock_timeout is not None or self.in_doubt:
            return False
        return not any(isinstance(operation, Forget) for operation in self.operations)

    def _send(self) -> Outcomes | None:
        """The outcomes; None where it goes statement by statement: a sequence was refused, or there is a pooler."""
        connection = self._database.writer
        if not self._database.dialect.takes_pieces(connection.open()):
            return None
        try:
            return connection.run(self._database.dialect.send, self._ordered)
        except RefusedError:
            return None
        except Exception as error:
            if may_have_committed(error):
                # Records that a further try does not find were, as far as can be known, deleted by this one.
                self.in_doubt = {operation: list(operation.to_delete) for operation in self.operations}
            raise

    def transact(self) -> Outcomes:
        """The same, statement by statement."""
        dialect = self._database.dialect
        if self.in_doubt:
            return self._in_transaction(dialect.apply)
        begins = not dialect.is_one_statement(self._ordered)
        try:
            return self._in_transaction(dialect.apply_all, begins=begins)
        except RefusedError as error:
            if isinstance(error, PartlyStoredError) and not begins:  # otherwise it was rolled back
                self.in_doubt = {operation: [] for operation in self._ordered}
                self.in_doubt = self._database.writer.run(self._stored)
        return self._in_transaction(dialect.apply)

    def _stored(self, driver: Any) -> Doubts:
        """Those of the records that are stored."""
        puts = [operation for operation in self._ordered if isinstance(operation, Put)]
        return {put: [] for put in puts if self._database.dialect.is_stored(driver, put)}

    def _in_transaction(
        self, apply: Callable[[Any, Sequence[Operation]], Outcomes], *, begins: bool = True
    ) -> Outcomes:
        self._outcomes = None
        try:
            return self._database.writer.transact(partial(self._apply, apply), no_wait=self._no_wait, begins=begins)
        except Exception as error:
            # Without outcomes, no COMMIT was sent, unless the statement itself is the transaction.
            done: Outcomes | None = self._outcomes if begins else {each: [] for each in self._ordered}
            if done is not None and may_have_committed(error):
                self.in_doubt = {**self.in_doubt, **_done(done)}
            raise

    def _apply(self, apply: Callable[[Any, Sequence[Operation]], Outcomes], driver: Any) -> Outcomes:
        dialect = self._database.dialect
        if self._lock_timeout is not None:
            dialect.set_lock_timeout(driver, self._lock_timeout)
        outcomes = apply(driver, self._ordered)
        for operation in self.in_doubt:
            outcomes[operation] = self._settled(driver, operation, outcomes[operation])
        self._outcomes = outcomes
        return outcomes

    def _settled(self, driver: Any, operation: Operation, outcome: Outcome) -> Outcome:
        """The outcome of an operation in doubt: this try shows whether its earlier COMMIT took effect.

        If that had not been decided yet, this try would have waited for it.
        """
        earlier = self.in_doubt[operation]
        if isinstance(operation, Delete):
            return outcome if isinstance(outcome, Exception) else sorted({*earlier, *outcome})
        if not isinstance(operation, Put) or not isinstance(outcome, SequenceTakenError):
            return outcome
        return earlier if self._database.dialect.is_stored(driver, operation) else outcome


def _done(outcomes: Outcomes) -> Doubts:
    return {operation: outcome for operation, outcome in outcomes.items() if not isinstance(outcome, Exception)}


def _doubtful(error: Exception, operation: Operation) -> BackendError:
    lost = "The connection was lost" if is_away(error.__cause__) else "An earlier try failed"
    doubtful = BackendError(
        f"{error} {lost} while the commit of {operation.subject} was under way, so it is not known whether that took effect. "
        "Resume from the latest checkpoint when the database is back: it is complete."
    )
    doubtful.__cause__ = error.__cause__
    return doubtful
