"""A service: runs are begun by requests, wait for people and signals, and outlive every restart.

    pip install fastapi uvicorn 'spark-graphs[sql]'
    python examples/service_fastapi.py --port 8000

    curl -X POST localhost:8000/refunds/17 -H 'content-type: application/json' -d '{"amount": 80}'
    curl localhost:8000/refunds/17
    curl -X POST localhost:8000/refunds/17/answers -H 'content-type: application/json' -d '{"<id>": true}'
    curl -X POST localhost:8000/refunds/17/signals/delivered -H 'content-type: application/json' -d '{"at": "noon"}'

When the process starts, it resumes what is unfinished. When it is stopped by SIGTERM, running steps finish, and all is saved.
"""

import argparse
import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

import uvicorn
from fastapi import Body, FastAPI, HTTPException, Request

from spark.errors import RunError
from spark.graphs import Graph, Message, NodeContext, node
from spark.graphs.checkpoint import (
    CheckpointBackend,
    CheckpointConfig,
    CheckpointHandler,
    CheckpointManager,
    GraphCheckpoint,
    open_backend,
)

LOG = logging.getLogger("uvicorn.error")
STORE = os.environ.get("SPARK_CHECKPOINT_URL", "sqlite:///refunds.db")
SECONDS_PER_CALL = float(os.environ.get("SECONDS_PER_CALL", "1"))
GRACE = 20.0
"""Seconds that running steps get when the process is stopped."""


@node
async def approve(context: NodeContext) -> dict[str, Any]:
    approved = await context.interrupt({"refund": context.inputs["amount"]}, key="approval")
    return {**context.inputs, "approved": approved}


@node
async def pay(context: NodeContext) -> dict[str, Any]:
    receipt = await context.run("pay", call_bank, context.graph_id) if context.inputs["approved"] else None
    return {**context.inputs, "receipt": receipt}


@node
async def confirm(context: NodeContext) -> dict[str, Any]:
    return {**context.inputs, "delivered": await context.wait_for("delivered")}


approve >> pay >> confirm


async def call_bank(graph_id: str) -> str:
    """Stands for a call to another service."""
    print(f"pay {graph_id}", flush=True)
    await asyncio.sleep(SECONDS_PER_CALL)
    return f"receipt of {graph_id}"


class Stored(CheckpointHandler):
    """Tells when a run is in the store."""

    def __init__(self) -> None:
        self.first = asyncio.Event()

    async def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> None:
        self.first.set()


class Runs:
    """The runs of one store: those that this process began, and those that it finds."""

    def __init__(self, store: CheckpointBackend) -> None:
        self.manager = CheckpointManager(store)
        self._store = store
        self._stop = asyncio.Event()
        self._begun: dict[asyncio.Task[Message], Graph] = {}
        self._resuming = asyncio.create_task(self._resume_until_stopped())

    async def begin(self, graph_id: str, inputs: dict[str, Any]) -> None:
        """Begin a run beside the request, and return when it is stored: from then on it can't be lost.

        Asked again with the same inputs, it changes nothing.
        """
        stored = Stored()
        graph = self._build(graph_id, stored)
        # It ends when all that is left waits. Whatever it waits for then, it is resumed from the store.
        task = asyncio.create_task(graph.run(inputs, resume=True, wait=False, claim=True))
        self._begun[task] = graph
        task.add_done_callback(self._ended)
        first = asyncio.create_task(stored.first.wait())
        await asyncio.wait([task, first], return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        if task.done():
            task.result()

    async def drain(self) -> None:
        """Let running steps finish, and save."""
        self._stop.set()
        for graph in self._begun.values():
            graph.drain("the service stops", grace=GRACE)
        await asyncio.gather(self._resuming, *self._begun, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Message]) -> None:
        graph = self._begun.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("%s: %r", graph.graph_id, error)  # if a node raised it, the run is saved, and listed as "failed"

    async def _resume_until_stopped(self) -> None:
        """Resume whatever another process left, has become due, or was sent an answer or a signal."""
        async with asyncio.TaskGroup() as rounds:
            while not self._stop.is_set():
                rounds.create_task(self._resume())
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), 1)

    async def _resume(self) -> None:
        recovery = await self.manager.resume_all(self._build, stop=self._stop, grace=GRACE)
        for graph_id, error in recovery.failed.items():
            LOG.error("%s: %r", graph_id, error)

    def _build(self, graph_id: str, handler: CheckpointHandler | None = None) -> Graph:
        config = CheckpointConfig(backend=self._store, trigger_on_start=True, trigger_on_iteration=1, handler=handler)
        return Graph(approve, id=graph_id, checkpoint_config=config)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Runs]]:
    async with open_backend(STORE) as store:
        runs = Runs(store)
        yield {"runs": runs}
        await runs.drain()


app = FastAPI(lifespan=lifespan)


@app.post("/refunds/{number}", status_code=202)
async def begin(number: int, body: dict[str, Any], request: Request) -> dict[str, Any]:
    try:
        await request.state.runs.begin(f"refund-{number}", body)
    except RunError as error:  # somebody else is just beginning it, or it was begun with other inputs
        raise HTTPException(409, str(error)) from error
    return {"id": f"refund-{number}"}


@app.get("/refunds/{number}")
async def status(number: int, request: Request) -> dict[str, Any]:
    manager: CheckpointManager = request.state.runs.manager
    graph_id = f"refund-{number}"
    found = [run for run in await manager.runs(prefix=graph_id, limit=1) if run.graph_id == graph_id]
    if not found:
        raise HTTPException(404, f"there is no {graph_id}")
    questions = await manager.interrupts(graph_id) if found[0].questions else ()
    return {
        "status": found[0].status,
        "node": found[0].node,
        "error": found[0].error,
        "questions": {question.id: question.payload for question in questions},
    }


@app.post("/refunds/{number}/answers")
async def answer(number: int, body: dict[str, Any], request: Request) -> dict[str, Any]:
    try:
        await request.state.runs.manager.answer(f"refund-{number}", body)
    except RunError as error:
        raise HTTPException(409, str(error)) from error
    return {"answered": list(body)}


@app.post("/refunds/{number}/signals/{name}")
async def send(number: int, name: str, request: Request, body: Annotated[Any, Body()] = None) -> dict[str, Any]:
    await request.state.runs.manager.send(f"refund-{number}", name, body)
    return {"sent": name}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, timeout_graceful_shutdown=5)
