"""Random programs that wait and try again, as plain data: what is run, and what the model says must come out of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from random import Random
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Op:
    """One thing that a step does: its ``kind`` says what, ``times`` how often or for how long."""

    kind: str
    times: int = 1


KINDS = {
    "call": 3,
    "calls": 2,
    "plain": 0.5,
    "declined": 1,
    "flaky": 1,
    "ask": 2,
    "asks": 1,
    "both": 1,
    "uneven": 1,
    "patient": 1,
    "form": 0.5,
    "signal": 2,
    "silence": 0.5,
    "sleep": 2,
    "append": 3,
    "count": 2,
    "fail": 2,
    "hang": 0.5,
    "break": 1,
    "progress": 1,
}
"""What steps do, each with how often it is chosen.

``calls`` and ``asks`` are two at once, ``both`` is one of each, ``uneven`` a call that fails beside another, and ``patient`` a
question beside a sleep; ``plain`` is a durable call in a thread, ``declined`` one whose error is recorded, ``flaky`` one that
fails at first; ``form`` is a question with a schema; ``silence`` a signal that no one sends. ``fail``, ``hang`` and ``break`` end
an attempt: with an error, by a timeout, and so that the run fails. ``progress`` commits on the way.
"""


@dataclass(frozen=True)
class Step:
    """One node. A loop executes it several times; one that is lost always fails, and its handler takes over."""

    name: str
    ops: tuple[Op, ...] = ()
    rounds: int = 1
    is_lost: bool = False

    @property
    def is_limited(self) -> bool:
        """Whether its time is."""
        return any(op.kind == "hang" for op in self.ops)


@dataclass(frozen=True)
class Branches:
    """Blocks side by side, and a join."""

    name: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Items:
    """A map over so many items, and a join. Items in ``lost`` always fail, and are collected as errors."""

    name: str
    count: int
    body: Block
    limit: int | None
    lost: frozenset[int]


@dataclass(frozen=True)
class Chain:
    """Blocks one after the other."""

    blocks: tuple[Block, ...]


Block: TypeAlias = Step | Branches | Items | Chain


def digest(*parts: Any) -> str:
    """A short text that stands for these values: what steps return, so that all that they were told shows in the result."""
    return blake2b(repr(parts).encode(), digest_size=6).hexdigest()


def random_program(random: Random, *, depth: int = 2) -> Chain:
    """A program of one to about fifteen nodes, or five with a ``depth`` of 1."""
    return _Making(random).chain(depth=depth)


def steps_of(block: Block) -> Iterator[Step]:
    """All of its steps."""
    match block:
        case Step():
            yield block
        case Items(body=body):
            yield from steps_of(body)
        case Branches(blocks=blocks) | Chain(blocks):
            for each in blocks:
                yield from steps_of(each)


class _Making:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._count = 0

    def chain(self, *, depth: int, in_map: bool = False, collects: bool = False) -> Chain:
        count = self._random.randint(1, 3 if depth else 2)
        return Chain(tuple(self._block(depth, in_map, collects) for _ in range(count)))

    def _block(self, depth: int, in_map: bool, collects: bool) -> Block:
        kind = self._random.choices(["step", "loop", "branches", "items", "lost"], [5, 1, 2, 2, 1])[0]
        if kind == "branches" and depth and not in_map:  # an item ends at the first join
            count = self._random.randint(2, 3)
            return Branches(self._name("fork"), tuple(self.chain(depth=depth - 1) for _ in range(count)))
        if kind == "items" and depth:
            return self._items(depth, collects)
        step = Step(self._name("step"), self._ops(collects))
        if kind == "loop":
            return replace(step, rounds=self._random.randint(2, 3))
        return replace(step, is_lost=kind == "lost")

    def _items(self, depth: int, collects: bool) -> Items:
        count = self._random.randint(0, 4)
        lost = frozenset(index for index in range(count) if self._random.random() < 0.1)
        limit = self._random.choice([None, 1, 2])
        body = self.chain(depth=depth - 1, in_map=True, collects=collects or bool(lost))
        return Items(self._name("map"), count, body, limit, lost)

    def _ops(self, collects: bool) -> tuple[Op, ...]:
        weights = {**KINDS, "break": 0} if collects else KINDS  # a map that collects errors does not fail the run
        kinds = self._random.choices([*weights], [*weights.values()], k=self._random.randint(0, 4))
        if "progress" in kinds:  # what is written before is committed with it, and written again by a repeated step
            kinds = [kind for kind in kinds if kind not in ("append", "count")]
        return tuple(Op(kind, self._random.randint(1, 3)) for kind in kinds)

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"
