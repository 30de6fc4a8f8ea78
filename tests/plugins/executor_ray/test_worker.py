"""What Ray's workers do for runs, here without Ray: the factory is found by its name, and the run resumed under a claim."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, InputConflictError
from spark.graphs.checkpoint import Claim, RunInfo, open_backend
from spark.graphs.checkpoint.derived import claims
from spark.graphs.clock import SYSTEM_CLOCK, SYSTEM_RANDOM
from spark_executor_ray.ray_runs import worker
from spark_executor_ray.ray_runs.outcomes import Ended, Refusal
from spark_executor_ray.ray_runs.plan import RunPlan
from tests.plugins.executor_ray.conftest import MakePlan


async def stored(plan: RunPlan, graph_id: str = "one", **inputs: Any) -> Any:
    answers = await worker.store_new(plan, [(graph_id, inputs)])
    return answers if isinstance(answers, Refusal) else answers[0]


async def run_of(plan: RunPlan, graph_id: str = "one") -> RunInfo:
    async with open_backend(plan.url or "") as store:
        run = await worker.latest_run(store, graph_id)
    assert run is not None
    return run


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_app:build", "finds no module 'no_such_app'"),
        ("paying_app:no_such", "has no attribute 'no_such'"),
        ("paying_app:no_graph", "returned 7 for 'one'; return a Graph with this id"),
        ("paying_app:without_id", "is not a function that makes the graph for a graph id"),
        ("paying_app:raising", "raised ValueError: not this id"),
    ],
)
async def test_a_factory_that_can_not_be_used_is_reported_with_what_to_do(
    tmp_path: Path, target: str, said: str
) -> None:
    refusal = await stored(RunPlan(target=target, url=f"sqlite:///{tmp_path}/runs.db"))

    assert said in refusal.text
    assert isinstance(refusal.error(), ValueError | RuntimeError)


async def test_a_store_that_ends_with_its_process_is_refused() -> None:
    refusal = await stored(RunPlan(target="paying_app:failing", url="memory://"))

    assert isinstance(refusal.error(), GraphDefinitionError)
    assert "Choose one that all machines reach" in refusal.text


async def test_a_run_is_stored_once_and_is_executed_to_its_end(plan: MakePlan, tmp_path: Path) -> None:
    paying, ledger = plan("paying"), tmp_path / "ledger"

    first, again, other = [await stored(paying, ledger=each) for each in (ledger, ledger, tmp_path / "other")]
    queued, ended = await run_of(paying), await worker.execute(paying, "one")

    assert (first, again, type(other.error())) == (True, False, InputConflictError)
    assert (queued.status, ended.status, (await run_of(paying)).status) == ("queued", "completed", "completed")
    assert [line.split()[1] for line in ledger.read_text().splitlines()] == ["0", "1", "2", "3"]


async def test_one_of_several_new_runs_that_is_refused_does_not_stop_the_others(plan: MakePlan, tmp_path: Path) -> None:
    first, refused, last = await worker.store_new(  # type: ignore[misc]
        plan("paying"), [("one", {}), ("two", {"inputs": object()}), ("three", {})]
    )

    assert (first, last) == (True, True)
    assert isinstance(refused, Refusal)


@pytest.mark.parametrize(("function", "status"), [("failing", "failed"), ("asking", "interrupted")])
async def test_a_run_leaves_its_task_as_the_store_says(plan: MakePlan, function: str, status: str) -> None:
    one = plan(function)
    await stored(one)

    ended = await worker.execute(one, "one")

    assert ended.status == (await run_of(one)).status == status


async def test_a_run_that_the_store_says_nothing_about_is_broken(plan: MakePlan) -> None:
    ended = await worker.execute(plan("raising"), "one")

    assert ended == Ended("broken", "ValueError: not this id")


async def test_a_run_that_is_interrupted_is_one_to_resume_not_one_that_somebody_cancelled(
    plan: MakePlan, tmp_path: Path
) -> None:
    """Ray interrupts it when its supervisor is gone."""
    paying = plan("paying")
    await stored(paying, ledger=tmp_path / "ledger", seconds=60)
    executing = asyncio.create_task(worker.execute(paying, "one"))
    while not (tmp_path / "ledger").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)

    executing.cancel()
    await asyncio.wait((executing,))

    assert (await run_of(paying)).status in ("queued", "running")
    assert (await worker.end(paying, "one", "cancelled")).status == "cancelled"


@pytest.mark.parametrize("how", ["cancelled", "drained"])
@pytest.mark.parametrize("function", ["paying", "asking", "sleeping"])
async def test_a_run_that_nobody_executes_is_ended_before_its_next_step(
    plan: MakePlan, tmp_path: Path, function: str, how: worker.Ending
) -> None:
    one = plan(function)
    await stored(one, ledger=tmp_path / "ledger", seconds=1000)
    if function != "paying":
        await worker.execute(one, "one")

    ended = await worker.end(one, "one", how)

    assert (ended.status, (await run_of(one)).status) == (how, how)
    assert not (tmp_path / "ledger").exists()


class TestClaims:
    async def claimed_elsewhere(self, plan: RunPlan, monkeypatch: pytest.MonkeyPatch) -> claims.Lease:
        """Held by a process of another machine, which renews it."""
        store = open_backend(plan.url or "")
        lease = claims.Lease(
            Claim(ttl=plan.claim_ttl), store, "one", clock=SYSTEM_CLOCK, random=SYSTEM_RANDOM, on_lost=print
        )
        with monkeypatch.context() as there:
            there.setattr(claims, "this_system", lambda: "another machine")
            there.setattr(claims, "_PROCESS", "another process")
            await lease.take()
        return lease

    async def test_a_claim_that_is_renewed_leaves_the_run_to_its_owner(
        self, plan: MakePlan, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = plan("paying", claim_ttl=0.1)
        await stored(one)
        lease = await self.claimed_elsewhere(one, monkeypatch)

        ended = await worker.execute(one, "one")

        assert ended.status == "elsewhere"
        await lease.release()
        await lease._history.backend.close()

    async def test_a_claim_whose_owner_died_with_its_machine_is_taken_over(
        self, plan: MakePlan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        one = plan("paying", claim_ttl=0.1)
        await stored(one, ledger=tmp_path / "ledger")
        lease = await self.claimed_elsewhere(one, monkeypatch)
        assert lease._beating is not None
        lease._beating.cancel()

        ended = await worker.execute(one, "one")

        assert ended.status == "completed"
        await lease._history.backend.close()
