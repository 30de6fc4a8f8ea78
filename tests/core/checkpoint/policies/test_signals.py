"""A checkpoint after a signal: handlers are kept, called and put back; runs are told apart; threads are refused."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, RuleError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, FileCheckpointBackend, OnSignal
from tests.support.running import Does, Failure, history

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Whatever happens, the handlers are those from before."""
    watched = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)
    before = [signal.getsignal(number) for number in watched]
    yield
    assert [signal.getsignal(number) for number in watched] == before


def chain(*works: Any) -> Node:
    first = node = Does(works[0], name="0")
    for number, work in enumerate(works[1:], 1):
        node = node >> Does(work, name=str(number))  # type: ignore[assignment]
    return first


def nothing(context: NodeContext) -> None:
    pass


def raises(number: signal.Signals) -> Any:
    return lambda context: signal.raise_signal(number)


def graph_of(*works: Any, rule: OnSignal) -> Graph:
    return Graph(chain(*works), checkpoint_config=CheckpointConfig(trigger=rule))


async def saved(graph: Graph) -> list[tuple[int, str]]:
    facts = [each.execution_metadata for each in await history(graph)]
    return [(fact["iteration"], fact["reason"]) for fact in facts]


async def test_a_checkpoint_is_made_at_the_next_boundary_and_the_run_continues() -> None:
    graph = graph_of(nothing, raises(signal.SIGUSR1), nothing, nothing, rule=OnSignal("SIGUSR1"))

    await graph.run()

    assert await saved(graph) == [(2, "trigger"), (4, "completed")]


async def test_each_signal_has_its_checkpoint() -> None:
    """Asked for by hand, it may be asked for any number of times."""
    usr1, usr2 = raises(signal.SIGUSR1), raises(signal.SIGUSR2)
    graph = graph_of(usr1, usr1, usr2, nothing, nothing, rule=OnSignal("SIGUSR2", "SIGUSR1"))

    await graph.run()

    assert await saved(graph) == [(1, "trigger"), (2, "trigger"), (3, "trigger"), (5, "completed")]


async def test_a_handler_that_was_there_is_called_and_put_back() -> None:
    called: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: called.append(number))
    mine = signal.getsignal(signal.SIGUSR1)
    try:
        graph = graph_of(raises(signal.SIGUSR1), nothing, rule=OnSignal("SIGUSR1"))
        await graph.run()

        assert called == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGUSR1) is mine
        assert await saved(graph) == [(1, "trigger"), (2, "completed")]
    finally:
        signal.signal(signal.SIGUSR1, before)


async def test_a_handler_of_the_event_loop_is_called_too() -> None:
    called: list[str] = []
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, called.append, "loop")
    try:
        graph = graph_of(raises(signal.SIGUSR1), lambda context: asyncio.sleep(0.01), nothing, rule=OnSignal("SIGUSR1"))
        await graph.run()
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)

    assert called == ["loop"]
    assert await saved(graph) == [(1, "trigger"), (3, "completed")]


async def test_a_handler_that_replaced_ours_stays() -> None:
    def theirs(number: int, frame: Any) -> None:
        pass

    before = signal.getsignal(signal.SIGUSR1)
    try:
        await graph_of(lambda context: signal.signal(signal.SIGUSR1, theirs) and None, rule=OnSignal("SIGUSR1")).run()

        assert signal.getsignal(signal.SIGUSR1) is theirs
    finally:
        signal.signal(signal.SIGUSR1, before)


async def test_one_that_replaced_ours_and_calls_it_does_not_do_so_for_ever() -> None:
    """A second run finds theirs, which calls ours, which calls what it found."""
    called: list[int] = []
    before = signal.getsignal(signal.SIGUSR1)

    async def nest(context: NodeContext) -> None:
        ours: Any = signal.getsignal(signal.SIGUSR1)

        def theirs(number: int, frame: Any) -> None:
            called.append(number)
            ours(number, frame)

        signal.signal(signal.SIGUSR1, theirs)
        await inner.run()

    inner = graph_of(raises(signal.SIGUSR1), nothing, rule=OnSignal("SIGUSR1"))
    outer = graph_of(nest, nothing, rule=OnSignal("SIGUSR1"))
    try:
        await outer.run()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert called == [signal.SIGUSR1]
    assert [len(await saved(each)) for each in (inner, outer)] == [2, 2]


async def test_of_several_runs_each_makes_its_checkpoint() -> None:
    arrived = asyncio.Event()

    async def wait(context: NodeContext) -> None:
        await arrived.wait()

    def send(context: NodeContext) -> None:
        signal.raise_signal(signal.SIGUSR1)
        arrived.set()

    waiting = [graph_of(wait, nothing, rule=OnSignal("SIGUSR1")) for _ in range(2)]
    sending = graph_of(send, nothing, nothing, rule=OnSignal("SIGUSR1"))

    await asyncio.gather(*(graph.run() for graph in (*waiting, sending)))

    assert [await saved(graph) for graph in waiting] == [[(1, "trigger"), (2, "completed")]] * 2
    assert await saved(sending) == [(1, "trigger"), (3, "completed")]


async def test_a_run_that_fails_puts_the_handler_back() -> None:
    def fail(context: NodeContext) -> None:
        raise Failure

    with pytest.raises(Failure):
        await graph_of(fail, rule=OnSignal("SIGUSR1", "SIGTERM")).run()

    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def run_in_thread(graph: Graph) -> Any:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(graph.run())
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return caught[0] if caught else None


def test_in_another_thread_a_run_is_refused() -> None:
    error = run_in_thread(graph_of(nothing, rule=OnSignal("SIGUSR1")))

    assert isinstance(error, RuleError)
    assert "SIGUSR1 can only be handled in the main thread. Run the graph there" in str(error)


async def test_unless_the_main_thread_listens_already() -> None:
    """The thread notices its end after the run of the main thread has put the handler back."""
    beside = graph_of(nothing, nothing, rule=OnSignal("SIGUSR1"))
    outer = graph_of(lambda context: run_in_thread(beside) and None, nothing, rule=OnSignal("SIGUSR1"))

    await outer.run()

    assert await saved(beside) == [(2, "completed")]


@pytest.mark.parametrize("wrong", ["SIGKILL", "SIGSTOP", "SIGSEGV", "TERM", "SIG_DFL", "SIGNOPE", 15, ""])
def test_what_is_no_signal_or_can_not_be_handled_is_refused(wrong: Any) -> None:
    with pytest.raises(
        GraphDefinitionError, match=r"there is no such signal that a program can handle. Give one of .*SIGTERM"
    ):
        OnSignal(wrong)


def test_without_a_name_it_is_sigterm() -> None:
    assert OnSignal().signals == ["SIGTERM"]
    assert repr(OnSignal("SIGUSR1", "SIGINT")) == "OnSignal('SIGINT', 'SIGUSR1')"


PROGRAM = dedent(
    """
    import asyncio, os, signal, sys
    from spark.graphs import Graph, node
    from spark.graphs.checkpoint import CheckpointConfig, OnSignal

    @node
    async def work(context):
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        print(count, flush=True)
        sys.stdin.readline()
        return {"more": count < 6}

    work.on(more=True) >> work
    config = CheckpointConfig(backend=f"file://{sys.argv[1]}", trigger=OnSignal("SIGTERM"))
    asyncio.run(Graph(work, id="preempted", checkpoint_config=config).run(resume=True))
    print("done", flush=True)
    """
)


class Preempted:
    """A process in the middle of a step, which takes the next one when it is told to."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Preempted:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.communicate()

    def step(self) -> str:
        """What the next step says first."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end_step(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """Why it ended."""
        return self._process.wait(timeout=200)


async def latest(folder: Path) -> int:
    async with FileCheckpointBackend(directory=str(folder)) as backend:
        checkpoint = await CheckpointManager(backend).load_latest("preempted")
        return checkpoint.graph_state["count"] if checkpoint else 0


async def test_a_preempted_process_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    """SIGTERM, the checkpoint, SIGKILL; and another process continues where it stopped."""
    with Preempted(tmp_path) as process:
        assert process.step() == "1"
        process.end_step()
        assert process.step() == "2"
        process.send(signal.SIGTERM)
        process.end_step()
        assert process.step() == "3"  # so the boundary was saved, and the run continued
        process.send(signal.SIGKILL)
        process.end()

    assert await latest(tmp_path) == 2
    with Preempted(tmp_path) as process:
        assert process.step() == "3"


async def test_a_second_request_to_end_is_not_held_back(tmp_path: Path) -> None:
    with Preempted(tmp_path) as process:
        assert process.step() == "1"
        process.send(signal.SIGTERM)
        process.end_step()
        assert process.step() == "2"
        process.send(signal.SIGTERM)

        assert process.end() == -signal.SIGTERM

    assert await latest(tmp_path) == 1


TWICE = dedent(
    """
    import asyncio, signal
    from spark.graphs import Graph, node
    from spark.graphs.checkpoint import CheckpointConfig, OnSignal

    @node
    async def work(context):
        signal.raise_signal(signal.SIGTERM)

    for _ in range(2):
        asyncio.run(Graph(work, id="g", checkpoint_config=CheckpointConfig(trigger=OnSignal())).run())
    print("done", flush=True)
    signal.raise_signal(signal.SIGTERM)
    """
)


def test_each_run_holds_one_back_and_none_is_held_back_after_the_last() -> None:
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True)

    assert (done.stdout, done.returncode) == ("done\n", -signal.SIGTERM)
