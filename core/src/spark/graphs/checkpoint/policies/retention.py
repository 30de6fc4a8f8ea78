"""Which checkpoints are kept? Rules that decide about each one, or about a whole history; ``|`` and ``&`` combine them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Any, Self

from spark.errors import GraphDefinitionError, RuleError
from spark.graphs.checkpoint.policies.rules import CombinedRule, Rule
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.wording import raised


class Retention(Rule):
    """A rule that decides which checkpoints are kept: by ``keeps``, or by ``select`` if judging one takes the others."""

    keeps_younger: bool = False
    """If it keeps one checkpoint, it keeps all later ones with no earlier timestamp, so those need not be checked."""
    reads_metadata: bool = False
    """It goes by the ``metadata`` of checkpoints, with which listings are then made."""

    def __new__(cls, *args: Any, **options: Any) -> Self:
        if cls.keeps is Retention.keeps and cls.select is Retention.select:
            raise TypeError(
                f"{cls.__qualname__} needs keeps() or select(): one of them says which checkpoints are kept."
            )
        return super().__new__(cls)

    def keeps(self, checkpoint: CheckpointInfo, *, age: int, now: datetime) -> bool:
        """Whether to keep it.

        :param age: how many newer ones there are: 0 for the latest.
        :param now: the present, aware.
        :raises NotImplementedError: the rule can only judge whole histories.
        """
        raise NotImplementedError(f"{self!r} judges whole histories: call select().")

    def select(self, checkpoints: Sequence[CheckpointInfo], *, now: datetime) -> list[CheckpointInfo]:
        """Those of a history that are kept, in their order. By default, each is judged by ``keeps``.

        Called each time that a checkpoint is made, on the event loop. The latest is kept in any case.

        :param checkpoints: the automatic ones of one graph, by sequence. Don't change them.
        :param now: the present, aware.
        """
        last = len(checkpoints) - 1
        return [each for place, each in enumerate(checkpoints) if self.keeps(each, age=last - place, now=now)]

    def __or__(self, other: Retention) -> Retention:
        return AnyRetention(self, _checked(other))

    def __and__(self, other: Retention) -> Retention:
        return AllRetentions(self, _checked(other))


class KeepLast(Retention):
    """Keeps the newest ``count`` checkpoints of a graph."""

    name = "keep_last"
    keeps_younger = True

    def __init__(self, count: int) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise GraphDefinitionError(f"KeepLast({count!r}): give a whole number of at least 1.")
        self.count = count

    def keeps(self, checkpoint: CheckpointInfo, *, age: int, now: datetime) -> bool:
        return age < self.count

    def __repr__(self) -> str:
        return f"KeepLast({self.count})"


class KeepFor(Retention):
    """Keeps checkpoints that are younger than this, a time to live (TTL): ``KeepFor(days=7)``, as for ``timedelta``."""

    name = "keep_for"
    keeps_younger = True

    def __init__(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        try:
            self.span: timedelta = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        except (OverflowError, ValueError, TypeError) as error:  # too long, or no number
            raise GraphDefinitionError(
                "KeepFor(…): give a span of time of less than a million years, as in KeepFor(days=7), or KeepAll()."
            ) from error
        if self.span <= timedelta(0):
            raise GraphDefinitionError("KeepFor(…): give a positive span of time, for instance KeepFor(days=7).")

    def keeps(self, checkpoint: CheckpointInfo, *, age: int, now: datetime) -> bool:
        return now - checkpoint.timestamp < self.span

    def options(self) -> dict[str, Any]:
        return {"seconds": self.span.total_seconds()}

    def __repr__(self) -> str:
        return f"KeepFor(seconds={self.span.total_seconds():g})"


class KeepAll(Retention):
    """Keeps everything."""

    name = "keep_all"
    keeps_younger = True

    def keeps(self, checkpoint: CheckpointInfo, *, age: int, now: datetime) -> bool:
        return True

    def __repr__(self) -> str:
        return "KeepAll()"


class CombinedRetention(CombinedRule, Retention):
    """A retention rule that is made of others."""

    rules: tuple[Retention, ...]
    _decide: Callable[[Iterable[bool]], bool]
    """What the answers of its rules come to."""

    def __init__(self, *rules: Retention) -> None:
        self.rules = rules
        self.keeps_younger = all(rule.keeps_younger for rule in rules)
        self.reads_metadata = any(rule.reads_metadata for rule in rules)

    def keeps(self, checkpoint: CheckpointInfo, *, age: int, now: datetime) -> bool:
        return self._decide(rule.keeps(checkpoint, age=age, now=now) for rule in self.rules)

    def select(self, checkpoints: Sequence[CheckpointInfo], *, now: datetime) -> list[CheckpointInfo]:
        selected = [{each.sequence for each in rule.select(checkpoints, now=now)} for rule in self.rules]
        return [each for each in checkpoints if self._decide(each.sequence in kept for kept in selected)]


class AnyRetention(CombinedRetention):
    """Keeps what any of its rules keeps: what ``a | b`` makes."""

    name = "any"
    _decide = staticmethod(any)

    def __repr__(self) -> str:
        return f"({' | '.join(map(repr, self.rules))})"


class AllRetentions(CombinedRetention):
    """Keeps what all of its rules keep: what ``a & b`` makes."""

    name = "all"
    _decide = staticmethod(all)

    def __repr__(self) -> str:
        return f"({' & '.join(map(repr, self.rules))})"


def surplus(checkpoints: Sequence[CheckpointInfo], *, retention: Retention, now: datetime) -> list[CheckpointInfo]:
    """The checkpoints to delete, oldest first. The latest is never among them, whatever the rule says.

    :param checkpoints: the automatic ones of one graph, by sequence. Those made by hand are neither deleted nor counted.
    :raises RuleError: the rule raised.
    """
    if len(checkpoints) < 2:
        return []
    try:
        kept = {each.sequence for each in retention.select(checkpoints, now=now)}
    except Exception as error:
        raise _failed(retention, error, graph_id=checkpoints[-1].graph_id) from error
    return [each for each in islice(checkpoints, len(checkpoints) - 1) if each.sequence not in kept]


def oldest_surplus(earlier: Sequence[CheckpointInfo], *, retention: Retention, now: datetime) -> list[CheckpointInfo]:
    """The same for a rule that keeps what is younger, where timestamps rise: nothing beyond the first that is kept is looked at.

    A clock that was wrong for a while leaves timestamps that don't rise.

    :param earlier: as for ``surplus``, without the latest.
    :raises RuleError: the rule raised.
    """
    age = count = len(earlier)
    if type(retention) is KeepLast:  # as most are
        return [*earlier[: count - retention.count + 1]] if count >= retention.count else []
    try:
        for checkpoint in earlier:
            if retention.keeps(checkpoint, age=age, now=now):
                break
            age -= 1
    except Exception as error:
        raise _failed(retention, error, graph_id=earlier[-1].graph_id) from error
    return [*earlier[: count - age]] if age < count else []


def _failed(retention: Retention, error: Exception, *, graph_id: str) -> RuleError:
    return RuleError(
        f"The retention rule {retention!r} raised {raised(error)}. It had to decide about the checkpoints "
        f"of graph {graph_id!r}, which are all kept."
    )


def are_rising(checkpoints: Sequence[CheckpointInfo]) -> bool:
    """Whether no checkpoint has an earlier timestamp than one before it."""
    return all(one.timestamp <= following.timestamp for one, following in pairwise(checkpoints))


def _checked(rule: Any) -> Retention:
    if not isinstance(rule, Retention):
        raise GraphDefinitionError(
            f"{rule!r} is not a retention rule; combine rules with | and &, for instance KeepLast(5)."
        )
    return rule
