"""What came of crashing a graph everywhere: the ending it should have, and the runs that ended otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended, in all that can be compared."""

    result: Any
    """The content of what ``run`` returned; None when it raised."""
    state: dict[str, Any]
    """The graph's state."""
    seen: Any = None
    """What ``observe`` returned: the world outside, as the user looks at it."""
    error: str = ""
    """What the run raised instead of returning."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Where a run was cut off."""

    step: int
    """The number of the step, from 1; 0 is before the first, or in one that was repeated."""
    node: str
    """The key of the node that executed it."""
    where: str
    """``"after the checkpoint of"`` the step, ``"before"`` that, when its work was done, or ``"at await 2 of"`` it. Others
    are named by their reason: ``"after the checkpoint 'call' that follows"`` the step."""
    save: int = 0
    """The number of that checkpoint in the run, from 1."""
    execution: int = 0
    """The number of the execution with that await, among those of all nodes, from 0."""

    def __str__(self) -> str:
        return f"a crash {self.where} step {self.step} (node {self.node!r})"


@dataclass(frozen=True, slots=True)
class Difference:
    """A run that was crashed and resumed, and ended differently from the undisturbed one."""

    crash: Crash
    ending: Ending
    differs: tuple[str, ...]
    """One sentence for each thing that differs."""

    def __str__(self) -> str:
        return f"{self.crash} changes the outcome: {'; '.join(self.differs)}"


@dataclass(slots=True)
class RecoveryReport:
    """What ``check_recovery`` found. As a condition it is true when nothing differed."""

    expected: Ending
    """How the undisturbed run ended."""
    crashes: list[Crash] = field(default_factory=list)
    """Every crash that was tried."""
    differences: list[Difference] = field(default_factory=list)
    """Those after which the run ended otherwise."""

    def __bool__(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        if not self.differences:
            return f"{len(self.crashes)} crashes, each resumed to the same end."
        lines = [f"{len(self.differences)} of {len(self.crashes)} crashes change the outcome:"]
        return "\n".join([*lines, *(f"- {difference}" for difference in self.differences)])

    def check(self) -> None:
        """Fail a test that calls it.

        :raises AssertionError: something differed; names node, step and difference of each.
        """
        if self.differences:
            raise AssertionError(str(self))


def differences(expected: Ending, ending: Ending) -> tuple[str, ...]:
    """What is not the same, in sentences."""
    if ending.error or expected.error:
        return () if ending.error == expected.error else (f"it ends with {ending.error or 'a result'}",)
    found = []
    if ending.result != expected.result:
        found.append(f"the result is {_short(ending.result)} instead of {_short(expected.result)}")
    for key in sorted(expected.state.keys() | ending.state.keys()):
        theirs, ours = ending.state.get(key, _NOTHING), expected.state.get(key, _NOTHING)
        if theirs != ours:
            found.append(f"state[{key!r}] is {_short(theirs)} instead of {_short(ours)}")
    if ending.seen != expected.seen:
        found.append(f"observe() sees {_short(ending.seen)} instead of {_short(expected.seen)}")
    return tuple(found)


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
