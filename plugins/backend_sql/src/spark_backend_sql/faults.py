"""What went wrong in the database, whether it will pass, and what to do about it, in messages without secrets."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from typing import Final

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from spark.errors import BackendError, SparkError
from spark.graphs.checkpoint.storage import store_not_found
from spark.hooks import redact, secrets_of, without_secrets


def is_passing(error: BaseException) -> bool:
    """Whether the same transaction may succeed in a moment: a lost connection, a deadlock, a server that starts."""
    return is_away(error) or _code_of(error) in _CONTENDED


def is_away(error: BaseException | None) -> bool:
    """Whether the connection was lost or could not be made: no transaction can succeed before it is back."""
    if not isinstance(error, DBAPIError):
        return False
    code = _code_of(error)
    return error.connection_invalidated or code[:2] == "08" or code in _AWAY or _is_unreachable(error)


def is_unwelcome(error: BaseException) -> bool:
    """Whether a server that answers does not let this user into this database, so that asking again is of no use."""
    return _bears((*_NO_DATABASE, *_NO_ENTRY, *_NO_RIGHT), _code_of(error), str(error).lower())


def is_locked(error: BaseException | None) -> bool:
    """Whether another connection's lock was in the way; nothing was changed."""
    driver = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(driver, sqlite3.Error):
        return _sqlite_code(driver) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return isinstance(error, DBAPIError) and _code_of(error) in _LOCKED


def may_have_committed(error: BaseException) -> bool:
    """Whether a COMMIT that ended in this error may have taken effect all the same.

    A database that answers with an error has committed nothing. SQLite's disk can fail after all was written to it.
    """
    driver = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(driver, sqlite3.Error):
        return _sqlite_code(driver) & 0xFF == sqlite3.SQLITE_IOERR
    return is_away(error) or _code_of(error) == "40003"  # statement completion unknown


def is_read_only(error: BaseException) -> bool:
    """Whether the server took no write. After a failover, the one that was written to before is a replica."""
    return _code_of(error) in _READ_ONLY


def is_in_use(error: BaseException) -> bool:
    """Whether MySQL refused a row because its key exists."""
    return _code_of(error) == "1062"


def shown(url: URL) -> str:
    """The URL without its secrets."""
    return redact(url.render_as_string(hide_password=True))


def explained(error: Exception, doing: str, url: URL) -> Exception:
    """The error of ours for one of the database's, with its cause chained; nothing in it shows a secret.

    :param doing: what was tried, for instance ``"save 3 checkpoints"``.
    """
    if isinstance(error, SparkError):
        return error
    if _bears(_NO_DATABASE, _code_of(error), str(getattr(error, "orig", "")).lower()):
        return store_not_found(shown(url), f"the server has no database {url.database!r}", cure=_MAKE_DATABASE)
    secrets = secrets_of("", {"password": url.password, **url.query})
    cause = without_secrets(error, secrets, said=_text_of(error))
    text = " ".join(_text_of(cause).split())
    ours = BackendError(
        f"The sql backend could not {doing} in {shown(url)}: {text}. {_advice(error)} Checkpoints saved earlier are intact."
    )
    ours.__cause__ = cause
    return ours


def _advice(error: Exception) -> str:
    driver = error.orig if isinstance(error, DBAPIError) else error
    if _is_out_of_files():
        return (
            f"This program has as many files and connections open as allowed, {_most_files()}: close what it no longer needs, "
            "backends among them, or raise the limit (ulimit -n)."
        )
    if isinstance(driver, sqlite3.Error):
        return _SQLITE_ADVICE.get(_sqlite_code(driver) & 0xFF, _GENERAL)
    if isinstance(error, NoSuchModuleError):
        return "Check the driver's name in the URL."
    code, text = _code_of(error), str(driver).lower()
    return next((advice for marks, advice in _SERVER_ADVICE if _bears(marks, code, text)), _GENERAL)


def _is_out_of_files() -> bool:
    """SQLite calls that "unable to open database file", and drivers of servers have words of their own."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


def _most_files() -> str:
    try:
        from resource import RLIMIT_NOFILE, getrlimit
    except ImportError:  # Windows
        return "for this system"
    return f"{getrlimit(RLIMIT_NOFILE)[0]:,}"


def _bears(marks: tuple[str, ...], code: str, text: str) -> bool:
    return any(mark == code or re.search(mark, text) for mark in marks)


def _code_of(error: BaseException) -> str:
    """The SQLSTATE, or MySQL's error number, as text; "" for none."""
    driver = getattr(error, "orig", error)
    number = getattr(driver, "errno", None) or next(iter(getattr(driver, "args", ())), None)
    if isinstance(number, int):
        return str(number)
    return str(getattr(driver, "sqlstate", None) or getattr(driver, "pgcode", None) or "")


def _is_unreachable(error: DBAPIError) -> bool:
    text = str(error.orig).lower()
    return any(mark in text for mark in _UNREACHABLE)


def _sqlite_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0)


def _text_of(error: BaseException) -> str:
    driver = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(driver).__name__}: {driver}".rstrip(" .")


_GENERAL: Final = "Check the database and its logs, then run again."
_AWAY: Final = frozenset(
    (
        "25P03",  # the connection was ended: it stood still in a transaction
        "57P01",  # shutting down on command
        "57P02",  # another of its processes crashed
        "57P03",  # starting up
        "57P05",  # the connection was ended: it stood still
        "1053",  # MySQL: shutting down
        "1927",  # MariaDB: the connection was ended, or
        "4031",  # MySQL: because it stood still
        "2006",  # server has gone away
        "2013",  # connection lost during a query
    )
)
_READ_ONLY: Final = (
    "25006",
    "1290",  # MySQL: started with read_only,
    "1792",  # or the transaction was,
    "1836",  # or the server is being upgraded
)
_CONTENDED: Final = frozenset(
    (
        "40001",  # serialization failure
        "40P01",  # deadlock
        "1213",  # MySQL: deadlock
    )
)
_LOCKED: Final = frozenset(
    (
        "55P03",  # a lock that could not be taken
        "1205",  # MySQL: lock wait timeout
    )
)
_UNREACHABLE: Final = (
    "connection refused",
    "session is read-only",  # the primary server is away, and a replica there
    "no such file or directory",
    "server closed the connection",
    "connection reset",
    "is starting up",
    "shutting down",
    "in recovery mode",
    "can't connect",
    "timeout expired",
)
_SQLITE_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "Nothing of it was written. Free some space on the disk, delete old checkpoints, or raise "
    "PRAGMA max_page_count.",
    sqlite3.SQLITE_READONLY: "The database can only be read: make the file and its folder writable for this user.",
    sqlite3.SQLITE_PERM: "Make the file and its folder writable for this user.",
    sqlite3.SQLITE_CANTOPEN: "Create the folder of the database file first, readable and writable for this user.",
    sqlite3.SQLITE_BUSY: "Another program keeps the database locked; find out which, and end its transaction.",
    sqlite3.SQLITE_LOCKED: "Another connection keeps the table locked; end its transaction.",
    sqlite3.SQLITE_CORRUPT: "The file is damaged: restore it from a backup, or save what can be read with: sqlite3 FILE .recover",
    sqlite3.SQLITE_NOTADB: "The file is not an SQLite database; name another file, or restore this one from a backup.",
    sqlite3.SQLITE_IOERR: "The disk failed or is full; check it, then run again.",
    sqlite3.SQLITE_TOOBIG: "The checkpoint is larger than SQLite's limit of 1 GB; keep less in the state.",
}
_NO_DATABASE: Final = ("3D000", "1049", 'database ".*" does not exist')
_MAKE_DATABASE: Final = "Or create the database; the backend then makes the tables."
_NO_ENTRY: Final = (
    "28P01",
    "28000",
    "1045",
    "password authentication failed",
    "no password supplied",
    "access denied",
    'role ".*" does not exist',
    "no pg_hba.conf entry",
)
_NO_RIGHT: Final = ("42501", "1142", "permission denied")
_SERVER_ADVICE: Final = (
    (_NO_ENTRY, "Check the user's name and password in the connection string."),
    (("3F000",), "Create the schema that table_name names, or leave it out."),
    (
        (*_READ_ONLY, "session is read-only", "hot standby"),
        "The server only allows reading: connect to the primary server, or name all of them: "
        "postgresql://user@/database?host=one:5432&host=two:5432",
    ),
    (_NO_RIGHT, "Grant this user the right to create and use tables there."),
    (
        ("53100", "no space left", "1114", "1021"),
        "Nothing of it was written. The server's disk is full: free some space, or delete old checkpoints.",
    ),
    (
        ("55P03", "1205"),
        "Another program's transaction holds the lock: find it (in PostgreSQL in pg_stat_activity), and end it.",
    ),
    (
        ("53200",),
        "Nothing of it was written. The server is out of memory: close connections, or keep less in the state.",
    ),
    (("57014",), "Nothing of it was written. Look for who cancels statements there, or raise statement_timeout."),
    (
        ("53300", "1040", "too many clients", "too many connections"),
        "Raise the server's limit of connections, or close some.",
    ),
    (("42P01", "1146"), "A table was removed while it was in use; run again to create it again."),
    (("54000", "1153", "max_allowed_packet"), "The checkpoint is too large for the server; keep less in the state."),
    (_UNREACHABLE, "Check that the server runs, and the host and port in the connection string."),
    (("could not translate host name", "name or service not known"), "Check the host's name in the connection string."),
)
