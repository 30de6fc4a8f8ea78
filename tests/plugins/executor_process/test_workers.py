"""Worker processes: how they start, serve, are lost, and end."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from spark.errors import ExecutorError, GraphDefinitionError, WorkerLostError
from spark.graphs import Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.executors import close_executors
from spark_executor_process import ProcessExecutor, shared_file
from spark_executor_process import worker as worker_module
from spark_executor_process.job import Job
from spark_executor_process.losses import why_lost
from spark_executor_process.shared_file import SharedFile
from spark_executor_process.worker import Worker
from spark_testing.suites.executors.stopping import is_alive
from tests.plugins.executor_process.nodes import (
    Allocates,
    Arrays,
    Counts,
    Ends,
    IsTold,
    Keeps,
    LeavesThread,
    Length,
    Pid,
    Split,
    Starts,
    Stays,
    StaysAsync,
)


@pytest.fixture(scope="module")
def executor() -> Iterator[ProcessExecutor]:
    with ProcessExecutor(1, start_method="forkserver") as made:
        yield made


async def ran(start: Node, executor: Any, inputs: Any = None, **arguments: Any) -> Any:
    return (await Graph(start, executor=executor, **arguments).run(inputs)).content


async def ended(pid: int) -> None:
    async with asyncio.timeout(60):
        while is_alive(pid):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.01)


class TestServing:
    async def test_a_worker_serves_all_runs(self, executor: ProcessExecutor) -> None:
        pids = [await ran(Pid(), executor) for _ in range(2)]
        pids.append(await asyncio.to_thread(lambda: asyncio.run(ran(Pid(), executor))))

        assert len({*pids, os.getpid()}) == 2

    async def test_a_worker_is_replaced_after_so_many_steps(self) -> None:
        with ProcessExecutor(1, recycle_after=2, start_method="forkserver") as executor:
            pids = [await ran(Pid(), executor) for _ in range(4)]

            assert pids[0] == pids[1] != pids[2] == pids[3]
            await ended(pids[0])

    async def test_they_may_stay_for_ever(self) -> None:
        with ProcessExecutor(1, keep_warm=float("inf"), start_method="forkserver") as executor:
            assert await ran(Pid(), executor) == await ran(Pid(), executor)

    @pytest.mark.parametrize("keep_warm", [0, 0.05])
    async def test_workers_end_when_no_run_needs_them(self, keep_warm: float) -> None:
        with ProcessExecutor(1, keep_warm=keep_warm, start_method="forkserver") as executor:
            pid = await ran(Pid(), executor)
            await ended(pid)

            assert await ran(Pid(), executor) != pid

    async def test_it_is_chosen_by_its_name(self) -> None:
        try:
            assert await ran(Pid(), {"process": {"workers": 1, "start_method": "forkserver"}}) != os.getpid()
        finally:
            close_executors()

    async def test_signals_that_stop_a_service_are_for_the_program(self, executor: ProcessExecutor) -> None:
        assert await ran(IsTold(), executor) == "goes on"
        assert await ran(Starts(), executor) == 1, "what a node starts can be interrupted"


class TestLosses:
    @pytest.mark.parametrize(
        ("how", "text"),
        [
            ("exit", r"Node 'Ends': its worker process \(pid \d+\) ended with exit code 7\..* \(os\._exit\)"),
            ("crash", r"was ended by SIGSEGV\. .*PYTHONFAULTHANDLER=1.* set retry= to repeat it"),
            ("close", r"ended with exit code 1\."),
            ("write", r"can't be read: OSError.* A node must only use file descriptors that it has opened\."),
        ],
    )
    async def test_a_worker_that_ends_says_how(
        self, executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch, how: str, text: str
    ) -> None:
        if how == "close":  # it ends by itself, after its connection, and a busy machine takes its time
            monkeypatch.setattr(worker_module, "_MOMENT", 60)
        with pytest.raises(WorkerLostError, match=text):
            await ran(Ends(how), executor)

    async def test_a_process_that_a_node_forks_sends_no_second_result(self, executor: ProcessExecutor) -> None:
        assert [await ran(Ends("fork"), executor) for _ in range(2)] == ["done", "done"]

    async def test_a_worker_that_is_killed_while_it_is_idle_costs_nothing(self, executor: ProcessExecutor) -> None:
        for _ in range(3):
            pid = await ran(Pid(), executor)
            os.kill(pid, signal.SIGKILL)
            await ended(pid)

            assert await ran(Pid(), executor) != pid

    async def test_a_worker_that_is_stopped_and_killed_is_no_hang(self, executor: ProcessExecutor) -> None:
        pid = await ran(Pid(), executor)
        os.kill(pid, signal.SIGSTOP)
        running = asyncio.create_task(ran(Arrays(), executor, {"array": np.zeros(1_000_000), "more": 1}))
        (worker,) = executor._pool._workers
        while worker.job is None:  # noqa: ASYNC110 - it is given one in the next turns
            await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)

        (end,) = await asyncio.wait_for(asyncio.gather(running, return_exceptions=True), timeout=60)

        # Lost if it was sent as a whole; else it can't have begun, and another worker has executed it.
        assert isinstance(end, WorkerLostError) or end["more"].tolist() == [0]

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits it")
    async def test_a_node_that_needs_too_much_memory_fails(self) -> None:
        with ProcessExecutor(1, memory_limit="400MB", start_method="forkserver") as executor:
            pid = await ran(Pid(), executor)
            with pytest.raises(MemoryError):
                await ran(Allocates(500_000_000), executor)

            assert await ran(Allocates(1_000_000), executor) == 1_000_000
            assert await ran(Pid(), executor) == pid

    @pytest.mark.thorough
    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits it")
    async def test_what_a_worker_has_no_memory_to_receive_is_said(self) -> None:
        with (
            ProcessExecutor(1, memory_limit="200MB", shared_memory_from="1GB", start_method="forkserver") as executor,
            pytest.raises(ExecutorError, match="could not receive what was sent to it: MemoryError") as caught,
        ):
            await ran(Length(), executor, {"data": bytes(300_000_000)})
        assert not isinstance(caught.value, WorkerLostError)

    @pytest.mark.thorough
    async def test_a_loss_whose_exit_code_the_system_has_dropped_is_no_hang(self) -> None:
        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            with (
                ProcessExecutor(1, start_method="spawn") as executor,
                pytest.raises(WorkerLostError, match="somebody else took its exit code"),
            ):
                await asyncio.wait_for(ran(Ends("exit"), executor), timeout=60)
        finally:
            signal.signal(signal.SIGCHLD, before)

    async def test_a_worker_for_which_there_is_no_thread_is_said_and_the_next_step_starts_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start = threading.Thread.start

        def no_more(thread: threading.Thread) -> None:
            if thread.name.startswith("spark-process"):
                raise RuntimeError("can't start new thread")
            start(thread)

        with ProcessExecutor(1, start_method="forkserver") as executor:
            monkeypatch.setattr(threading.Thread, "start", no_more)
            with pytest.raises(WorkerLostError, match="no worker process could be started: can't start new thread"):
                await ran(Pid(), executor)
            monkeypatch.undo()

            assert await asyncio.wait_for(ran(Pid(), executor), timeout=60)

    async def test_a_worker_that_can_not_start_is_said(self) -> None:
        with (
            ProcessExecutor(1, memory_limit=1) as executor,
            pytest.raises(WorkerLostError, match=r"before it was ready.* memory_limit of 1 bytes is too low"),
        ):
            await ran(Pid(), executor)

    @pytest.mark.parametrize(
        ("code", "text"),
        [(None, "somebody else took its exit code"), (-40, "signal 40"), (-15, "SIGTERM. Something ended it")],
    )
    def test_what_is_said_of_rarer_ends(self, code: int | None, text: str) -> None:
        assert text in why_lost(code, pid=1, was_ready=True)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(5))
async def test_workers_that_are_killed_at_random_cost_attempts_and_nothing_else(seed: int) -> None:
    random, items = Random(seed), list(range(100))
    start = Split()
    start.each("items") >> Counts() >> JoinNode()
    config = CheckpointConfig(backend=InMemoryCheckpointBackend(), trigger_on_iteration=1)
    with ProcessExecutor(2, start_method="forkserver") as executor:
        graph = Graph(start, executor=executor, checkpoint_config=config, retry=lambda error, attempt: 0.0)
        running = asyncio.create_task(graph.run({"items": items}))
        for _ in range(20):
            await asyncio.wait([running], timeout=random.random() * 0.1)
            if processes := multiprocessing.active_children():
                random.choice(processes).kill()
        message = await running

    assert message.content == {"results": items}
    manager = CheckpointManager(config.backend)
    checkpoint = await manager.load_latest(graph.graph_id)
    assert sorted(checkpoint.graph_state["seen"]) == items


class TestArrays:
    @pytest.mark.parametrize("size", [10, 20_000, 200_000])
    async def test_large_arrays_come_back_and_can_be_changed(self, executor: ProcessExecutor, size: int) -> None:
        array = np.arange(size, dtype="f8")
        found = await ran(Arrays(), executor, {"array": array, "more": size + 1})

        assert (found["array"] == array + 1).all()
        assert (found["more"] == np.arange(size + 1)).all()
        found["array"][0] = 7

    async def test_what_a_node_keeps_is_not_overwritten_by_the_next_step(self, executor: ProcessExecutor) -> None:
        found = [await ran(Keeps(), executor, {"array": np.full(200_000, number)}) for number in (1, 2, 3)]

        assert [each["before"] for each in found[1:]] == [200_000, 400_000]

    def test_shared_memory_that_is_large_is_given_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shared_file, "_KEPT", 3_000_000)
        file = SharedFile.create()
        assert file is not None
        for size in (1_000_000, 4_000_000, 2_000_000):
            assert file.write([memoryview(bytes([7]) * size)])
            assert bytes(file.read([size])[0]) == bytes([7]) * size
            file.trim()
            assert os.fstat(file._descriptor).st_size < 3_000_000
        file.close()


class TestEnding:
    @pytest.mark.thorough
    @pytest.mark.parametrize("recycle_after", [None, 1], ids=["idle", "replaced"])
    async def test_a_thread_that_a_node_has_left_does_not_hold_it_up(self, recycle_after: int | None) -> None:
        executor = ProcessExecutor(1, recycle_after=recycle_after, start_method="forkserver")
        pid = await ran(LeavesThread(), executor)
        executor.close()

        assert not is_alive(pid)

    async def test_what_is_collected_ends_its_workers(self) -> None:
        executor = ProcessExecutor(1, start_method="forkserver")
        pid = await ran(Pid(), executor)
        before = threading.active_count()
        del executor
        await ended(pid)

        assert before > 0

    @pytest.mark.thorough
    async def test_a_step_that_was_cancelled_is_not_given_to_another_worker(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its worker was killed before it had all of the step."""
        begin = Worker.begin

        def cancelled_before(worker: Worker, job: Job) -> None:
            monkeypatch.undo()
            assert not executor._pool.withdraw(job)
            executor._pool.kill(job)
            assert worker._process is not None
            worker._process.join()
            begin(worker, job)

        with ProcessExecutor(1, start_method="forkserver") as executor:
            await ran(Pid(), executor)
            monkeypatch.setattr(Worker, "begin", cancelled_before)

            with pytest.raises(ExecutorError):
                await ran(Pid(), executor)

    @pytest.mark.thorough
    async def test_a_step_that_is_sent_to_a_worker_that_hangs_can_be_cancelled(self) -> None:
        with ProcessExecutor(1, grace=0.1, shared_memory_from="1GB", start_method="forkserver") as executor:
            os.kill(await ran(Pid(), executor), signal.SIGSTOP)
            running = asyncio.create_task(ran(StaysAsync(), executor, {"data": bytes(5_000_000)}))
            (worker,) = executor._pool._workers
            assert worker._line is not None
            while not worker._line._sending.locked():  # noqa: ASYNC110 - a thread begins to send it
                await asyncio.sleep(0)
            rescue = threading.Timer(15, worker.kill)  # of an event loop that waits for it
            rescue.start()
            running.cancel()

            with pytest.raises(asyncio.CancelledError):
                await running
            assert rescue.is_alive()
            rescue.cancel()

    @pytest.mark.thorough
    async def test_a_step_whose_event_loop_was_closed_gives_way_to_others(self, tmp_path: Path) -> None:
        def abandon() -> None:
            loop = asyncio.new_event_loop()
            running = loop.create_task(ran(Stays(), executor, {"file": str(tmp_path / "began")}))
            while not (tmp_path / "began").exists():
                loop.run_until_complete(asyncio.sleep(0.01))
            loop.close()
            running.get_coro().close()  # or Python complains of it

        with ProcessExecutor(1, start_method="forkserver") as executor:
            await asyncio.to_thread(abandon)

            assert await asyncio.wait_for(ran(Pid(), executor), timeout=60)

    async def test_a_step_under_way_says_that_the_executor_was_closed(self, tmp_path: Path) -> None:
        """And not that somebody killed its worker."""
        executor = ProcessExecutor(1, start_method="forkserver")
        running = asyncio.create_task(ran(Stays(), executor, {"file": str(tmp_path / "began")}))
        while not (tmp_path / "began").exists() and not running.done():  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.01)
        await asyncio.to_thread(executor.close)

        with pytest.raises(ExecutorError, match="The executor was closed while node 'Stays'") as caught:
            await running
        assert not isinstance(caught.value, WorkerLostError)

    @pytest.mark.thorough
    async def test_a_step_that_is_being_sent_when_the_executor_is_closed_is_no_hang(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        executor = ProcessExecutor(1, start_method="forkserver")
        await ran(Pid(), executor)
        begin = Worker.begin

        def closed_before(worker: Worker, job: Job) -> None:
            executor.close()
            begin(worker, job)

        monkeypatch.setattr(Worker, "begin", closed_before)

        with pytest.raises(ExecutorError, match="The executor was closed"):
            await asyncio.wait_for(ran(Pid(), executor), timeout=60)

    async def test_what_is_collected_while_its_pool_is_busy_is_no_hang(self) -> None:
        """The collector may run in the thread that holds the lock."""
        executor = ProcessExecutor(1, start_method="forkserver")
        with executor._pool._lock:
            executor._pool.abandon()

    def test_a_fork_of_the_program_in_the_middle_of_a_start_can_start_workers(self) -> None:
        holds = threading.Event()

        def hold() -> None:
            with worker_module._STARTING:
                holds.set()
                threading.Event().wait(0.05)

        thread = threading.Thread(target=hold)
        thread.start()
        holds.wait()
        child = os.fork()
        if child == 0:
            os._exit(worker_module._STARTING.locked())
        _, status = os.waitpid(child, 0)
        thread.join()

        assert os.waitstatus_to_exitcode(status) == 0

    async def test_a_fork_of_the_program_has_no_workers(self, executor: ProcessExecutor) -> None:
        pid = await ran(Pid(), executor)
        child = os.fork()
        if child == 0:
            os._exit(len(executor._pool._workers))
        _, status = await asyncio.to_thread(os.waitpid, child, 0)

        assert os.waitstatus_to_exitcode(status) == 0
        assert await ran(Pid(), executor) == pid


class TestPackedCode:
    async def test_nodes_and_functions_of_a_function_are_sent_as_they_are(self) -> None:
        more = 3

        class Local(Node):
            def process(self, context: NodeContext) -> Any:
                return context.inputs["number"] + more

        class Updates(Node):
            async def process(self, context: NodeContext) -> Any:
                await context.graph_state.update("total", lambda total: total + more, 0)
                return await context.graph_state.get("total")

        with ProcessExecutor(1, code="cloudpickle", start_method="forkserver") as executor:
            assert await ran(Local(), executor, {"number": 4}) == 7
            assert await ran(Updates(), executor) == 3

    def test_without_it_they_are_refused(self, executor: ProcessExecutor) -> None:
        class Local(Node):
            def process(self) -> None: ...

        with pytest.raises(GraphDefinitionError, match="code='cloudpickle'"):
            Graph(Local(), executor=executor)
