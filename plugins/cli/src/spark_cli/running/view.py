"""What a person sees of a run in progress, and of how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from spark_cli.terminal.output import Line, Span
from spark_cli.terminal.progress import meter
from spark_cli.terminal.showing import counted
from spark_cli.terminal.signs import DOT, MORE
from spark_cli.terminal.times import clock, due, length
from spark_cli.views.statuses import status_of

if TYPE_CHECKING:
    from spark.graphs import MapProgress, Progress
    from spark.graphs.events import CheckpointMade, Event, RunFinished, RunResumed, StepRetrying, StepWaiting

_MOST: Final = 5
"""So many maps, nodes, retries and waits are shown each."""
_PLURALS: Final = {"retry": "retries"}


class RunView:
    """What the events of a run have told.

    :param graph_id: the graph that runs.
    :param began: when the command began.
    """

    def __init__(self, graph_id: str, *, began: datetime) -> None:
        self._graph_id = graph_id
        self._began = began
        self._before = 0
        """Steps that were done before the run was resumed."""
        self._checkpoint: CheckpointMade | None = None
        self._checkpoints = 0
        self._pending: dict[str, StepRetrying | StepWaiting] = {}
        """What steps wait for, by step."""
        self.resumed: RunResumed | None = None
        self.finished: RunFinished | None = None

    def note(self, event: Event) -> None:
        """Something has happened."""
        match event.kind:
            case "run_resumed":
                self.resumed, self._before = event, event.iteration  # type: ignore[assignment]
            case "run_finished":
                self.finished = event  # type: ignore[assignment]
            case "checkpoint_made":
                self._checkpoint, self._checkpoints = event, self._checkpoints + 1  # type: ignore[assignment]
            case "step_retrying" | "step_waiting":
                self._pending[event.step] = event  # type: ignore[attr-defined, assignment]
            case "step_started":
                self._pending.pop(event.step, None)  # type: ignore[attr-defined]

    def lines(self, progress: Progress, *, now: datetime) -> list[Line]:
        """The view as it is now."""
        return [
            self._head(progress, now),
            *(_map_line(each) for each in progress.maps[:_MOST]),
            *_named("running", _some(_counted_names(progress.running))),
            *_named("waiting", self._waits(progress, now)),
        ]

    def line(self, progress: Progress) -> str:
        """The same in a line, for those who keep it."""
        parts = [counted(progress.iteration, "step")]
        parts += [f"{each.node} {each.done:,} of {each.total:,} items" for each in progress.maps[:_MOST]]
        if progress.running:
            parts.append(f"running {_some(_counted_names(progress.running))}")
        elif progress.last_node is not None:
            parts.append(f"last {progress.last_node}")
        parts += _counts(progress)
        if progress.checkpoint is not None:
            parts.append(f"checkpoint {progress.checkpoint}")
        return f" {DOT} ".join(parts)

    def beginning(self) -> str | None:
        """What a resumed run is told to have begun with."""
        if self.resumed is None:
            return None
        id = self.resumed.checkpoint_id
        return f"resumed{f' from {id}' if id else ''}, {counted(self._before, 'step')} done"

    def ending(self, progress: Progress | None) -> str | None:
        """How the run ended; None where it did not begin."""
        finished = self.finished
        if finished is None:
            return None
        parts = [counted(finished.iteration, "step"), _seconds(finished.seconds)]
        if self.resumed is not None:
            parts.insert(1, f"{finished.iteration - self._before:,} of them now")
        if progress is not None and progress.checkpoint is not None:
            from spark.graphs.checkpoint.storage import automatic_id

            parts.append(f"latest checkpoint {automatic_id(self._graph_id, progress.checkpoint)}")
        return f"{finished.status}: {', '.join(parts)}"

    def _waits(self, progress: Progress, now: datetime) -> str:
        """What steps wait for outside, each by itself where events have told it, and how many wait inside."""
        told = [_wait(each, now) for each in self._pending.values()]
        return ", ".join(filter(None, (_some(told), *_counts(progress, with_suspended=not told))))

    def _head(self, progress: Progress, now: datetime) -> Line:
        parts = [clock((now - self._began).total_seconds()), counted(progress.iteration, "step")]
        if self._checkpoint is not None:
            ago = length((now - self._checkpoint.time).total_seconds())
            parts.append(f"{counted(self._checkpoints, 'checkpoint')}, the last {ago} ago")
        running = status_of("running")
        return [Span(f"{running.sign} {self._graph_id}", running.style), Span(f"  {f' {DOT} '.join(parts)}")]


def _map_line(each: MapProgress) -> Line:
    counts = f"  {each.done:,} of {counted(each.total, 'item')}" + (
        f", {each.running:,} running" if each.running else ""
    )
    return [Span(f"  {each.node}  "), meter(each.done, each.total), Span(counts)]


def _counts(progress: Progress, *, with_suspended: bool = True) -> list[str]:
    """How many executions are not under way, by where they are."""
    parts = [(progress.waiting, "ready"), (progress.at_joins, "at joins")]
    texts = [f"{count:,} {where}" for count, where in parts if count]
    if progress.suspended and with_suspended:
        waits = (counted(count, kind, _PLURALS.get(kind, "")) for kind, count in progress.waits.items())
        texts.append(f"{progress.suspended:,} suspended ({', '.join(waits)})")
    return texts


def _named(name: str, text: str) -> list[Line]:
    return [[Span(f"  {name}  ", "dim"), Span(text)]] if text else []


def _some(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_MOST]) + (f", {MORE}" if len(texts) > _MOST else "")


def _counted_names(names: Sequence[str]) -> list[str]:
    """Each name once, with how often it is there."""
    return [f"{name} ({count:,})" if (count := names.count(name)) > 1 else name for name in dict.fromkeys(names)]


def _wait(event: StepRetrying | StepWaiting, now: datetime) -> str:
    what = f"attempt {event.attempt + 1}" if event.kind == "step_retrying" else " and ".join(event.waits)  # type: ignore[union-attr]
    return f"{event.node} for {what}" + (f" {due(event.due, now)}" if event.due is not None else "")


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else length(seconds)
