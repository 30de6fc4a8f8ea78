"""A settings file that chooses plugins of every kind, a program that names none of them, and what becomes of its runs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from threading import Thread
from typing import Any, Final, TypeAlias

SECRET: Final = "of-the-webhook-alone"

SETTINGS: Final = """
[checkpoint]
url = "sqlite:///runs.db"
format = "msgpack"
serializer = "patterns"

[checkpoint.trigger.cost_budget]
dollars = 5

[checkpoint.retention.keep_last]
count = 20

[plugins.webhook]
url = "http://127.0.0.1:{port}/hook"
token = "{secret}"
"""

PROGRAM: Final = """
import asyncio, json, os, re, signal, sys
import numpy
from spark.graphs import ExitNode, Graph, Node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, open_backend

class Spend(Node):
    async def process(self, context):
        step = await context.graph_state.get("step", 0) + 1
        if step == int(os.environ.get("DIE_AT", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        await context.graph_state.set("step", step)
        await context.graph_state.set("dollars_spent", 2 * step)
        await context.graph_state.set("wanted", re.compile(f"job-{step}", re.IGNORECASE))
        await context.graph_state.set("weights", numpy.full(100, step, dtype=">f4"))
        return {"done": step >= 80}

spend = Spend()
spend.on(done=False) >> spend
spend.on(done=True) >> ExitNode()

async def run():
    graph = Graph(start=spend, id="job", checkpoint_config=CheckpointConfig.load())
    await graph.run(resume=True)
    await tell(graph)

async def restore(url):
    latest = await CheckpointManager(open_backend(url)).load_latest("job")
    graph = Graph.from_checkpoint(latest, start=spend)
    await graph.run()
    await tell(graph)

async def tell(graph):
    manager = CheckpointManager(graph.checkpoint_backend)
    kept = [await manager.load_checkpoint(info.checkpoint_id) for info in await manager.list_checkpoints("job")]
    print(graph, graph.checkpoint_backend, kept, kept[0].config)
    weights = await graph.get_state("weights")
    print(json.dumps({
        "step": await graph.get_state("step"),
        "wanted": (await graph.get_state("wanted")).pattern,
        "weights": [weights.dtype.str, len(weights), float(weights.sum())],
        "kept": [checkpoint.execution_metadata["iteration"] for checkpoint in kept],
    }))
    await graph.checkpoint_backend.close()

asyncio.run(run() if len(sys.argv) == 1 else restore(sys.argv[1]))
"""
"""Runs until the end; with a URL, from the latest checkpoint there, restored with all that it records."""

Start: TypeAlias = Callable[..., CompletedProcess[str]]
"""Starts the program with these arguments, in ``directory``, with further keywords as variables of the environment."""


@dataclass
class Hook:
    """What a webhook was told."""

    port: int
    events: list[tuple[str, str]] = field(default_factory=list)
    """Each with its checkpoint."""
    secrets: set[str | None] = field(default_factory=set)
    """What proved who was calling."""


@contextmanager
def listening() -> Iterator[Hook]:
    """A server on this machine that a webhook calls."""
    hook = Hook(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.events.append((body["event"], body["checkpoint_id"]))
            hook.secrets.add(self.headers["Authorization"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.port = server.server_address[1]
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield hook
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Job:
    """The program with its settings file, in a folder of its own."""

    run: Start
    folder: Path
    hook: Hook
    said: list[str] = field(default_factory=list)
    """All that it has printed."""

    @property
    def url(self) -> str:
        """Its store."""
        return f"sqlite:///{self.folder}/runs.db"

    def start(self, *arguments: str, **variables: str) -> dict[str, Any]:
        """What it tells at its end, or nothing where it was killed."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "spark.toml").write_text(SETTINGS.format(port=self.hook.port, secret=SECRET))
        return self.start_in(self.folder, *arguments, PYTHONWARNINGS="error", **variables)

    def start_in(self, directory: Path, *arguments: str, **variables: str) -> dict[str, Any]:
        """The same in any folder, whatever it warns of."""
        done = self.run(*arguments, directory=directory, **variables)
        self.said.append(done.stdout + done.stderr)
        assert done.returncode == (-9 if "DIE_AT" in variables else 0), done.stderr
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
        return told

    @property
    def formats(self) -> set[str]:
        """Those of the records in its store."""
        with closing(sqlite3.connect(self.folder / "runs.db")) as database:
            return {name for (name,) in database.execute("SELECT format FROM checkpoints")}
