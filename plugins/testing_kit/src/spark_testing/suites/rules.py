"""What the suites of triggers and of retention rules have in common: boundaries, lines of listings, and rules made again."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from spark.graphs.checkpoint import Boundary, CheckpointInfo, Retention, Trigger

NOON: Final = datetime(2030, 6, 15, 12, tzinfo=UTC)
"""When the lines of ``make_line`` are looked at."""


class State(Mapping[str, Any]):
    """As a run shows its state: nobody can change it, and each value that is read is a copy."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = deepcopy(dict(values))

    def __getitem__(self, key: str) -> Any:
        return deepcopy(self._values[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a boundary shows only when it is asked."""

    run_id: str
    state: Mapping[str, Any]
    metrics: Collection[str]
    max_iterations: int | None
    max_seconds: float | None
    bytes_since_checkpoint: int

    @property
    def values(self) -> Mapping[str, Any]:
        """The state, for those who only look."""
        return self.state


def make_boundary(
    iteration: int = 1,
    node: str = "node",
    *,
    elapsed: float = 0.0,
    checkpointed: float = 0.0,
    saving: float = 0.0,
    last_cost: float | None = None,
    names: Sequence[str] = (),
    state: Mapping[str, Any] | None = None,
    metrics: Collection[str] = (),
    max_iterations: int | None = None,
    max_seconds: float | None = None,
    bytes_since_checkpoint: int = 0,
    run_id: str = "run",
) -> Boundary:
    """Where a run may stand; see ``Boundary``.

    :param names: further names of the node.
    :param state: the committed state.
    :param metrics: the names of those values of the state that ``metadata`` has.
    :param max_iterations: what the budget allows, as does ``max_seconds``.
    """
    facts = Facts(
        run_id=run_id,
        state=State(state or {}),
        metrics=metrics,
        max_iterations=max_iterations,
        max_seconds=max_seconds,
        bytes_since_checkpoint=bytes_since_checkpoint,
    )
    return Boundary(iteration, node, frozenset((node, *names)), elapsed, checkpointed, saving, last_cost, facts)


def make_line(
    sequence: int, *, days_old: float = 0.0, hours_old: float = 0.0, metadata: Mapping[str, Any] | None = None
) -> CheckpointInfo:
    """A line of a listing, as retention rules get them: a checkpoint of graph ``g``, so old at noon of 15 June 2030, UTC."""
    return CheckpointInfo(
        checkpoint_id=f"ckpt_g_{sequence:06}",
        graph_id="g",
        sequence=sequence,
        timestamp=NOON - timedelta(days=days_old, hours=hours_old),
        size=100,
        metadata=dict(metadata or {}),
    )


def rebuilt(rule: Trigger | Retention) -> Trigger | Retention:
    """The rule that the options of a rule make, once they were stored as JSON."""
    options = json.loads(json.dumps(rule.options()))
    parameters = inspect.signature(type(rule)).parameters.values()
    several = [each.name for each in parameters if each.kind is each.VAR_POSITIONAL]
    listed = [value for name in several for value in options.pop(name, ())]
    return type(rule)(*listed, **options)


def check_options(rule: Trigger | Retention) -> None:
    """See that the rule, and each that it is made of, can be made again from its options."""
    if parts := getattr(rule, "rules", ()):
        for part in parts:
            check_options(part)
        return
    try:
        options = rule.options()
    except AttributeError as error:
        raise AssertionError(
            f"options() of {rule!r} can't tell its options: {error}. Keep each argument of the constructor in an attribute of "
            "the same name, or write options(): else checkpoints can't record the rule."
        ) from error
    assert json.loads(json.dumps(options)) == options, (
        f"options() of {rule!r} must give plain values, which JSON gives back as they are, not {options!r}."
    )
    again = rebuilt(rule)
    assert repr(again) == repr(rule), f"The options {options!r} must make an equal rule, not {again!r}."
    assert again.options() == options, "The rule that options() makes must have the same options."


def check_repr(rule: Trigger | Retention) -> None:
    """See that messages can show the rule."""
    assert " object at 0x" not in repr(rule), (
        "The repr of a rule is shown in messages: it must say what the rule does, not where it is in memory."
    )
