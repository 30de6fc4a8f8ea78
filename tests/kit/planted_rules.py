"""Triggers and retention rules with one bug each, and sound ones, under the suites. Run by ``test_planted_rules.py``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from spark.graphs.checkpoint import Boundary, Retention, Trigger
from spark_testing import RetentionConformance, TriggerConformance, make_boundary, make_line


class Triggers(TriggerConformance):
    """Due when the memory has grown by more than 5 since the last checkpoint; the first measure is where it starts from."""

    due = (make_boundary(9, state={"size": 6}),)
    not_due = (make_boundary(1), make_boundary(2, state={"size": 5}))
    course = tuple(
        (make_boundary(number, state={"size": size}), is_due)
        for number, (size, is_due) in enumerate(
            ((1, False), (7, True), (9, False), (12, False), (14, True), (15, False)), 1
        )
    )
    kind: type[Trigger]

    @pytest.fixture
    def trigger(self) -> Trigger:
        return self.kind(5)  # type: ignore[call-arg]


class Grows(Trigger):
    """Sound."""

    def __init__(self, by: int) -> None:
        self.by = by
        self.base = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.by})"

    def start(self) -> Trigger:
        return type(self)(self.by)

    def is_due(self, boundary: Boundary) -> bool:
        return boundary.state.get("size", 0) - self.base > self.by

    def saved(self, boundary: Boundary) -> None:
        self.base = boundary.state.get("size", 0)

    def memory(self) -> Any:
        return {"base": self.base} if self.base else None

    def recall(self, memory: Any) -> None:
        self.base = memory["base"]


class IsNotStarted(Grows):
    def start(self) -> Trigger:
        return self


class StartsTheSame(Grows):
    def start(self) -> Trigger:
        if not hasattr(self, "only"):
            self.only = type(self)(self.by)
        return self.only


class SharesItsBaseline(Grows):
    seen: ClassVar[dict[str, int]] = {}

    def is_due(self, boundary: Boundary) -> bool:
        return boundary.state.get("size", 0) - self.seen.get("base", 0) > self.by

    def saved(self, boundary: Boundary) -> None:
        self.seen["base"] = self.base = boundary.state.get("size", 0)

    def stop(self) -> None:
        self.seen.clear()


class CountsQuestions(Grows):
    asked = 0

    def start(self) -> Trigger:
        return self

    def saved(self, boundary: Boundary) -> None:
        pass

    def is_due(self, boundary: Boundary) -> bool:
        self.asked += 1
        return super().is_due(boundary) and self.asked < 10


class TakesAQuestionForACheckpoint(Grows):
    def is_due(self, boundary: Boundary) -> bool:
        is_due = super().is_due(boundary)
        if is_due:
            self.saved(boundary)
        return is_due


class Forgets(Grows):
    def memory(self) -> Any:
        return None


class RemembersObjects(Grows):
    def memory(self) -> Any:
        return {"base": {self.base}}

    def recall(self, memory: Any) -> None:
        (self.base,) = memory["base"]


class RecallsNothing(Grows):
    def recall(self, memory: Any) -> None:
        pass


class IgnoresCheckpointsOfOthers(Grows):
    """Its baseline is the start for ever."""

    def saved(self, boundary: Boundary) -> None:
        pass


class ChangesTheBoundary(Grows):
    def is_due(self, boundary: Boundary) -> bool:
        boundary.names = ()
        return super().is_due(boundary)


class AnswersWithNumbers(Grows):
    def is_due(self, boundary: Boundary) -> bool:
        return max(0, boundary.state.get("size", 0) - self.base - self.by)  # type: ignore[no-any-return]


class NeedsAState(Grows):
    def is_due(self, boundary: Boundary) -> bool:
        return bool(boundary.node != "日本語" or boundary.state["size"]) and super().is_due(boundary)


class ListsItsMetrics(Grows):
    def metrics(self) -> Any:
        return ["size"]


class HidesItsOption(Grows):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)


class ShowsItsAddress(Grows):
    __repr__ = object.__repr__


class Retentions(RetentionConformance):
    """Keeps those with an odd sequence."""

    history = tuple(make_line(number, days_old=9 - number, metadata={"loss": number}) for number in range(1, 9))
    kept = (1, 3, 5, 7)
    kind: type[Retention]

    @pytest.fixture
    def retention(self) -> Retention:
        return self.kind()


class KeepOdd(Retention):
    """Sound."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def keeps(self, checkpoint: Any, *, age: int, now: Any) -> bool:
        return checkpoint.sequence % 2 == 1


class SelectsOdd(KeepOdd):
    """Sound, and decides about all at once."""

    keeps = Retention.keeps  # type: ignore[assignment]

    def select(self, checkpoints: Any, *, now: Any) -> Any:
        return [each for each in checkpoints if each.sequence % 2]


class KeepsTheWrongOnes(KeepOdd):
    def keeps(self, checkpoint: Any, *, age: int, now: Any) -> bool:
        return checkpoint.sequence % 4 == 1


class TakesThemOut(SelectsOdd):
    def select(self, checkpoints: Any, *, now: Any) -> Any:
        for each in [each for each in checkpoints if each.sequence % 2 == 0]:
            if isinstance(checkpoints, list):
                checkpoints.remove(each)
        return super().select(checkpoints, now=now)


class Reverses(SelectsOdd):
    def select(self, checkpoints: Any, *, now: Any) -> Any:
        return super().select(checkpoints, now=now)[::-1]


class MakesLines(SelectsOdd):
    def select(self, checkpoints: Any, *, now: Any) -> Any:
        return [replace(each, size=0) for each in super().select(checkpoints, now=now)]


class ExpectsSome(SelectsOdd):
    def select(self, checkpoints: Any, *, now: Any) -> Any:
        assert checkpoints[0].sequence > 0
        return super().select(checkpoints, now=now)


class TiresOfKeeping(SelectsOdd):
    asked = 0

    def select(self, checkpoints: Any, *, now: Any) -> Any:
        self.asked += 1
        return super().select(checkpoints, now=now)[self.asked > 9 :]


class SaysTwoThings(KeepOdd):
    def select(self, checkpoints: Any, *, now: Any) -> Any:
        return [each for each in checkpoints if each.sequence % 2 and each.timestamp <= now][:7]


class KeepsNotAllYounger(KeepOdd):
    keeps_younger = True


class LooksAtMetadata(KeepOdd):
    def keeps(self, checkpoint: Any, *, age: int, now: Any) -> bool:
        return super().keeps(checkpoint, age=age, now=now) and "loss" in checkpoint.metadata


class HasMetricsAndReadsNone(KeepOdd):
    def metrics(self) -> frozenset[str]:
        return frozenset({"loss"})


class ForgetsItsOption(KeepOdd):
    def __init__(self, rest: int = 1) -> None:
        pass


BUGS: dict[type, str] = {
    IsNotStarted: "runs_share_nothing",
    StartsTheSame: "starts_itself_or_a_rule_for_each_run",
    SharesItsBaseline: "runs_share_nothing",
    CountsQuestions: "remembers_nothing",
    TakesAQuestionForACheckpoint: "asking_twice_changes_nothing",
    Forgets: "what_it_remembers_survives_a_kill",
    RemembersObjects: "what_it_remembers_survives_a_kill",
    RecallsNothing: "what_it_remembers_survives_a_kill",
    IgnoresCheckpointsOfOthers: "answers_along_a_run",
    ChangesTheBoundary: "looks_and_changes_nothing",
    AnswersWithNumbers: "answers_at_any_boundary",
    NeedsAState: "answers_at_any_boundary",
    ListsItsMetrics: "names_its_metrics",
    HidesItsOption: "its_options_make_an_equal_one",
    ShowsItsAddress: "has_a_repr",
    KeepsTheWrongOnes: "keeps_what_it_is_said_to",
    TakesThemOut: "looks_and_changes_nothing",
    Reverses: "selects_some_of_what_it_is_given_in_order",
    MakesLines: "selects_some_of_what_it_is_given_in_order",
    ExpectsSome: "selects_some_of_what_it_is_given_in_order",
    TiresOfKeeping: "looks_and_changes_nothing",
    SaysTwoThings: "judges_one_by_one_as_it_judges_all",
    KeepsNotAllYounger: "keeps_all_younger_ones_if_it_says_so",
    LooksAtMetadata: "goes_by_metadata_only_if_it_says_so",
    HasMetricsAndReadsNone: "names_its_metrics",
    ForgetsItsOption: "its_options_make_an_equal_one",
}
SOUND = [Grows, KeepOdd, SelectsOdd]

for _kind in (*BUGS, *SOUND):
    _suite = Triggers if issubclass(_kind, Trigger) else Retentions
    globals()[f"Test{_kind.__name__}"] = type(
        f"Test{_kind.__name__}", (_suite,), {"kind": _kind, "__module__": __name__}
    )
del _suite
