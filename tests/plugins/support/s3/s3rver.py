"""The npm package s3rver: an S3 server that ignores conditions on writes, as the control that must be refused."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.plugins.support.s3.servers import PATIENCE, S3Server

PROGRAM = Path(__file__).parents[4] / ".tools" / "s3rver" / "node_modules" / "s3rver" / "bin" / "s3rver.js"
"""Where ``make test-s3rver`` installs it."""


def why_missing() -> str:
    """What it lacks to be run here, or an empty text."""
    if shutil.which("node") is None:
        return "needs Node.js"
    return "" if PROGRAM.exists() else "needs the npm package s3rver: make test-s3rver installs it"


@contextmanager
def running_s3rver() -> Iterator[S3Server]:
    """Start it on a free port of 127.0.0.1; end it afterwards, and remove its files."""
    with tempfile.TemporaryDirectory(prefix="spark-s3rver-") as folder:
        command = ["node", PROGRAM, "--silent", "--directory", folder, "--address", "127.0.0.1", "--port", "0"]
        environment = {**os.environ, "NODE_NO_WARNINGS": "1"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True)
        with process:
            try:
                with closing(S3Server(_address(process), key="S3RVER", secret="S3RVER")) as server:
                    yield server
            finally:
                process.terminate()
                process.wait(PATIENCE)


def _address(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout
    for line in process.stdout:
        found = re.search(rb"127\.0\.0\.1:\d+", line)
        if found:
            return f"http://{found[0].decode()}"
    raise RuntimeError("s3rver did not start; its error is above")
