"""The way to the database: engines, connections of the driver, and how failures are met."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import lru_cache, partial
from itertools import chain, repeat
from typing import Any, Final, NoReturn, TypeVar

from sqlalchemy import URL, Engine, NullPool, create_engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from spark.graphs.checkpoint.storage import ForkGate, store_not_found
from spark_backend_sql.compiled import Binder
from spark_backend_sql.dialect import LOCK_TIMEOUT, Dialect
from spark_backend_sql.faults import explained, is_locked, is_passing, is_read_only, is_unwelcome, shown
from spark_backend_sql.options import check_query
from spark_backend_sql.schema import Tables, is_current, is_there, migrate, names_of_tables
from spark_backend_sql.statements import Statements
from spark_backend_sql.urls import dialect_for, missing_driver, refuse_async, refuse_untried_driver

Result = TypeVar("Result")

WAIT: Final = 30.0
"""Seconds that a call waits at most by default."""
PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
"""Seconds before each further try of what failed for a passing reason, locks aside. The last one is repeated."""
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.5
"""Seconds between two tries of what met a lock: at first, and in the end."""

no_fork: Final = ForkGate()
"""A fork waits until no thread is inside SQLite, and then finds none of its connections open.

A lock inside SQLite that another thread holds at a fork stays locked in the child for ever, and the file locks that SQLite
believes to hold are the parent's.
"""


class Database:
    """One database, reached when it is first needed. Every method blocks.

    :param wait: seconds that a call waits at most for locks and for a server that is away.
    :param creates: whether tables, and a file, are made where there are none.
    :raises ValueError: the URL names an asynchronous driver, or the table can't have that name.
    :raises BackendError: no driver for it is installed.
    """

    def __init__(self, url: URL, *, table_name: str, wait: float, creates: bool = True) -> None:
        kind = dialect_for(url)
        self.url = url
        self.wait = wait
        self._creates = creates
        self.no_fork = no_fork if kind.runs_in_process else nullcontext()
        """Held while the database is used in a way that no other thread may fork meanwhile."""
        self._engines = partial(_engines, url, kind, wait=wait, creates=creates)
        self.writing, self.reading = self._engines()
        self.tables, prepared, self.statements = _prepared(kind, url.drivername, table_name)
        self.dialect: Dialect = prepared.copy_for(self.writing.dialect)
        self.writer = DriverConnection(self.writing, self.dialect)
        """The one connection that writes. Used by one thread at a time."""
        self._inherited: list[object] = []
        self._begin()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(self.url)!r})"

    def _begin(self) -> None:
        self._readers: deque[DriverConnection] = deque()
        """Open connections that read, as long as no thread uses them."""
        self._was_reached = False
        self._was_written = False
        self._is_ready = False
        self._preparing = threading.Lock()

    def after_fork(self) -> None:
        """In a child process: leave the parent's connections to the parent, unclosed, and make our own.

        With engines of our own, too: a thread of the parent may have held a lock of its engine, to connect for the first time.
        """
        self._inherited += [self.writer, *self._readers]
        self.writing, self.reading = self._engines()
        self.writer = DriverConnection(self.writing, self.dialect)
        self._begin()

    def write(self, work: Callable[[], Result], is_wanted: Callable[[], bool]) -> Result:
        """What the work returns. Tried again while that may help, locks aside.

        :param work: ``str(work)`` says in messages what could not be done.
        :param is_wanted: whether to try again.
        :raises BackendError: the database failed.
        """
        done = self._until_done(work, work, RetryBudget(self.wait, is_wanted), outlasts_locks=False)
        self._was_written = True
        return done

    def read(self, work: Callable[[Any], Result], doing: str, budget: RetryBudget) -> Result:
        """What the work returns, given the driver's connection, to run statements that read. Tried again while that may help.

        :param doing: says in messages what could not be done.
        :raises BackendError: the database failed.
        """

        def once() -> Result:
            connection = self._free_reader()
            try:
                return connection.run(work)
            finally:
                self._return(connection)

        return self._until_done(once, doing, budget, outlasts_locks=True)

    def read_now(self, work: Callable[[Any], Result]) -> Result | None:
        """The same, without waiting for anything but the disk. None where it fails, and where no connection is open and free."""
        with self.no_fork:
            try:
                connection = self._readers.pop()
            except IndexError:
                return None
            try:
                return connection.run(work, no_wait=True)
            except DBAPIError:
                return None
            finally:
                self._return(connection)

    def answers(self) -> bool:
        """Whether a connection can be made."""
        try:
            with self.no_fork:
                connection = DriverConnection(self.writing, self.dialect)
                connection.open()
                connection.close()
        except Exception:  # whatever the reason
            return False
        return True

    def close(self) -> None:
        """Close every connection that is not in use. What is needed again is made again."""
        self.writer.close()
        while self._readers:
            self._readers.pop().close()

    def _free_reader(self) -> DriverConnection:
        with suppress(IndexError):
            return self._readers.pop()
        return DriverConnection(self.reading, self.dialect)

    def _return(self, connection: DriverConnection) -> None:
        if connection.is_snapshot:
            connection.close()
        elif connection.is_open:
            self._readers.append(connection)

    def _until_done(
        self, work: Callable[[], Result], doing: object, budget: RetryBudget, *, outlasts_locks: bool
    ) -> Result:
        pauses = chain(PAUSES, repeat(PAUSES[-1]))
        while True:
            try:
                with self.no_fork:
                    self._ensure_tables()
                    result = work()
            except Exception as error:
                failure = error
            else:
                self._was_reached = True
                return result
            if is_locked(failure):
                if not outlasts_locks or not budget.rest():
                    break
                continue
            if not self._may_pass(failure) or not budget.rest(next(pauses)):
                break
        # Outside of the handler: what is raised must not carry along an error that may show a password.
        raise explained(failure, str(doing), self.url)

    def _may_pass(self, failure: Exception) -> bool:
        # One that was never reached is more likely misspelt than restarting, and one that was never written to a replica.
        return (self._was_reached and is_passing(failure)) or (self._was_written and is_read_only(failure))

    def _ensure_tables(self) -> None:
        if self._is_ready:
            return
        with self._preparing:
            if not self._is_ready:
                self._prepare()
                self._is_ready = True

    def _prepare(self) -> None:
        with self.reading.connect() as connection:
            if is_current(connection, self.tables):
                return
            if not self._creates and not is_there(connection, self.tables):
                raise store_not_found(
                    shown(self.url),
                    f"the database has no checkpoints in a table {self.tables.name!r}",
                    name=self.tables.name,
                    near=names_of_tables(connection, self.tables),
                )
        with self.writing.connect() as connection, self.dialect.exclusively(connection, self.tables.name):
            migrate(connection, self.tables)


class DriverConnection:
    """A connection of the driver's own, made when it is needed and kept from one use to the next, by one thread at a time.

    The engine makes it, as any of its own. To get one from a pool and put it back costs as much as storing a small checkpoint.
    All errors of the driver are raised as SQLAlchemy wraps them.
    """

    def __init__(self, engine: Engine, dialect: Dialect) -> None:
        self._engine = engine
        self._dialect = dialect
        self._driver: Any = None
        self._no_wait = False

    @property
    def is_open(self) -> bool:
        """Whether the next call finds it made."""
        return self._driver is not None

    @property
    def is_snapshot(self) -> bool:
        """Whether it sees nothing of what others write from now on."""
        return self._dialect.is_snapshot(self._driver)

    def open(self, *, no_wait: bool = False) -> Any:
        """The driver's connection, made if there is none. What fails here has changed nothing.

        :raises sqlalchemy.exc.DBAPIError: the driver's error.
        """
        if self._driver is None:
            self._driver, self._no_wait = self._new(), False
        try:
            if no_wait is not self._no_wait:
                self._dialect.set_no_wait(self._driver, no_wait=no_wait)
                self._no_wait = no_wait
        except BaseException as error:
            self._fail(error)
        return self._driver

    def run(self, work: Callable[..., Result], *arguments: Any, no_wait: bool = False) -> Result:
        """What the work returns, given the driver's connection and the arguments.

        What fails costs the connection: of statements sent in one piece with one that failed, it is not known which the
        server has prepared.

        :param no_wait: SQLite waits for no lock, and leaves moving its log into the file to others.
        :raises sqlalchemy.exc.DBAPIError: the driver's error.
        """
        driver = self.open(no_wait=no_wait)
        try:
            return work(driver, *arguments)
        except BaseException as error:
            self._fail(error)

    def transact(self, work: Callable[[Any], Result], *, no_wait: bool = False, begins: bool = True) -> Result:
        """The same in a transaction, which is committed. Only a failed COMMIT, and a lost connection, cost the connection.

        SQLite may leave a transaction open that it can't commit: the next one must not find it.

        :param begins: False where the work changes the database in one statement, which is a transaction by itself.
        """
        driver = self.open(no_wait=no_wait)
        try:
            if begins:
                self._dialect.begin(driver)
            result = work(driver)
        except BaseException as error:
            self._fail(error, is_usable=self._roll_back())
        if not begins:
            return result
        try:
            driver.commit()
        except BaseException as error:
            self._fail(error)
        return result

    def close(self) -> None:
        """Close the connection; the next call makes another."""
        driver, self._driver = self._driver, None
        if driver is not None:
            with suppress(self._engine.dialect.loaded_dbapi.Error):
                driver.close()

    def _new(self) -> Any:
        try:
            pooled = self._engine.raw_connection()
        except self._engine.dialect.loaded_dbapi.Error as error:
            # A server that can't be reached has many ways to say so, most of them without a code.
            raise self._wrapped(error, is_lost=not (self._dialect.runs_in_process or is_unwelcome(error))) from error
        pooled.detach()
        return pooled.dbapi_connection

    def _roll_back(self) -> bool:
        try:
            self._driver.rollback()
        except self._engine.dialect.loaded_dbapi.Error:
            return False
        return True

    def _fail(self, error: BaseException, *, is_usable: bool = False) -> NoReturn:
        """Raise the error, as SQLAlchemy wraps it, and close the connection unless it can still be used."""
        dialect = self._engine.dialect
        kind = dialect.loaded_dbapi.Error
        is_lost = isinstance(error, kind) and dialect.is_disconnect(error, self._driver, None)
        if is_lost or not is_usable or is_read_only(error):  # another connection may lead to the new primary
            self.close()
        if not isinstance(error, kind):
            raise error
        raise self._wrapped(error, is_lost=is_lost) from error

    def _wrapped(self, error: Exception, *, is_lost: bool) -> BaseException:
        dialect = self._engine.dialect
        return DBAPIError.instance(
            None,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=is_lost,
            dialect=dialect,
        )


class RetryBudget:
    """What is left of the time that one call may take. Belongs to the thread that makes it, except for ``give_up``.

    :param is_wanted: whether anybody still waits for the call.
    """

    def __init__(self, seconds: float, is_wanted: Callable[[], bool] = lambda: True) -> None:
        self._is_wanted = is_wanted
        self._ends = time.monotonic() + seconds
        self._is_given_up = False
        self._pause = FIRST_PAUSE
        self._has_rested = False

    def give_up(self) -> None:
        """Nobody waits any more. From any thread."""
        self._is_given_up = True

    def rest(self, seconds: float | None = None) -> bool:
        """Sleep so long, without an argument a little longer each time; False, and at once, where there is no time left.

        There always is for the first one: a process that was stopped for a while must learn what others did meanwhile.
        """
        if seconds is None:
            seconds, self._pause = self._pause, longer(self._pause)
        wakes = time.monotonic() + seconds
        if wakes > self._ends and self._has_rested:
            return False
        self._has_rested = True
        while self._may_continue() and (left := wakes - time.monotonic()) > 0:
            time.sleep(min(left, LOCK_TIMEOUT))
        return self._may_continue()

    def _may_continue(self) -> bool:
        return not self._is_given_up and self._is_wanted()


def longer(pause: float) -> float:
    """The pause after this one, between tries of what met a lock."""
    return min(2 * pause, LONGEST_PAUSE)


@lru_cache(maxsize=16)
def _prepared(kind: type[Dialect], drivername: str, table_name: str) -> tuple[Tables, Dialect, Statements]:
    """What the databases of one kind have in common if their tables have the same names.

    To compile it takes longer than all else that it takes to open a database. None of it depends on the server.
    """
    url = URL.create(drivername)
    tables, sql = Tables(table_name, dialect=url.get_backend_name()), create_engine(url, poolclass=NullPool).dialect
    dialect = kind(tables, sql)
    return tables, dialect, Statements(tables, dialect, Binder(tables.checkpoints, sql))


def _engines(url: URL, kind: type[Dialect], *, wait: float, creates: bool) -> tuple[Engine, Engine]:
    options = {"poolclass": NullPool, "hide_parameters": True, **kind.engine_options(url, wait=wait)}
    try:
        refuse_async(url)
        refuse_untried_driver(url)
        check_query(url)
        writing = create_engine(url, **options)
        reading = create_engine(url, **{**options, "isolation_level": "AUTOCOMMIT"})
    except (ImportError, NoSuchModuleError) as error:
        raise missing_driver(url) from error
    except ArgumentError:  # not chained: it quotes the URL
        raise ValueError(f"{shown(url)!r} is not a URL that its driver accepts.") from None
    kind.prepare_connections(writing, reading, wait=wait, creates=creates)
    return writing, reading
