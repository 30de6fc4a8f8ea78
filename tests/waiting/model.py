"""What a program does, worked out without the engine: straight through, by the meaning of its blocks alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.waiting.programs import Block, Branches, Chain, Items, Op, Step, digest

START = digest("start")


@dataclass
class Expected:
    """What must come out of a program, however often it is killed on the way."""

    value: Any = None
    """What its last node returns."""
    log: Counter[str] = field(default_factory=Counter)
    """What steps have appended to the state."""
    count: int = 0
    """What they have counted there."""
    progress: dict[str, int] = field(default_factory=dict)
    """How far those got that commit on their way."""
    commits: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    """Durable calls, and how often each is made if nobody is killed."""
    signals: list[tuple[str, str]] = field(default_factory=list)
    """Name and value of each message that somebody must send, in order for each name."""


def expected_of(program: Chain) -> Expected:
    """What the program does."""
    model = _Model()
    model.expected.value = model.run(program, START, ())
    return model.expected


def place(name: str, path: tuple[Any, ...], round: int) -> str:
    """Names one execution of a step: in which items of maps, and the how many-th round of its loop."""
    return f"{name}{list(path)}:{round}"


def answer_to(question: str) -> str | int:
    """What the person answers; a number in a form."""
    return len(question) if is_form(question) else digest("answer", question)


def is_form(question: str) -> bool:
    """Whether the answer has to fit a schema."""
    return question.endswith("form")


def paid(call: str) -> str:
    """What a durable call returns."""
    return digest("paid", call)


class _LostError(Exception):
    """An item of a map has failed for good."""


class _Model:
    def __init__(self) -> None:
        self.expected = Expected()

    def run(self, block: Block, value: Any, path: tuple[int, ...], *, lost: bool = False) -> Any:
        """What the block returns for this input.

        :param lost: whether its first step fails for good, as that of a lost item does.
        """
        match block:
            case Chain(blocks):
                for number, each in enumerate(blocks):
                    value = self.run(each, value, path, lost=lost and not number)
                return value
            case Branches(name, blocks):
                forked = self._commit(name, value, lost)
                return self._joined(name, sorted(self.run(each, forked, path) for each in blocks))
            case Items(name, count, body, _, lost_items):
                split = self._commit(name, value, lost)
                results = [
                    self._item(body, digest(split, index), (*path, index), index in lost_items)
                    for index in range(count)
                ]
                return self._joined(name, results)
            case Step():
                return self._step(block, value, path, lost)

    def _item(self, body: Block, value: str, path: tuple[int, ...], lost: bool) -> str:
        try:
            return str(self.run(body, value, path, lost=lost))
        except _LostError:
            return "lost"

    def _step(self, step: Step, value: str, path: tuple[int, ...], lost: bool) -> str:
        if step.is_lost or lost:
            self._ops(step, place(step.name, path, 0), keeps_writes=False)
            self.expected.commits += 1
            if not step.is_lost:
                raise _LostError
            self.expected.commits += 1
            return digest(f"{step.name} handler", step.name, value)
        for round in range(step.rounds):
            results = self._ops(step, place(step.name, path, round), keeps_writes=True)
            value = digest(step.name, value, results)
            self.expected.commits += 1
        return value if step.rounds == 1 else self._commit(f"{step.name} after", value, False)

    def _ops(self, step: Step, where: str, *, keeps_writes: bool) -> list[Any]:
        return [self._op(op, f"{where}/{number}", keeps_writes) for number, op in enumerate(step.ops)]

    def _op(self, op: Op, where: str, keeps_writes: bool) -> Any:
        expected = self.expected
        match op.kind:
            case "call" | "plain":
                return self._pay(where)
            case "calls":
                return [self._pay(f"{where}a"), self._pay(f"{where}b")]
            case "declined":
                self._pay(where)
                return f"declined {where}"
            case "flaky":
                return self._pay(where, times=op.times + 1)
            case "ask":
                return answer_to(where)
            case "asks":
                return [answer_to(f"{where}a"), answer_to(f"{where}b")]
            case "both":
                return [self._pay(where), answer_to(where)]
            case "uneven":
                return [self._pay(f"{where}a", times=op.times + 1), self._pay(f"{where}b")]
            case "patient":
                return answer_to(where)
            case "form":
                return answer_to(f"{where}form")
            case "signal":
                messages = [digest("signal", where, number) for number in range(op.times)]
                expected.signals += [(where, message) for message in messages]
                return messages
            case "silence":
                return "nobody"
            case "append" if keeps_writes:
                expected.log.update([f"{where}.{number}" for number in range(op.times)])
            case "count" if keeps_writes:
                expected.count += op.times
            case "progress":
                expected.progress[where] = op.times
                expected.log.update([f"{where}.{number}" for number in range(op.times)])
        return None

    def _pay(self, call: str, *, times: int = 1) -> str:
        self.expected.calls[call] += times
        return paid(call)

    def _commit(self, name: str, value: Any, lost: bool) -> str:
        self.expected.commits += 1
        if lost:
            raise _LostError
        return digest(name, value, [])

    def _joined(self, name: str, values: list[Any]) -> str:
        self.expected.commits += 1
        return digest(f"{name} join", values)
