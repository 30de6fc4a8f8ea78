"""A supervisor hands runs out, at most so many at a time, and knows from the store alone which can go on. Here without Ray."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, InputConflictError, RunError
from spark.graphs.checkpoint import CheckpointManager, open_backend
from spark_executor_ray.ray_runs import reading, worker
from spark_executor_ray.ray_runs.outcomes import Ended, Refusal
from spark_executor_ray.ray_runs.plan import RunPlan
from spark_executor_ray.ray_runs.supervising import Supervisor
from tests.plugins.executor_ray.conftest import MakePlan


class Here:
    """Executes runs in tasks of this event loop, as Ray does in its workers."""

    def __init__(self, plan: RunPlan) -> None:
        self.plan = plan
        self.executed: Counter[str] = Counter()
        self.under_way = 0
        self.most = 0
        """How many were under way at the same time."""

    async def store_new(self, new: Sequence[tuple[str, Mapping[str, Any]]]) -> Sequence[bool | Refusal] | Refusal:
        return await worker.store_new(self.plan, new)

    def execute(self, graph_id: str) -> Task:
        return Task(asyncio.create_task(self._execute(graph_id)))

    async def end(self, graph_id: str, how: worker.Ending) -> Ended:
        return await worker.end(self.plan, graph_id, how)

    async def _execute(self, graph_id: str) -> Ended:
        self.executed[graph_id] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await worker.execute(self.plan, graph_id)
        finally:
            self.under_way -= 1


class Task:
    def __init__(self, task: asyncio.Task[Ended]) -> None:
        self._task = task

    async def ended(self) -> Ended:
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            return Ended("cancelled")

    def cancel(self) -> None:
        self._task.cancel()


@asynccontextmanager
async def supervised(plan: RunPlan, **options: Any) -> AsyncIterator[tuple[Supervisor, Here]]:
    """A supervisor that looks through the store again and again, until the block is left."""
    here = Here(plan)
    async with open_backend(plan.url or "") as store:
        supervisor = Supervisor(plan, here, CheckpointManager(store), **options)
        life = asyncio.create_task(supervisor.supervise())
        yield supervisor, here
        await supervisor.stop()
        await life


async def until_status(plan: RunPlan, graph_id: str, status: str) -> None:
    async with asyncio.timeout(30):
        while True:
            run = await reading.status(graph_id, url=plan.url)
            if run is not None and run.status == status:
                return
            await asyncio.sleep(0.01)


async def settled(plan: RunPlan, *graph_ids: str) -> dict[str, str]:
    runs = await reading.wait(graph_ids, url=plan.url, poll=0.01, timeout=30)
    return {graph_id: run.status for graph_id, run in runs.items()}


async def test_submitted_runs_are_executed_at_most_so_many_at_a_time(plan: MakePlan, tmp_path: Path) -> None:
    paying, ids = plan("paying", max_running=2), [f"run-{number}" for number in range(6)]

    async with supervised(paying) as (supervisor, here):
        await asyncio.gather(*(supervisor.submit(id, {"ledger": tmp_path / id, "seconds": 0.01}) for id in ids))
        statuses = await settled(paying, *ids)

    assert statuses == dict.fromkeys(ids, "completed")
    assert here.most == 2
    assert (await reading.result("run-0", url=paying.url))["done"] is True


async def test_a_run_is_submitted_once(plan: MakePlan, tmp_path: Path) -> None:
    paying = plan("paying")

    async with supervised(paying) as (supervisor, here):
        first = await supervisor.submit("one", {"ledger": tmp_path / "ledger"})
        await settled(paying, "one")
        again = await supervisor.submit("one", {"ledger": tmp_path / "ledger"})
        with pytest.raises(InputConflictError):
            await supervisor.submit("one", {"ledger": tmp_path / "other"})

    assert (first, again) == (True, False)
    assert here.executed == {"one": 1}


async def test_what_an_earlier_supervisor_left_in_the_store_goes_on(plan: MakePlan, tmp_path: Path) -> None:
    paying = plan("paying")
    await worker.store_new(paying, [("one", {"ledger": tmp_path / "ledger"})])

    async with supervised(paying):
        assert await settled(paying, "one") == {"one": "completed"}


async def test_an_answered_run_goes_on(plan: MakePlan) -> None:
    asking = plan("asking")

    async with supervised(asking) as (supervisor, here):
        await supervisor.submit("one", {})
        assert await settled(asking, "one") == {"one": "interrupted"}
        async with open_backend(asking.url or "") as store:
            (question,) = await CheckpointManager(store).interrupts("one")
            await CheckpointManager(store).answer("one", {question.id: "yes"})
        await until_status(asking, "one", "completed")

    assert here.executed == {"one": 2}
    assert await reading.result("one", url=asking.url) == {"answer": "yes"}


async def test_a_run_that_waits_for_a_time_takes_no_place_and_goes_on_then(plan: MakePlan) -> None:
    sleeping = plan("sleeping")

    async with supervised(sleeping) as (supervisor, here):
        await supervisor.submit("one", {"seconds": 0.3})
        assert await settled(sleeping, "one") == {"one": "completed"}

    assert here.executed == {"one": 2}


@pytest.mark.parametrize("how", ["cancel", "drain"])
async def test_a_run_that_waits_is_ended_and_stays_so_until_it_is_resumed(plan: MakePlan, how: str) -> None:
    sleeping, status = plan("sleeping"), {"cancel": "cancelled", "drain": "drained"}[how]

    async with supervised(sleeping) as (supervisor, here):
        await supervisor.submit("one", {"seconds": 1000})
        await until_status(sleeping, "one", "waiting")
        assert await getattr(supervisor, how)("one") == status
        await asyncio.sleep(5 * sleeping.poll)
        assert here.executed == {"one": 1}, "it went on by itself"
        await supervisor.resume("one")
        assert supervisor.in_hand(["one", "two"]) == ["one"]
        await until_status(sleeping, "one", "waiting")


async def test_a_run_that_is_executed_is_cancelled(plan: MakePlan, tmp_path: Path) -> None:
    paying = plan("paying")

    async with supervised(paying) as (supervisor, _):
        await supervisor.submit("one", {"ledger": tmp_path / "ledger", "seconds": 60})
        await until_status(paying, "one", "running")
        assert await supervisor.cancel("one") == "cancelled"

    assert await settled(paying, "one") == {"one": "cancelled"}


async def test_a_drained_run_goes_on_when_supervising_is_started_anew(plan: MakePlan, tmp_path: Path) -> None:
    paying = plan("paying")
    await worker.store_new(paying, [("one", {"ledger": tmp_path / "ledger"})])
    await worker.end(paying, "one", "drained")

    async with supervised(paying) as (supervisor, _):
        await supervisor.start()
        await until_status(paying, "one", "completed")


async def test_a_run_that_ends_without_a_word_in_the_store_is_given_up_until_somebody_asks(
    plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    import paying_app  # type: ignore[import-not-found]

    failing = plan("failing")
    await worker.store_new(failing, [("one", {})])
    build = paying_app.failing
    monkeypatch.setattr(paying_app, "failing", paying_app.raising)

    async with supervised(failing) as (supervisor, here):
        async with asyncio.timeout(30):
            while not supervisor.troubles():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert here.executed == {"one": 5}
        assert supervisor.troubles() == {"one": "ValueError: not this id"}

        monkeypatch.setattr(paying_app, "failing", build)
        await supervisor.resume("one")
        assert await settled(failing, "one") == {"one": "failed"}
        assert supervisor.troubles() == {}


async def test_it_is_started_only_where_the_factory_and_the_store_can_be_used(plan: MakePlan) -> None:
    async with supervised(plan("no_such")) as (supervisor, _):
        with pytest.raises(GraphDefinitionError, match="has no attribute 'no_such'"):
            await supervisor.start()


async def test_waiting_for_a_run_that_nobody_submitted_says_so(plan: MakePlan) -> None:
    one = plan("failing")
    await worker.store_new(one, [("one", {})])

    with pytest.raises(RunError, match="Graph 'two' has no run in this store: submit it first"):
        await reading.wait(["one", "two"], url=one.url)
    with pytest.raises(TimeoutError, match=r"1 of 1 runs are still running after 0\.01 s, 'one' for instance"):
        await reading.wait(["one"], url=one.url, timeout=0.01, poll=0.01)
    with pytest.raises(RunError, match="has no result: it is 'queued'"):
        await reading.result("one", url=one.url)
    with pytest.raises(RunError, match="Graph 'two' has no run in this store"):
        await reading.result("two", url=one.url)


class TestPlans:
    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (lambda: RunPlan(target="my_app", url=None), "write 'module:function'"),
            (
                lambda: RunPlan(target="a:b", url=None, max_running=0),
                "max_running=0): give a whole number of at least 1",
            ),
            (lambda: RunPlan(target="a:b", url=None, num_cpus=-1), "num_cpus=-1"),
            (lambda: RunPlan(target="a:b", url=None, resources={"disk": True}), "resources['disk']=True"),
            (lambda: RunPlan.of("a:b", url=None, prefix="", options={"cpus": 1}), "There is no option 'cpus'"),
            (lambda: RunPlan(target="a:b", url=None, prefix="p-").check_id("one"), "does not begin with prefix='p-'"),
        ],
    )
    def test_what_can_not_be_used_is_refused(self, make: Callable[[], object], said: str) -> None:
        with pytest.raises(GraphDefinitionError) as caught:
            make()

        assert said in str(caught.value)

    def test_other_options_than_those_in_force_are_refused_and_none_are_taken_as_they_are(self) -> None:
        plan = RunPlan(target="a:b", url="postgresql://me:secret@db/runs", num_cpus=0.5)

        plan.check_asked("a:b", {})
        plan.check_asked("a:b", {"num_cpus": 0.5})
        with pytest.raises(RunError, match=r"are run with num_cpus=0\.5\. Call ray_runs\.stop\(\) first") as caught:
            plan.check_asked("a:b", {"num_cpus": 1})
        assert "secret" not in str(caught.value)
