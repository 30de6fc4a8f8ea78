"""Run a command beside a database server of its own: ``python -m tests.plugins.support.with_database SERVER COMMAND …``.

Wherever ``{database}`` stands in the command, it gets the URL of an empty database. Its exit status is handed on; where the
server is not installed, what is missing is said, and that is no failure.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.crash.postgres_server import killable_server
from tests.plugins.support import mariadb_servers, pgbouncer


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a database of PostgreSQL."""
    with killable_server() as server:
        yield server.url


@contextmanager
def through_pgbouncer() -> Iterator[str]:
    """The same, through PgBouncer in transaction mode."""
    with killable_server() as server, pgbouncer.running_pgbouncer(server.socket, user=server.user) as url:
        yield url


@contextmanager
def mariadb() -> Iterator[str]:
    """The URL of a database of MariaDB."""
    with mariadb_servers.running_mariadb() as server:
        yield server.url


SERVERS = {"postgresql": postgresql, "pgbouncer": through_pgbouncer, "mariadb": mariadb}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", choices=SERVERS)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="with its arguments")
    options = parser.parse_args()
    missing = {"pgbouncer": pgbouncer, "mariadb": mariadb_servers}.get(options.server)
    if missing is not None and not missing.is_installed():
        print(f"Left out: {options.server} {missing.NEEDED}")
        return 0
    with SERVERS[options.server]() as url:
        command = [part.replace("{database}", url) for part in options.command]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
