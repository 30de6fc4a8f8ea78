"""A real PgBouncer of Debian's package, in transaction mode, before a PostgreSQL server: few connections, given out by turns."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import PATIENCE, await_socket, short_folder

NEEDED = "needs PgBouncer: apt-get install pgbouncer"
POOL = 2
"""So many connections to the server there are. A writer and its readers alone are more."""


def is_installed() -> bool:
    """Whether one can be started here."""
    return shutil.which("pgbouncer") is not None


@contextmanager
def running_pgbouncer(server: Path, *settings: str, user: str | None) -> Iterator[str]:
    """Start one, and stop it afterwards; the URL of the first database of the server through it.

    :param server: the folder of the server's socket.
    :param settings: lines of its configuration, which win over ours.
    :param user: as which it is to run, since it does not as root.
    """
    folder = short_folder()
    lines = [
        "[databases]",
        f"* = host={server} port=5432 user=postgres",
        "[pgbouncer]",
        "listen_addr =",
        "listen_port = 5432",
        f"unix_socket_dir = {folder}",
        "auth_type = any",
        "pool_mode = transaction",
        f"default_pool_size = {POOL}",
        # So that what one session leaves in a connection meets another one.
        "server_round_robin = 1",
        "server_login_retry = 0.1",
        *settings,
    ]
    configuration = folder / "pgbouncer.ini"
    configuration.write_text("\n".join(lines))
    if user is not None:
        shutil.chown(folder, user)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            ["pgbouncer", configuration], user=user, stdout=log, stderr=log, start_new_session=True
        )
    try:
        await_socket(folder / ".s.PGSQL.5432", process, log=folder / "log")
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        process.kill()
        process.wait(PATIENCE)
        shutil.rmtree(folder, ignore_errors=True)
