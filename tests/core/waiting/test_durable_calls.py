"""Durable calls: made once, recorded, and given back to a step that is repeated."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from spark.errors import BackendError, DurableCallError, NodeError, RunError, SerializationError
from spark.graphs import Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.storage.listing import CheckpointInfo
from tests.support.running import Does, Failure, Work, every_step, history


class Service:
    """What is called; counts how often it is, and how."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.threads: set[str] = set()

    def plain(self, /, *args: Any, **kwargs: Any) -> Any:
        self.threads.add(threading.current_thread().name)
        return self._called(args, kwargs)

    async def waits(self, /, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return self._called(args, kwargs)

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return await self.waits(*args, **kwargs)

    def _called(self, args: Any, kwargs: Any) -> Any:
        self.calls.append((args, kwargs) if kwargs else args)
        return {"call": len(self.calls)}


class Repeated:
    """A graph of one node, whose step fails at its end the first times that it is executed."""

    def __init__(self, work: Work, *, failures: int = 1, **config: Any) -> None:
        self.backend = InMemoryCheckpointBackend()
        self.failures = failures
        self.work = work
        self.config = every_step(self.backend, **config)
        self.results: list[Any] = []
        """What the work came to each time."""

    async def _execute(self, context: NodeContext) -> Any:
        result = self.work(context)
        self.results.append(await result if hasattr(result, "__await__") else result)
        if len(self.results) <= self.failures:
            raise Failure(f"time {len(self.results)}")
        return self.results[-1]

    def graph(self) -> Graph:
        return Graph(Does(self._execute, name="work"), id="g", checkpoint_config=self.config)

    async def run(self) -> Any:
        """Run until it ends well, each time in a new graph."""
        for _ in range(self.failures):
            with pytest.raises(Failure):
                await self.graph().run(resume=True)
        return (await self.graph().run(resume=True)).content


class TestCalls:
    @pytest.mark.parametrize(
        "function_of",
        [
            lambda service: service.plain,
            lambda service: service.waits,
            lambda service: service,
            lambda service: partial(service.waits, 0),
            lambda service: partial(partial(service, 0), 1),
            lambda service: lambda *args: service.waits(*args),
            lambda service: partial(service.plain, key="mine", function="its own", self=1),
        ],
    )
    async def test_whatever_is_called_is_called_once(self, function_of: Callable[[Service], Any]) -> None:
        service = Service()
        repeated = Repeated(lambda context: context.run("call", function_of(service), 5))
        assert await repeated.run() == {"call": 1}
        assert repeated.results == [{"call": 1}, {"call": 1}]
        assert len(service.calls) == 1

    async def test_arguments_go_to_the_function_whatever_their_names(self) -> None:
        service = Service()
        options = {"key": 1, "function": 2, "self": 3, "record_errors": 4}
        await Repeated(lambda context: context.run("call", service.plain, 5, **options)).run()
        assert service.calls == [((5,), options)]

    async def test_plain_functions_run_in_the_threads_of_nodes_with_the_context_of_the_caller(self) -> None:
        service = Service()
        await Repeated(lambda context: context.run("call", service.plain)).run()
        assert [name.rpartition("_")[0] for name in service.threads] == ["spark-node"]

    async def test_keys_that_repeat_are_told_apart_by_their_order(self) -> None:
        service = Service()

        async def work(context: NodeContext) -> Any:
            return [(await context.run("call", service.waits, number))["call"] for number in range(3)]

        assert await Repeated(work).run() == [1, 2, 3]
        assert service.calls == [(0,), (1,), (2,)]

    async def test_calls_at_the_same_time_share_a_save(self) -> None:
        service = Service()

        async def work(context: NodeContext) -> Any:
            return await asyncio.gather(*(context.run("call", service.waits, number) for number in range(50)))

        repeated = Repeated(work)
        assert await repeated.run() == [{"call": number} for number in range(1, 51)]
        assert len(service.calls) == 50
        reasons = [each.execution_metadata["reason"] for each in await history(repeated.graph())]
        assert reasons.count("call") <= 2

    async def test_what_is_returned_is_the_callers_own_and_equals_what_a_repetition_gets(self) -> None:
        value = {"pair": (1, [2]), "at": datetime(2026, 1, 2, tzinfo=UTC), "set": {1}}

        async def work(context: NodeContext) -> Any:
            got = await context.run("call", lambda: value)
            got["pair"][1].append("changed")
            return got

        repeated = Repeated(work)
        await repeated.run()
        assert repeated.results == [{**value, "pair": (1, [2, "changed"])}] * 2
        assert value["pair"] == (1, [2])

    async def test_a_call_survives_though_its_step_ends_otherwise(self) -> None:
        """It is durable when it returns: no checkpoint is made after it."""
        service = Service()
        repeated = Repeated(lambda context: context.run("call", service.plain), trigger_on_failure=False)
        await repeated.run()
        assert len(service.calls) == 1

    async def test_nothing_of_it_is_left_when_the_step_has_ended(self) -> None:
        repeated = Repeated(lambda context: context.run("call", Service().plain))
        await repeated.run()
        frontier = (await history(repeated.graph()))[-1].frontier
        assert frontier is not None
        assert "journal" not in frontier

    async def test_without_checkpoints_it_is_a_call(self) -> None:
        service = Service()
        graph = Graph(Does(lambda context: context.run("call", service.plain), name="work"))
        assert (await graph.run()).content == {"call": 1}

    async def test_items_of_a_map_have_calls_of_their_own(self) -> None:
        service, fails = Service(), [True]

        async def item(context: NodeContext) -> Any:
            got = await context.run("call", service.waits, context.inputs)
            if fails and context.inputs == 2:
                raise Failure("for once")
            return got["call"]

        def graph() -> Graph:
            split = Does(lambda context: {"items": [1, 2, 3]}, name="split")
            split.each("items") >> Does(item, name="item") >> JoinNode(name="join")
            return Graph(split, id="g", checkpoint_config=every_step(backend))

        backend = InMemoryCheckpointBackend()
        with pytest.raises(Failure):
            await graph().run()
        fails.clear()
        assert sorted((await graph().run(resume=True)).content["results"]) == [1, 2, 3]
        assert sorted(service.calls) == [(1,), (2,), (3,)]

    async def test_a_call_in_a_transaction_is_durable_and_the_writes_are_not(self) -> None:
        service = Service()

        async def work(context: NodeContext) -> Any:
            async with context.graph_state.transaction() as block:
                await block.append("log", context.attempt)
                return await context.run("call", service.plain)

        repeated = Repeated(work)
        await repeated.run()
        assert len(service.calls) == 1
        assert (await history(repeated.graph()))[-1].graph_state == {"log": [2]}

    async def test_calls_within_a_call_are_recorded_too(self) -> None:
        service = Service()

        async def work(context: NodeContext) -> Any:
            async def outer() -> Any:
                inner = await context.run("inner", service.plain)
                return {**inner, "outer": True}

            first = await context.run("outer", outer)
            return [first, await context.run("after", service.plain)]

        assert await Repeated(work).run() == [{"call": 1, "outer": True}, {"call": 2}]
        assert len(service.calls) == 2


class TestKeys:
    @pytest.mark.parametrize("key", ["", None, 5])
    async def test_a_key_is_a_text(self, key: Any) -> None:
        with pytest.raises(TypeError, match="the key of a durable call is a text"):
            await Graph(Does(lambda context: context.run(key, int), name="work")).run()

    async def test_what_is_no_function_is_refused(self) -> None:
        with pytest.raises(TypeError, match="give the function and its arguments, not its result"):
            await Graph(Does(lambda context: context.run("x", Service().waits(5)), name="work")).run()

    async def test_each_call_has_an_idempotency_key_of_its_own_that_stays(self) -> None:
        async def work(context: NodeContext) -> Any:
            async def inside() -> str:
                return context.idempotency_key

            def in_thread() -> str:
                return context.idempotency_key

            keys = [context.idempotency_key]
            for function in (inside, in_thread):
                ahead = context.idempotency_key_for("call")
                keys.append(await context.run("call", function))
                assert keys[-1] == ahead
            both = [context.run("call", str, context.idempotency_key_for("call")) for _ in range(2)]
            return [*keys, *await asyncio.gather(*both), context.idempotency_key]

        repeated = Repeated(work)
        step, *own, last = await repeated.run()
        assert repeated.results[0] == repeated.results[1]
        assert step == last
        assert own == [f"{step}/call", f"{step}/call#2", f"{step}/call#3", f"{step}/call#4"]

    async def test_a_changed_key_is_explained_before_anything_is_called(self) -> None:
        service = Service()
        keys = ["old", "new"]

        async def work(context: NodeContext) -> Any:
            await context.run("first", service.plain)
            return await context.run(keys[len(repeated.results)], service.plain)

        repeated = Repeated(work)
        with pytest.raises(NodeError, match=r"makes the durable call 'new' where.*it had made the call 'old'"):
            await repeated.run()
        assert len(service.calls) == 2

    async def test_calls_may_be_removed_added_at_the_end_and_asked_in_another_order(self) -> None:
        service = Service()
        orders = ["abc", "cbd", "bcde"]

        async def work(context: NodeContext) -> Any:
            return [(await context.run(key, service.plain))["call"] for key in orders[len(repeated.results)]]

        repeated = Repeated(work, failures=2)
        await repeated.run()
        assert repeated.results == [[1, 2, 3], [3, 2, 4], [2, 3, 4, 5]]

    async def test_parallel_flows_of_which_one_was_killed_go_on(self) -> None:
        service, slow = Service(), asyncio.Event()

        async def flow(context: NodeContext, name: str, *, waits: bool = False) -> Any:
            first = await context.run(f"{name} 1", service.waits)
            if waits and not repeated.results:
                await slow.wait()
            return [first, await context.run(f"{name} 2", service.waits)]

        async def work(context: NodeContext) -> Any:
            flows = asyncio.gather(flow(context, "a", waits=True), flow(context, "b"), return_exceptions=True)
            if not repeated.results:
                for _ in range(200):
                    await asyncio.sleep(0)
                flows.cancel()
                return None
            return await flows

        repeated = Repeated(work)
        await repeated.run()
        assert len(service.calls) == 4

    async def test_a_call_that_takes_the_place_of_one_that_failed_is_no_change(self) -> None:
        service, fails = Service(), [True]

        def primary() -> Any:
            if fails:
                raise Failure("primary")
            return service.plain("primary")

        async def work(context: NodeContext) -> Any:
            try:
                await context.run("primary", primary)
                await context.run("thank", service.plain, "thank")
            except Failure:
                await context.run("fallback", service.plain, "fallback")

        repeated = Repeated(work)
        with pytest.raises(Failure):
            await repeated.graph().run()
        fails.clear()
        await repeated.graph().run(resume=True)
        assert service.calls == [("fallback",), ("primary",), ("thank",)]


class Declined(Exception):
    """An error of the user's."""


class Complicated(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")


class TestErrors:
    async def test_an_error_is_not_recorded_so_the_call_is_made_again(self) -> None:
        calls: list[int] = []

        def fails_once() -> int:
            calls.append(1)
            if len(calls) == 1:
                raise Failure("the call")
            return 5

        repeated = Repeated(lambda context: context.run("call", fails_once), failures=0)
        with pytest.raises(Failure, match="the call"):
            await repeated.graph().run()
        assert await repeated.run() == 5
        assert len(calls) == 2

    @pytest.mark.parametrize(
        ("error", "errors"),
        [
            (Declined("no money"), True),
            (Declined("no money"), Declined),
            (Declined(), (ValueError, Declined)),
            (KeyError("amount"), True),
            (FileNotFoundError(2, "No such file"), OSError),
            (ValueError(1, None, 2.5), True),
        ],
        ids=repr,
    )
    async def test_a_recorded_error_is_raised_again_as_it_was(self, error: Exception, errors: Any) -> None:
        seen = await self._seen(error, errors)
        assert seen[0] is error
        assert type(seen[1]) is type(error)
        assert (str(seen[1]), seen[1].args) == (str(error), error.args)

    async def test_an_error_that_cannot_be_made_again_says_what_it_was(self) -> None:
        class Local(Exception):
            pass

        for error, kind in ((Complicated(5, "no"), "Complicated"), (ExceptionGroup("several", [Failure()]), "Group")):
            seen = await self._seen(error, True)
            assert isinstance(seen[1], DurableCallError)
            assert seen[1].message == str(error)
            assert kind in seen[1].type
            assert "the durable call 'call' of node 'work' had failed with" in str(seen[1])

    async def _seen(self, error: Exception, errors: Any) -> list[Exception]:
        calls: list[int] = []

        def fails() -> None:
            calls.append(1)
            raise error

        async def work(context: NodeContext) -> Any:
            try:
                await context.durable(record_errors=errors).run("call", fails)
            except Exception as raised:
                seen.append(raised)

        seen: list[Exception] = []
        await Repeated(work).run()
        assert len(calls) == 1
        return seen

    async def test_errors_of_other_types_are_not_recorded(self) -> None:
        calls: list[int] = []

        def fails_otherwise_once() -> int:
            calls.append(1)
            if len(calls) == 1:
                raise ConnectionError("the call")
            return 5

        repeated = Repeated(lambda context: context.durable(record_errors=Declined).run("call", fails_otherwise_once))
        with pytest.raises(ConnectionError):
            await repeated.graph().run()
        assert await repeated.run() == 5

    @pytest.mark.parametrize("errors", ["all", (Failure, 5), BaseException, None])
    async def test_what_is_recorded_is_said_by_types(self, errors: Any) -> None:
        with pytest.raises(TypeError, match="give True to record every error, or the types"):
            await Graph(Does(lambda context: context.durable(record_errors=errors), name="work")).run()

    async def test_a_result_that_cannot_be_saved_fails_the_step_with_the_path(self) -> None:
        repeated = Repeated(lambda context: context.run("call", lambda: {"a": [threading.Lock()]}))
        with pytest.raises(
            SerializationError, match=r"the result of the durable call 'call' of node 'work'\['a'\]\[0\]"
        ):
            await repeated.graph().run()

    async def test_calls_beside_one_that_fails_are_recorded(self) -> None:
        service = Service()

        async def fails() -> None:
            raise Failure("beside")

        async def work(context: NodeContext) -> Any:
            slow = context.run("slow", service.waits)
            await asyncio.gather(slow, *([fails()] if context.attempt == 1 else []))

        repeated = Repeated(work, failures=0)
        with pytest.raises(Failure):
            await repeated.graph().run()
        await repeated.graph().run(resume=True)
        assert len(service.calls) == 1


class FullDisk(InMemoryCheckpointBackend):
    """Can't store what a call has returned."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False

    async def put(self, record: Record) -> CheckpointInfo:
        if self.is_full and record.header.metadata["reason"] == "call":
            raise OSError("disk full")
        return await super().put(record)


class Stalls(InMemoryCheckpointBackend):
    """Stores nothing more, from a moment on, until it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.stalls = False
        self.is_stalled = asyncio.Event()

    async def put(self, record: Record) -> CheckpointInfo:
        if self.stalls:
            self.stalls = False
            self.is_stalled.set()
            await asyncio.Event().wait()
        return await super().put(record)


class TestEnds:
    def test_a_call_that_waits_to_be_stored_when_the_event_loop_ends_is_stored_all_the_same(self) -> None:
        backend, is_called, runs = Stalls(), asyncio.Event(), set[asyncio.Task[Any]]()

        def stall() -> None:
            backend.stalls = True

        async def first(context: NodeContext) -> None:
            await context.run("first", stall)

        async def pays() -> None:
            is_called.set()

        async def second(context: NodeContext) -> None:
            await backend.is_stalled.wait()
            await context.run("second", pays)

        def graph() -> Graph:
            config = CheckpointConfig(backend=backend, trigger_on_iteration=1, cancel_grace=0.5)
            start = Does(lambda context: {}, name="start")
            start >> [Does(first, name="a"), Does(second, name="b")]
            return Graph(start, id="g", checkpoint_config=config)

        async def leave_it_running() -> None:
            runs.add(asyncio.create_task(graph().run()))
            await is_called.wait()
            for _ in range(20):
                await asyncio.sleep(0)

        asyncio.run(leave_it_running())
        (checkpoint, *_) = reversed(asyncio.run(history(graph())))
        assert checkpoint.execution_metadata["reason"] == "cancelled"
        assert checkpoint.frontier is not None
        assert {name.partition(":")[2] for name in checkpoint.frontier["journal"]} == {"first", "second"}

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="there, no task runs before whoever made it waits")
    async def test_calls_are_stored_where_tasks_are_eager(self) -> None:
        service, loop = Service(), asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)

        async def work(context: NodeContext) -> None:
            for key in ("first", "second", "third"):
                await context.run(key, service.waits)

        repeated = Repeated(work)
        try:
            await repeated.run()
        finally:
            loop.set_task_factory(None)

        saved = [checkpoint.frontier for checkpoint in await history(repeated.graph())]
        assert [len(frontier.get("journal", ())) for frontier in saved if frontier][:4] == [0, 1, 2, 3]
        assert len(service.calls) == 3

    @pytest.mark.parametrize("handles", [True, False])
    async def test_a_result_that_cannot_be_stored_ends_the_run_whatever_the_step_does_about_it(
        self, handles: bool
    ) -> None:
        service, backend = Service(), FullDisk()

        def pays() -> Any:
            backend.is_full = True
            return service.plain()

        async def work(context: NodeContext) -> Any:
            call = context.run("call", pays)
            if not handles:
                return await call
            for each in (call, context.run("second", service.plain)):  # for the second, nothing more is paid
                with suppress(BackendError):
                    await each
            return "went on"

        graph = Graph(Does(work, name="work"), id="g", checkpoint_config=every_step(backend))
        with pytest.raises(BackendError, match="disk full"):
            await graph.run()
        assert len(service.calls) == 1

    async def test_a_cancelled_call_is_made_again(self) -> None:
        service, is_called = Service(), asyncio.Event()

        async def hangs() -> Any:
            service.calls.append(())
            if len(service.calls) == 1:
                is_called.set()
                await asyncio.Event().wait()
            return len(service.calls)

        repeated = Repeated(lambda context: context.run("call", hangs), failures=0)
        running = asyncio.create_task(repeated.graph().run())
        await is_called.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await repeated.run() == 2

    async def test_a_call_that_the_step_gives_up_is_made_again(self) -> None:
        calls, is_called = list[int](), asyncio.Event()

        async def hangs_once() -> int:
            calls.append(1)
            if len(calls) == 1:
                is_called.set()
                await asyncio.Event().wait()
            return len(calls)

        async def work(context: NodeContext) -> Any:
            task = asyncio.create_task(context.run("call", hangs_once))
            if not repeated.results:
                await is_called.wait()
                task.cancel()
                await asyncio.wait([task])
                return None
            return await task

        repeated = Repeated(work)
        assert await repeated.run() == 2

    async def test_a_call_that_outlives_its_step_says_so(self) -> None:
        end, tasks = asyncio.Event(), []

        async def late() -> int:
            await end.wait()
            return 5

        async def work(context: NodeContext) -> Any:
            tasks.append(asyncio.create_task(context.run("late", late)))
            await asyncio.sleep(0)

        await Graph(Does(work, name="work")).run()
        end.set()
        with pytest.raises(RunError, match="This step of node 'work' has ended"):
            await tasks[0]

    async def test_plain_nodes_are_told_to_be_async(self) -> None:
        class Plain(Node):
            def process(self, context: NodeContext) -> Any:
                return context.run("call", int)

        with pytest.raises(NodeError, match=r"context.run\(\) belongs to the event loop.*Make the node async"):
            await Graph(Plain()).run()

    async def test_another_event_loop_is_refused(self) -> None:
        class Plain(Node):
            def process(self, context: NodeContext) -> Any:
                async def main() -> Any:
                    return await context.run("call", int)

                return asyncio.run(main())

        with pytest.raises(RunError, match="another event loop than that of the run"):
            await Graph(Plain()).run()


class TestCost:
    async def test_a_call_costs_what_it_adds_beside_a_large_result_and_many_others(self, tmp_path: Path) -> None:
        async def work(context: NodeContext) -> Any:
            await context.run("large", lambda: "x" * 1_000_000)
            for number in range(150):
                await context.run("call", str.ljust, str(number), 100)

        config = CheckpointConfig(backend=f"sqlite:///{tmp_path / 'runs.db'}", auto_cleanup=False)
        graph = Graph(Does(work, name="work"), id="g", checkpoint_config=config)
        await graph.run()
        assert graph.checkpoint_backend is not None
        async with graph.checkpoint_backend as backend:
            infos = await CheckpointManager(backend).list_checkpoints("g", metadata={"reason": "call"})
        assert len(infos) > 150
        assert max(info.size for info in infos) < 25_000
