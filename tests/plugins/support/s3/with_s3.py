"""Run a command beside an S3 server of its own: ``python -m tests.plugins.support.s3.with_s3 COMMAND …``.

Wherever ``{s3}`` stands in the command, it gets the URL of an empty store. It finds the credentials in the environment,
as with AWS; tests find the server itself in ``SPARK_TEST_S3_ENDPOINT``. Its exit status is handed on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.plugins.support.s3.ceph import running_ceph
from tests.plugins.support.s3.servers import ENDPOINT, S3Server, running_server

SERVERS: dict[str, Callable[[], AbstractContextManager[S3Server]]] = {"moto": running_server, "ceph": running_ceph}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=SERVERS, default="moto")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="with its arguments")
    options = parser.parse_args()
    with SERVERS[options.server]() as server:
        store = server.url(server.new_bucket(), "runs")
        command = [part.replace("{s3}", store) for part in options.command]
        environment = {**os.environ, **server.environment, ENDPOINT: server.endpoint_url}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
