"""Metrics: numbers of a run by their names, taken from its state, and which of two is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any, Final, Literal, TypeAlias

from spark.errors import GraphDefinitionError

Mode: TypeAlias = Literal["max", "min"]
"""Whether larger or smaller values of a metric are better."""

RESERVED: Final = frozenset({"error", "iteration", "last_node", "metadata", "metrics", "reason", "run_id", "triggers"})
"""What checkpoints record under these names is not taken from the state."""
_LONGEST: Final = 200
_HUGE: Final = 1e308
"""So that the difference of two is finite, too."""


def checked_metric(name: Any, *, place: str) -> str:
    """The name itself, when a metric can have it.

    :param place: how messages name the argument, for instance ``KeepBest(metric=…)``.
    :raises GraphDefinitionError: it can't.
    """
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST or not all(name.split(".")):
        raise GraphDefinitionError(
            f"{place}: {name!r} is not the name of a metric. Give a key of the graph's state, for instance 'loss', or the path "
            "into a mapping there, 'eval.loss'."
        )
    if name in RESERVED:
        raise GraphDefinitionError(
            f"{place}: checkpoints record something else as {name!r}. Keep the metric under another key of the graph's state."
        )
    return name


def checked_mode(mode: Any, *, place: str) -> Mode:
    """The mode itself, when it is one.

    :raises GraphDefinitionError: it is not.
    """
    if mode not in ("max", "min"):
        raise GraphDefinitionError(
            f"{place}: {mode!r} is neither 'max' (larger is better) nor 'min' (smaller is better)."
        )
    return mode  # type: ignore[no-any-return]


def metric_in(values: Mapping[str, Any], name: str) -> int | float | None:
    """The number that a metric has in a state; None where there is no finite number.

    :param name: a key of the state, or the path into mappings in it, with dots. A key that has the whole name goes first.
    """
    value: Any = values.get(name)
    if value is None and "." in name:
        value = values
        for step in name.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
    return number(value)


def metrics_in(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, int | float]:
    """The metrics that a state has, by their names."""
    found = {name: metric_in(values, name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def number(value: Any) -> int | float | None:
    """A value as a number of Python's own, as checkpoints record it; None where it is none, or not a finite one."""
    if type(value) is float:  # as most are
        return value if -_HUGE < value < _HUGE else None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        plain = int(value) if isinstance(value, Integral) else float(value)
        return plain if math.isfinite(plain) and abs(plain) < _HUGE else None
    except OverflowError:
        return None


def is_better(value: int | float, other: int | float, *, mode: Mode, by: float = 0.0) -> bool:
    """Whether a value is better than another by more than this much."""
    return value - other > by if mode == "max" else other - value > by
