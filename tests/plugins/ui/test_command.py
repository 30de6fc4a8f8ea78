"""``spark ui`` as a process: the address it prints, the store and the port it refuses, and its end."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend, open_backend
from tests.plugins.ui.serving import Served, serving


class Work(Node):
    async def process(self, context: NodeContext) -> None:
        await context.graph_state.set("done", True)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with one run."""
    url = f"sqlite:///{tmp_path_factory.mktemp('command')}/runs.db"

    async def fill() -> None:
        backend = open_backend(url)
        await Graph(Work(), id="job-1", checkpoint_config=CheckpointConfig(backend=backend)).run()
        await backend.close()

    asyncio.run(fill())
    return url


@contextmanager
def started(*arguments: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("SPARK_CHECKPOINT_URL", None)
    command = [sys.executable, "-m", "spark_ui", *arguments]
    with subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def opened(process: subprocess.Popen[str]) -> Served:
    """The view whose address the process prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.fullmatch(r"Open http://127\.0\.0\.1:(\d+)/\?token=([\w-]{43})\n", line)
    assert match is not None, line + process.communicate()[1]
    return Served(int(match[1]), match[2]).open()


def test_it_prints_one_address_which_opens_the_runs_and_ends_quickly_by_ctrl_c(url: str) -> None:
    with started("--url", url, "--no-open", "--port", "0") as process:
        view = opened(process)
        assert "job-1" in view.get("/").text
        assert f"<bdi>{url}</bdi>" in view.get("/").text

        waiting = http.client.HTTPConnection("127.0.0.1", view.port)  # a browser keeps some open
        waiting.connect()
        half = socket.create_connection(("127.0.0.1", view.port))  # or is in the middle of asking
        half.sendall(b"GET / HTTP/1.1\r\nHost: ")
        begun = monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        assert process.stdout is not None and process.stderr is not None  # noqa: PT018
        out, errors = process.stdout.read(), process.stderr.read()
        waiting.close()
        half.close()

    assert monotonic() - begun < 40
    assert (process.returncode, errors) == (0, "")
    assert out == "Ctrl-C ends it.\n"


@pytest.mark.thorough
def test_an_answer_under_way_does_not_hold_up_the_end() -> None:
    asked = threading.Event()

    class Hanging(InMemoryCheckpointBackend):
        async def list(self, *arguments: object, **options: object) -> Any:
            asked.set()
            await asyncio.Event().wait()

    def ask(view: Served) -> None:
        with suppress(OSError, http.client.HTTPException):
            view.ask("/forks")

    with serving(Hanging()) as view:
        asking = threading.Thread(target=ask, args=[view.open()])
        asking.start()
        assert asked.wait(60)
        begun = monotonic()

    assert monotonic() - begun < 40
    asking.join(60)


@pytest.mark.thorough
def test_a_port_in_use_is_refused_with_what_to_do(url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started("--url", url, "--no-open", "--port", str(port)) as process:
            _, errors = process.communicate(timeout=60)

    assert process.returncode == 2
    assert errors == f"spark: port {port} can't be used: Address already in use. Give another --port, or none.\n"


@pytest.mark.thorough
def test_without_a_store_it_says_how_to_choose_one(tmp_path: Path) -> None:
    with started("--no-open", cwd=tmp_path) as process:
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 2
    assert errors.startswith("spark: no store was chosen. Give --url")


def test_a_mistyped_url_is_refused_and_creates_nothing(tmp_path: Path) -> None:
    with started("--url", f"sqlite:///{tmp_path}/rusn.db", "--no-open") as process:
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 2
    assert errors.startswith("spark: ")
    assert "rusn.db" in errors
    assert [*tmp_path.iterdir()] == []


@pytest.mark.thorough
def test_what_is_no_url_is_refused(tmp_path: Path) -> None:
    with started("--url", "runs.db", "--no-open") as process:
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "'runs.db' is not a store" in errors
