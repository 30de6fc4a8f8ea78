"""Which actor gets a step, and how long one is kept that has none. Here without Ray."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from spark_executor_ray.executor import pool as pools
from spark_executor_ray.executor.pool import ActorPool
from spark_testing import FakeClock


class Actors:
    """Makes actors, and notes which were killed."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.killed: list[Any] = []

    def make(self) -> Any:
        placed: Future[None] = Future()
        ready = SimpleNamespace(remote=lambda: SimpleNamespace(future=lambda: placed))
        actor = SimpleNamespace(placed=placed, __ray_ready__=ready, execute=SimpleNamespace(remote=None))
        self.made.append(actor)
        return actor


@pytest.fixture
def actors(monkeypatch: pytest.MonkeyPatch) -> Actors:
    actors = Actors()
    monkeypatch.setattr(pools, "kill", actors.killed.append)
    return actors


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pool(actors: Actors, clock: FakeClock) -> Iterator[ActorPool]:
    made = ActorPool(actors.make, size=2, reserves=True, idle_seconds=60, monotonic=clock.monotonic)
    yield made
    made.close()


def test_steps_that_reserve_nothing_are_kept_apart_at_once(actors: Actors) -> None:
    """So that the loss of one actor harms fewer of them."""
    pool = ActorPool(actors.make, size=2, reserves=False, idle_seconds=60)
    taken = [pool.take() for _ in range(4)]
    pool.close()

    assert [member.actor for member in taken] == [*actors.made, *actors.made]
    assert len(actors.made) == 2


def test_a_step_does_not_wait_for_an_actor_that_has_no_place(actors: Actors, pool: ActorPool) -> None:
    first = pool.take()
    first_again = pool.take()
    actors.made[0].placed.set_result(None)
    while_another_waits = [pool.take(), pool.take()]

    assert [first_again, *while_another_waits] == [first] * 3
    assert len(actors.made) == 2

    actors.made[1].placed.set_result(None)

    assert pool.take().actor is actors.made[1]


def test_an_actor_that_never_gets_a_place_is_forgotten(actors: Actors, pool: ActorPool) -> None:
    pool.take()
    actors.made[0].placed.set_exception(RuntimeError("no such image"))

    assert pool.take().actor is actors.made[1]


def test_an_actor_without_steps_is_kept_for_a_while(actors: Actors, pool: ActorPool, clock: FakeClock) -> None:
    """Even if the run continues: other steps may need what the actor takes of its machine."""
    member = pool.take()
    actors.made[0].placed.set_result(None)
    pool.give_back(member)
    clock.advance(59)
    pool.end_idle()
    assert actors.killed == []

    clock.advance(1)
    pool.end_idle()

    assert actors.killed == [actors.made[0]]
    assert pool.take().actor is actors.made[1]


def test_an_actor_that_waits_for_a_place_is_kept_while_others_have_steps(
    actors: Actors, pool: ActorPool, clock: FakeClock
) -> None:
    member = pool.take()
    actors.made[0].placed.set_result(None)
    pool.take()
    clock.advance(600)
    pool.end_idle()
    assert actors.killed == []

    pool.give_back(member)
    pool.give_back(member)
    clock.advance(60)
    pool.end_idle()

    assert actors.killed == actors.made
