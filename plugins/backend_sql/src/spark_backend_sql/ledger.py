"""Puts and deletes, carried out in one transaction; and what became of them when the answer to COMMIT was lost.

That a sequence is used once rests on two things: the primary key, and ``deleted_up_to``, the highest sequence of a graph
that was ever deleted. A deletion removes the row and raises ``deleted_up_to`` in one transaction. A put inserts its row and
reads ``deleted_up_to`` *after* that: had its sequence been free because of a deletion, that deletion is committed, and seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from spark.errors import BackendError, SequenceTakenError
from spark.graphs.checkpoint.storage import Record
from spark_backend_sql.connection import Database
from spark_backend_sql.dialects import overwriting, wait_less
from spark_backend_sql.faults import is_away, is_locked, may_have_committed
from spark_backend_sql.operations import Address, Blocked, Delete, Forget, Operation, Outcome, Put
from spark_backend_sql.patience import FIRST_PAUSE
from spark_backend_sql.shortcut import DriverConnection, RefusedError, SqliteShortcut, shortcut_for
from spark_backend_sql.statements import Statements, blobs_of, names_of

Outcomes = dict[Operation, Outcome]


class Ledger:
    """Carries out operations on a database, and knows of each what became of it."""

    def __init__(self, database: Database, statements: Statements) -> None:
        self._database = database
        self._statements = statements
        self.shortcut = shortcut_for(database.tables, database.writing, statements)
        self.connection = DriverConnection(database.writing)
        """For the shortcut."""
        self._left_in_doubt: WeakKeyDictionary[Operation, list[int]] = WeakKeyDictionary()
        """What a try that was given up may have done all the same, and what of its deletions."""
        self.can_commit_at_once = isinstance(self.shortcut, SqliteShortcut)
        self._steps_over_conflicts = database.writing.dialect.name in ("sqlite", "postgresql")

    def commit(self, operations: Sequence[Operation], lock_wait: float | None = None) -> list[Outcome | Blocked]:
        """Carry out all of them in one transaction; on return each is durable or has not happened. Never raises.

        Those that meet somebody's lock are told apart, and don't keep others waiting.

        :param lock_wait: for operations of one lane that met a lock before, seconds to wait for it now.
        """
        attempt = _Attempt(self, operations, lock_wait)
        try:
            outcomes = self._database.write(attempt, attempt.is_wanted)
        except Exception as error:
            return self._after(error, operations, attempt)
        return [outcomes[operation] for operation in operations]

    def lane_of(self, operation: Operation) -> str:
        """What the operations have in common that one lock holds up: a graph, or the whole of a database of SQLite."""
        return "" if self.can_commit_at_once else operation.graph_id

    def commit_at_once(self, put: Put) -> list[int] | None:
        """What the save answers, once it is durable, made without waiting for anybody's lock.

        None where that is not possible or did not succeed: ``commit`` then does it, or finds out what is wrong.
        """
        assert isinstance(self.shortcut, SqliteShortcut)
        if self.is_watched():
            return None
        try:
            with self._database.no_fork:
                if self.connection.is_open:
                    return self.connection.run(self.shortcut.store, put, no_wait=True)
                return None
        except RefusedError:
            return None
        except DBAPIError as error:
            # Most often somebody's lock, or a full disk, and nothing happened.
            if may_have_committed(error):
                self._left_in_doubt[put] = list(put.to_delete)
            return None

    def doubts_about(self, operations: Sequence[Operation]) -> dict[Operation, list[int]]:
        """Those of them that may have been done already, and what of their deletions; they are told once."""
        left = self._left_in_doubt
        return {operation: left.pop(operation) for operation in operations if operation in left} if left else {}

    def is_watched(self) -> bool:
        """Whether somebody listens to the engine's transactions, and so shall hear of all of them."""
        return bool(self._database.writing.dispatch.commit)

    def after_fork(self) -> None:
        """In a child process: leave the parent's connection to the parent, unclosed, and make our own."""
        self._inherited = self.connection
        self.connection = DriverConnection(self._database.writing)

    def _after(self, error: Exception, operations: Sequence[Operation], attempt: _Attempt) -> list[Outcome | Blocked]:
        """What one of many can't do, the others still can; a database that is gone fails them all."""
        left = [operation for operation in operations if operation not in attempt.decided]
        outcomes: dict[Operation, Outcome | Blocked] = dict(attempt.decided)
        is_blocked, is_in_one_lane = is_locked(error.__cause__), len({*map(self.lane_of, left)}) == 1
        is_over = len(left) == 1 or (is_blocked and is_in_one_lane)
        if not is_over and is_away(error.__cause__):
            is_over = not self._database.answers()
        if not is_over or is_blocked:
            self._left_in_doubt.update(attempt.in_doubt)
        for operation in left:
            if is_over:
                outcomes[operation] = attempt.failed(operation, error, is_blocked=is_blocked)
            else:
                outcomes[operation] = self.commit([operation], FIRST_PAUSE / 10 if is_blocked else None)[0]
        return [outcomes[operation] for operation in operations]

    def apply(self, connection: Connection, operations: Sequence[Operation], *, together: bool) -> Outcomes:
        """Carry them out in the transaction under way. Of those that fail, nothing is left in it.

        :param together: insert all records at once.
        :raises ConflictError: that does not work, since a sequence among them is in use; roll back, and do it singly.
        """
        # In one order, so that two processes with conflicting transactions wait for each other and don't deadlock.
        ordered = sorted(operations, key=lambda operation: operation.touched)
        puts = [operation for operation in ordered if isinstance(operation, Put)]
        refused = self._put(connection, puts, together=together) if puts else {}
        done = [operation for operation in ordered if operation not in refused]
        self._exchange_blobs(connection, done)
        deleted = self._remove(connection, done)
        for operation in done:
            if isinstance(operation, Forget):
                deleted[operation] = self._forget(connection, operation.graph_id)
        return {operation: deleted[operation] if operation in deleted else refused[operation] for operation in ordered}

    def is_stored(self, connection: Connection, record: Record) -> bool:
        """Whether the record at this address is this very one."""
        header = record.header
        found = connection.scalar(self._statements.nonce, {"graph": header.graph_id, "at": header.sequence})
        return found is not None and found == header.nonce

    def _put(self, connection: Connection, puts: Sequence[Put], *, together: bool) -> dict[Operation, Exception]:
        """Store the records; of those that are refused nothing is left."""
        inserted = self._insert_together(connection, puts) if together else self._insert_singly(connection, puts)
        floors = self._floors(connection, {put.address[0] for put in puts})
        refused: dict[Operation, Exception] = {}
        for put in puts:
            graph_id, sequence = put.address
            if sequence <= floors.get(graph_id, 0):
                if put in inserted:
                    self._remove_row(connection, put.address)
                refused[put] = _taken(put, "was used before and its checkpoint, or a later one, has been deleted")
            elif put not in inserted:
                refused[put] = _taken(put, "is in use")
        return refused

    def _insert_together(self, connection: Connection, puts: Sequence[Put]) -> set[Put]:
        try:
            result = self._statements.insert.run_many(connection, [put.values for put in puts])
        except IntegrityError as error:
            raise ConflictError from error
        # A driver that counts otherwise comes out short, which is only slower.
        if result.rowcount != len(puts):
            raise ConflictError
        return set(puts)

    def _insert_singly(self, connection: Connection, puts: Sequence[Put]) -> set[Put]:
        return {put for put in puts if self._insert(connection, put)}

    def _insert(self, connection: Connection, put: Put) -> bool:
        if self._steps_over_conflicts:
            return self._statements.insert.run(connection, put.values).rowcount == 1
        try:
            with connection.begin_nested():
                self._statements.insert.run(connection, put.values)
        except IntegrityError:
            return False
        return True

    def _floors(self, connection: Connection, graph_ids: set[str]) -> dict[str, int]:
        if len(graph_ids) == 1:
            (graph_id,) = graph_ids
            return {graph_id: self._statements.floor.run(connection, {"graph": graph_id}).scalar() or 0}
        rows = connection.execute(self._statements.floors, {"graphs": sorted(graph_ids)})
        return {row.graph_id: row.deleted_up_to for row in rows}

    def _exchange_blobs(self, connection: Connection, operations: Sequence[Operation]) -> None:
        """Store the large values that come with records, and remove those that nobody needs."""
        coming = [blob for operation in operations if isinstance(operation, Put) for blob in blobs_of(operation)]
        if coming:
            self._statements.insert_blob.run_many(connection, coming)
        to_delete = [name for operation in operations for name in names_of(operation)]
        if to_delete:
            self._statements.delete_blob.run_many(connection, to_delete)

    def _remove(self, connection: Connection, operations: Sequence[Operation]) -> dict[Operation, list[int]]:
        """Remove what each of them wants gone; the sequences that there were."""
        deleted: dict[Operation, list[int]] = {}
        floors: dict[str, int] = {}
        for operation in operations:
            graph_id = operation.graph_id
            deleted[operation] = [
                each for each in operation.to_delete if self._remove_row(connection, (graph_id, each))
            ]
            floors[graph_id] = max(floors.get(graph_id, 0), *deleted[operation], 0)
        raised = [{"graph_id": graph_id, "deleted_up_to": floor} for graph_id, floor in sorted(floors.items()) if floor]
        if raised:
            self._statements.raise_floor.run_many(connection, raised)
        return deleted

    def _forget(self, connection: Connection, graph_id: str) -> list[int]:
        """Leave no row of a graph; the sequences of the records that there were."""
        graph = {"graph": graph_id}
        there = connection.scalars(self._statements.sequences, graph).all()
        with overwriting(connection):
            deleted = [
                each for each in there if isinstance(each, int) and self._remove_row(connection, (graph_id, each))
            ]
            for statement in self._statements.forget:
                connection.execute(statement, graph)
        return deleted

    def _remove_row(self, connection: Connection, address: Address) -> bool:
        graph_id, sequence = address
        return self._statements.delete.run(connection, {"graph": graph_id, "at": sequence}).rowcount == 1


class ConflictError(Exception):
    """Of records inserted together one was in the way of another's."""


class _Attempt:
    """The work that ``Database.write`` tries, until it is known to be done."""

    def __init__(self, ledger: Ledger, operations: Sequence[Operation], lock_wait: float | None) -> None:
        self._ledger = ledger
        self._operations = operations
        self._lock_wait = lock_wait
        self.decided: Outcomes = {}
        """What is durable, or was refused for good."""
        self.in_doubt = ledger.doubts_about(operations)
        """What an earlier try had done when its COMMIT was sent and not answered."""

    def __call__(self, engine: Engine) -> Outcomes:
        if self._may_take_shortcut():
            self._take_shortcut()
        left = [operation for operation in self._operations if operation not in self.decided]
        if left:
            with engine.connect() as connection:
                self.decided.update(self._carry_out(connection, left))
        return self.decided

    def __str__(self) -> str:
        if len(self._operations) > 1:
            return f"carry out {len(self._operations)} operations"
        (operation,) = self._operations
        return f"{'save' if isinstance(operation, Put) else 'delete'} {_named(operation)}"

    def _may_take_shortcut(self) -> bool:
        # What is in doubt needs the second look, and what shall wait less has to say so.
        is_plain = not self.in_doubt and self._lock_wait is None
        return len(self._operations) == 1 and is_plain and not self._ledger.is_watched()

    def is_wanted(self) -> bool:
        """Whether anybody waits for it, or has to be told what became of an earlier try."""
        return bool(self.in_doubt) or any(operation.is_wanted for operation in self._operations)

    def failed(self, operation: Operation, error: Exception, *, is_blocked: bool) -> Exception | Blocked:
        """What to say of one that failed."""
        is_in_doubt = operation in self.in_doubt
        told = _doubtful(error, operation) if is_in_doubt else error
        return Blocked(told, is_in_doubt) if is_blocked else told

    def _take_shortcut(self) -> None:
        shortcut, (put,) = self._ledger.shortcut, self._operations
        if shortcut is None or not isinstance(put, Put):
            return
        if not self._ledger.connection.is_open:
            self._ledger.connection.open()
        try:
            deleted = self._ledger.connection.run(shortcut.store, put)
        except RefusedError:
            return
        except Exception as error:
            if may_have_committed(error):
                # Records that a further try does not find were, as far as can be known, removed by this one.
                self.in_doubt = {put: list(put.to_delete)}
            raise
        self.decided[put] = deleted

    def _carry_out(self, connection: Connection, operations: Sequence[Operation]) -> Outcomes:
        try:
            return self._transact(connection, operations, together=len(operations) > 1)
        except ConflictError:
            return self._transact(connection, operations, together=False)

    def _transact(self, connection: Connection, operations: Sequence[Operation], *, together: bool) -> Outcomes:
        with connection.begin() as transaction:
            if self._lock_wait is not None:
                wait_less(connection, self._lock_wait)
            outcomes = self._ledger.apply(connection, operations, together=together)
            for operation in self.in_doubt:
                outcomes[operation] = self._settled(connection, operation, outcomes[operation])
            done = {operation: outcome for operation, outcome in outcomes.items() if not isinstance(outcome, Exception)}
            try:
                transaction.commit()
            except Exception as error:
                # A COMMIT that SQLite refuses leaves its transaction open; nobody shall inherit that.
                connection.invalidate()
                if may_have_committed(error):
                    self.in_doubt = {**self.in_doubt, **done}
                raise
        return outcomes

    def _settled(self, connection: Connection, operation: Operation, outcome: Outcome) -> Outcome:
        """What became of an operation in doubt: whether its earlier COMMIT took effect, this try shows.

        Had it not been decided yet, this try would have waited for it.
        """
        earlier = self.in_doubt[operation]
        if isinstance(operation, Delete):
            return outcome if isinstance(outcome, Exception) else sorted({*earlier, *outcome})
        was_stored = isinstance(outcome, SequenceTakenError) and self._ledger.is_stored(connection, operation.record)
        return earlier if was_stored else outcome


def _named(operation: Operation) -> str:
    if isinstance(operation, Forget):
        return f"all that tells of graph {operation.graph_id[:80]!r}"
    if isinstance(operation, Delete) and not operation.to_delete:
        return f"large values of graph {operation.graph_id[:80]!r}"
    first, *more = [operation.record.sequence] if isinstance(operation, Put) else operation.to_delete
    others = f" and {len(more)} more" if more else ""
    return f"checkpoint {first}{others} of graph {operation.graph_id[:80]!r}"


def _taken(put: Put, reason: str) -> SequenceTakenError:
    return SequenceTakenError(
        f"The sql backend did not save {_named(put)}: this sequence {reason}. Nothing was written. Read the latest "
        "checkpoint and continue from there."
    )


def _doubtful(error: Exception, operation: Operation) -> BackendError:
    lost = "The connection was lost" if is_away(error.__cause__) else "An earlier try failed"
    doubtful = BackendError(
        f"{error} {lost} while {_named(operation)} was committed, so it is not known whether that took effect. "
        "Resume from the latest checkpoint when the database is back: it is a whole one."
    )
    doubtful.__cause__ = error.__cause__
    return doubtful
