"""What a checkpoint in S3 costs, on a local server: beside bare signed requests of the same bytes over the same connections."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING, Any

from benchmarks.effort import Effort
from benchmarks.measure import Comparison, in_turns
from benchmarks.servers import has_s3, s3_server
from benchmarks.state import SMALL
from benchmarks.workload import encoded, loop
from spark.graphs import Graph
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager

if TYPE_CHECKING:
    from spark_backend_s3 import S3CheckpointBackend
    from tests.plugins.support.s3.servers import S3Server

STEPS = 200
STEPS_FAR_AWAY = 40
HISTORY = 100
REPEATED = 100
"""How often the latest is loaded in one round."""
PIECES, PAUSE = 8, 0.0025
"""An answer that comes in so many pieces, with so many seconds between them, is one from 20 ms away."""

_NUMBERS = itertools.count(1)


def compare(effort: Effort) -> Iterator[Comparison]:
    if not has_s3():
        print("S3 is left out: pip install 'moto[server]'", file=sys.stderr)
        return
    with s3_server() as server, closing(asyncio.new_event_loop()) as own, closing(_Bench(server, own, effort)) as bench:
        yield bench.beside_bare()
        yield bench.retention()
        yield bench.retention_far_away()
        yield bench.latest()


class _Bench:
    """Backends and bare requests in one event loop, which both measure by turns."""

    def __init__(self, server: S3Server, own: asyncio.AbstractEventLoop, effort: Effort) -> None:
        self._effort = effort
        self._server = server
        self._own = own
        self._stack = AsyncExitStack()
        self._bucket = server.new_bucket()
        self._backend = self._opened(server.endpoint_url)

    def close(self) -> None:
        self._own.run_until_complete(self._stack.aclose())

    def beside_bare(self) -> Comparison:
        content = encoded()
        return self._in_turns(
            lambda: self._steps(self._backend, STEPS, keep_all=True),
            lambda: self._bare_puts(content),
            work=f"a step and its checkpoint of {len(content) / 1000:.1f} KB in S3",
            unit="us",
            floor_is="bare signed PUT",
        )

    def retention(self) -> Comparison:
        return self._in_turns(
            lambda: self._steps(self._backend, STEPS, keep_all=False),
            lambda: self._steps(self._backend, STEPS, keep_all=True),
            work="a step and its checkpoint in S3, the last ten kept",
            unit="us",
            floor_is="all kept",
        )

    def retention_far_away(self) -> Comparison:
        """Here a deletion that the run waited for would show as twice the time."""
        from tests.plugins.support.s3.faults import Fault, FaultyProxy

        far_away = Fault("at once", "trickle", pause=PAUSE)
        proxy = self._own.run_until_complete(
            self._stack.enter_async_context(FaultyProxy(self._server.endpoint_url, lambda _: far_away).listening())
        )
        backend = self._opened(proxy.endpoint_url)
        return self._in_turns(
            lambda: self._steps(backend, STEPS_FAR_AWAY, keep_all=False),
            lambda: self._steps(backend, STEPS_FAR_AWAY, keep_all=True),
            work=f"the same, {PIECES * PAUSE * 1000:.0f} ms away",
            unit="us",
            floor_is="all kept",
        )

    def latest(self) -> Comparison:
        graph_id = self._own.run_until_complete(_run(self._backend, self._effort.of(HISTORY) - 1, keep_all=True))
        return self._in_turns(
            lambda: self._load_latest(graph_id),
            lambda: self._bare_latest(graph_id),
            work=f"loading the latest of {HISTORY} checkpoints in S3",
            unit="us",
            floor_is="bare LIST and GET",
        )

    def _opened(self, endpoint_url: str) -> S3CheckpointBackend:
        from tests.plugins.support.s3.stores import open_store

        backend = open_store(self._server, self._bucket, endpoint_url=endpoint_url)
        self._own.run_until_complete(self._stack.enter_async_context(backend))
        return backend

    def _in_turns(
        self,
        ours: Callable[[], Coroutine[Any, Any, float]],
        floor: Callable[[], Coroutine[Any, Any, float]],
        **described: Any,
    ) -> Comparison:
        run = self._own.run_until_complete
        return in_turns(lambda: run(ours()), lambda: run(floor()), rounds=self._effort.rounds, **described)

    async def _steps(self, backend: S3CheckpointBackend, steps: int, *, keep_all: bool) -> float:
        steps = self._effort.of(steps)
        await _run(backend, 3, keep_all=keep_all)
        began = time.perf_counter()
        await _run(backend, steps, keep_all=keep_all)
        return (time.perf_counter() - began) / steps * 1e6

    async def _bare_puts(self, content: bytes) -> float:
        client, number, steps = await self._client(), next(_NUMBERS), self._effort.of(STEPS)
        began = time.perf_counter()
        for step in range(steps):
            await client.put_object(Bucket=self._bucket, Key=f"bare/{number}/{step}", Body=content)
        return (time.perf_counter() - began) / steps * 1e6

    async def _load_latest(self, graph_id: str) -> float:
        manager, repeated = CheckpointManager(self._backend), self._effort.of(REPEATED)
        began = time.perf_counter()
        for _ in range(repeated):
            assert await manager.load_latest(graph_id) is not None
        return (time.perf_counter() - began) / repeated * 1e6

    async def _bare_latest(self, graph_id: str) -> float:
        client, prefix, repeated = await self._client(), f"runs/graphs/{graph_id}/", self._effort.of(REPEATED)
        began = time.perf_counter()
        for _ in range(repeated):
            page = await client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=10)
            answer = await client.get_object(Bucket=self._bucket, Key=page["Contents"][0]["Key"])
            async with answer["Body"] as body:
                assert await body.read()
        return (time.perf_counter() - began) / repeated * 1e6

    async def _client(self) -> Any:
        """The client that the backend uses."""
        return (await self._backend._objects.connections.filesystem()).s3


async def _run(backend: S3CheckpointBackend, steps: int, *, keep_all: bool) -> str:
    """Run a graph of its own for so many steps; its id."""
    graph_id = f"bench-{next(_NUMBERS)}"
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1, auto_cleanup=not keep_all)
    await Graph(start=loop(steps), id=graph_id, state=SMALL, checkpoint_config=config).run()
    return graph_id
