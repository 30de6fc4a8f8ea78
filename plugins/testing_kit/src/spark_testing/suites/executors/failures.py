"""Steps that fail, and workers that are lost: failed attempts with clear errors, which the engine repeats."""

from __future__ import annotations

import os

import pytest

from spark.errors import RemoteError, SerializationError, WorkerLostError
from spark.graphs import Graph, JoinNode, Retry
from spark.graphs.executors import Executor
from spark_testing.suites.executors import nodes
from spark_testing.suites.executors.given import GivenExecutor, at_once, lines, run


class Failures(GivenExecutor):
    """Steps that fail, and workers that are lost."""

    @pytest.mark.parametrize(
        ("how", "kind", "text"),
        [
            ("plain", LookupError, "nothing there"),
            ("own", nodes.HardToMakeError, "1 and 2"),
            ("lasting", RemoteError, "HardToMakeError: 1 and 2"),
            ("exit", RemoteError, "SystemExit: 3"),
            ("unsendable", SerializationError, "output of node 'Fails'"),
        ],
    )
    async def test_an_error_comes_back_by_its_type_and_message(
        self, executor: Executor, how: str, kind: type[Exception], text: str
    ) -> None:
        with pytest.raises(kind, match=text) as caught:
            await Graph(nodes.Fails(), executor=executor).run({"how": how})

        assert type(caught.value) is kind, "the error has another type than it had in the worker"
        assert (await run(nodes.Echo(), {"x": 1}, executor=executor)).message.content == {"x": 1}, (
            "After a step that failed, others must be executed as before."
        )

    async def test_an_error_tells_where_it_was_raised(self, executor: Executor) -> None:
        with pytest.raises(LookupError) as caught:
            await Graph(nodes.Fails(), executor=executor).run({"how": "plain"})

        assert caught.value.args == ("nothing there", 3), "the error lost its arguments on its way"
        assert "in process" in str(caught.value.__cause__), (
            "The cause of an error must have the traceback of the worker."
        )

    async def test_a_group_of_errors_comes_back_member_by_member(self, executor: Executor) -> None:
        with pytest.raises(nodes.RefusedError) as caught:
            await Graph(nodes.Fails(), executor=executor).run({"how": "group"})
        missing, inner = caught.value.exceptions

        assert isinstance(missing, FileNotFoundError), "a member of a group has another type than it had in the worker"
        assert missing.filename == "/a", "a member of a group lost its attributes"
        assert [error.__notes__ for error in (caught.value, missing)] == [["of the group"], ["looked here"]], (
            "the notes of a group, or of its members, are lost"
        )
        assert isinstance(inner, ExceptionGroup), "a group in a group does not come back as one"
        assert isinstance(inner.exceptions[0], nodes.HardToMakeError), "a member of an inner group has another type"
        assert inner.exceptions[0].why == ("x", {"y"}), "a member of an inner group lost its attributes"
        assert "in process" in str(caught.value.__cause__), "A group must have the traceback of the worker."

    async def test_members_of_a_group_can_be_caught(self, executor: Executor) -> None:
        caught: list[BaseException] = []
        try:
            await Graph(nodes.Fails(), executor=executor).run({"how": "group"})
        except* OSError as group:
            caught += group.exceptions
        except* nodes.HardToMakeError as group:
            caught += group.exceptions

        assert len(caught) == 2, "except* does not find the members of a group"

    async def test_causes_and_contexts_come_back(self, executor: Executor) -> None:
        with pytest.raises(LookupError, match="because of that") as caught:
            await Graph(nodes.Fails(), executor=executor).run({"how": "chain"})
        cause = caught.value.__cause__

        assert isinstance(cause, ValueError), "the cause of an error is lost"
        assert caught.value.__context__ is cause, "the context of an error is another object than its cause"
        assert isinstance(cause.__context__, KeyError), "the context of a cause is lost"
        assert "in chain_errors" in str(cause.__context__.__cause__), (
            "The first error of a chain must have the traceback of the worker."
        )

    async def test_a_retry_policy_sees_types(self, executor: Executor) -> None:
        retry = Retry(max_attempts=3, initial_interval=0, retry_on=nodes.RefusedError)

        ran = await run(nodes.Fails(retry=retry), {"how": "group once"}, executor=executor)

        assert ran.message.content["attempt"] == 2, "a policy with retry_on does not know an error that was sent"

    async def test_retries_are_the_engine_s_and_the_step_knows_of_them(self, executor: Executor) -> None:
        here, there = [
            await run(nodes.Fails(retry=at_once), {"how": "twice"}, executor=each) for each in (None, executor)
        ]

        assert there.message.content["attempt"] == 3, "the engine did not count the attempts of the step"
        assert there.message.content["before"] == "lost 2", "the node is not told how the attempt before it failed"
        assert there.without_ids() == here.without_ids(), "retried elsewhere, the step ends otherwise than here"

    @pytest.mark.parametrize("how", ["kill", "exit"])
    async def test_a_worker_that_is_lost_costs_one_attempt(self, executor: Executor, file: str, how: str) -> None:
        """And what was recorded before is not done again."""
        if not await self._can_lose_workers(executor):
            return
        ran = await run(nodes.Lost(retry=at_once), {"file": file, "how": how}, executor=executor)

        assert ran.message.content == {"paid": 5, "attempt": 2}, (
            "the engine did not retry a step whose worker was lost, once"
        )
        assert lines(file) == ["paid"], "A durable call that was recorded must not be made again."

    async def test_a_worker_that_is_lost_harms_no_other_step(self, executor: Executor, file: str) -> None:
        if not await self._can_lose_workers(executor):
            return
        start = nodes.Echo()
        start >> [nodes.Sleeps(name="a"), nodes.Lost(name="b", retry=at_once)] >> JoinNode()

        ran = await run(start, {"file": file, "how": "kill"}, executor=executor)

        assert ran.message.content["results"][1] == {"paid": 5, "attempt": 2}, (
            "the loss of a worker cost another step, or the step was not retried once"
        )
        assert sorted(lines(file)) == ["begins", "paid"], "Only the step of the lost worker must be repeated."

    async def test_without_a_retry_the_loss_of_a_worker_is_said(self, executor: Executor) -> None:
        if not await self._can_lose_workers(executor):
            return
        with pytest.raises(WorkerLostError, match="LostPlainly"):
            await Graph(nodes.LostPlainly(), executor=executor).run()

    async def _can_lose_workers(self, executor: Executor) -> bool:
        pid: int = (await run(nodes.Pid(), executor=executor)).message.content
        assert (pid != os.getpid()) is self.in_processes, (
            "Set in_processes: does the executor execute steps outside of this process?"
        )
        return self.in_processes
