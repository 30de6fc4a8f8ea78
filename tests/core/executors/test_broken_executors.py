"""Executors that break their contract cost an attempt, with an error that names them, and never hang a run or end its loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from spark.errors import CheckpointDamagedError, ExecutorError, NodeError
from spark.graphs import Graph, JoinNode
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.engine import remote
from spark.graphs.executors import Executor, Sent, StepChannel, StepHandle, StepInput, StepResult
from spark.graphs.executors.values import ValueCodec
from spark_testing.suites.executors import nodes
from tests.support.pickled_executor import PickledExecutor


def sent(value: Any) -> Sent:
    return ValueCodec(RecordCodec()).encode(value, "it")


class Scripted(Executor):
    """Returns, or raises, what it is told to at the first attempt, and is sound from then on."""

    def __init__(self, result: Callable[[StepInput], Any]) -> None:
        self._result = result
        self._sound = PickledExecutor()

    async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
        if step.attempt > 1:
            return await self._sound.submit(step, channel)
        return ScriptedStep(lambda: self._result(step))

    def close(self) -> None:
        self._sound.close()


class ScriptedStep(StepHandle):
    def __init__(self, result: Callable[[], Any]) -> None:
        self._result = result

    async def result(self) -> StepResult:
        result: StepResult = self._result()
        return result

    async def cancel(self) -> None: ...


def raises(error: BaseException) -> Callable[[StepInput], Any]:
    def result(step: StepInput) -> Any:
        raise error

    return result


def returns(kind: str = "finished", **parts: Any) -> Callable[[StepInput], Any]:
    return lambda step: StepResult(step.token, step.attempt, kind, **parts)


BROKEN: dict[str, Callable[[StepInput], Any]] = {
    "nothing": lambda step: None,
    "another attempt": lambda step: StepResult(step.token, 7, "finished", sent([1])),
    "no content": returns(),
    "no Sent": returns(content=b"[1]"),
    "too little": returns(content=sent([])),
    "no list": returns(content=sent(5)),
    "no writes": returns(content=sent([1, 2, 3])),
    "unknown kind": returns("done", content=sent({})),
    "no waits": returns("suspended", content=sent([1])),
    "no entries": returns("suspended", content=sent({"a": 1})),
    "no error data": returns("failed", error={"no": "type"}),
    "error data that is none": returns("failed", error=5),
    "a member that is not there": returns("failed", error={"type": "a:b", "message": "", "members": [7], "text": ""}),
}
RAISED: list[tuple[Callable[[StepInput], Any], type[BaseException], str]] = [
    (returns(content=Sent(b"\xff")), CheckpointDamagedError, "the result of node 'Echo'"),
    (returns("failed"), Exception, "no error was sent"),
    (returns("cancelled"), NodeError, "nobody cancelled the run"),
    (raises(KeyError("lost")), KeyError, "lost"),
    (raises(SystemExit(3)), SystemExit, "3"),
    (raises(GeneratorExit("x")), GeneratorExit, "x"),
    (raises(StopAsyncIteration("x")), Exception, "x|StopAsyncIteration"),
    (raises(asyncio.CancelledError()), NodeError, "nobody cancelled the run"),
]


@pytest.mark.parametrize("name", BROKEN)
async def test_garbage_is_an_error_that_names_the_executor_and_is_retried(name: str) -> None:
    errors: list[Exception] = []

    def retry(error: Exception, attempt: int) -> float | None:
        errors.append(error)
        return 0.0

    with Scripted(BROKEN[name]) as executor:
        message = await Graph(nodes.Echo(retry=retry), executor=executor).run({"x": 1})

    assert message.content == {"x": 1}
    assert [type(error) for error in errors] == [ExecutorError]
    assert "The executor Scripted returned" in str(errors[0])


@pytest.mark.parametrize(("result", "kind", "text"), RAISED, ids=[kind.__name__ for _, kind, _ in RAISED])
async def test_whatever_an_executor_raises_is_why_the_step_failed(
    result: Callable[[StepInput], Any], kind: type[BaseException], text: str
) -> None:
    with Scripted(result) as executor, pytest.raises(kind, match=text):
        await Graph(nodes.Echo(), executor=executor).run({"x": 1})


async def test_a_submit_that_returns_no_handle_is_named() -> None:
    class ReturnsNothing(PickledExecutor):
        async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
            return None  # type: ignore[return-value]

    with (
        ReturnsNothing() as executor,
        pytest.raises(ExecutorError, match="ReturnsNothing returned a NoneType instead of"),
    ):
        await Graph(nodes.Echo(), executor=executor).run()


async def test_an_executor_that_exits_harms_no_other_step() -> None:
    start = nodes.Echo(executor=None)
    start >> [nodes.Echo(name="a"), nodes.Echo(name="b", executor=None)] >> JoinNode()
    with Scripted(raises(SystemExit(3))) as executor, pytest.raises(SystemExit):
        await Graph(start, executor=executor).run({"x": 1})


async def test_what_comes_too_late_changes_nothing_and_gets_a_reply() -> None:
    channels: list[StepChannel] = []

    class Keeps(PickledExecutor):
        async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
            channels.append(channel)
            return await super().submit(step, channel)

    replies: list[Any] = []
    with Keeps() as executor:
        config = CheckpointConfig(backend=InMemoryCheckpointBackend())
        graph = Graph(nodes.Keys(), id="g", executor=executor, checkpoint_config=config)
        message = await graph.run()
        channels[0].began()
        channels[0].tell(("emit", sent(1)))
        channels[0].ask(("commit", sent([None, None])), replies.append)
        channels[0].ask(("read", "graph", "new"), replies.append)
        await asyncio.sleep(0)

    assert message.content == ["new"]
    assert [is_right for is_right, _ in replies] == [False, False]


async def test_a_cancel_that_never_ends_does_not_hang_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(remote, "LONGEST_CANCEL", 0.05)
    waiting = asyncio.Event()

    class NeverEnds(StepHandle):
        async def result(self) -> StepResult:
            waiting.set()
            await asyncio.Event().wait()
            raise AssertionError

        async def cancel(self) -> None:
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    if done.is_set():
                        raise

    class Ignores(PickledExecutor):
        async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
            return NeverEnds()

    done = asyncio.Event()
    with Ignores() as executor:
        running = asyncio.create_task(Graph(nodes.Echo(), executor=executor).run())
        await waiting.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 60)
        done.set()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    assert "the executor Ignores did not stop node 'Echo' within 0.05 s" in caplog.text


async def test_a_cancel_that_fails_does_not_either() -> None:
    waiting = asyncio.Event()

    class Fails(ScriptedStep):
        async def result(self) -> StepResult:
            waiting.set()
            await asyncio.Event().wait()
            raise AssertionError

        async def cancel(self) -> None:
            raise SystemExit(3)

    class FailsToCancel(PickledExecutor):
        async def submit(self, step: StepInput, channel: StepChannel) -> StepHandle:
            return Fails(lambda: None)

    with FailsToCancel() as executor:
        running = asyncio.create_task(Graph(nodes.Echo(), executor=executor).run())
        await waiting.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
