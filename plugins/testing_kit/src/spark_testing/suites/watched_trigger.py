"""A trigger that notes how a run treats the one within it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from spark.graphs.checkpoint import Boundary, Trigger


@dataclass
class Log:
    """What happened to a trigger."""

    answers: list[bool] = field(default_factory=list)
    remembered: list[Any] = field(default_factory=list)
    recalled: list[Any] = field(default_factory=list)
    started: int = 0
    stopped: int = 0


class Watched(Trigger):
    """Passes everything on to another trigger."""

    def __init__(self, trigger: Trigger, log: Log) -> None:
        self._trigger = trigger
        self._log = log

    def start(self) -> Trigger:
        self._log.started += 1
        return Watched(self._trigger.start(), self._log)

    def is_due(self, boundary: Boundary) -> bool:
        self._log.answers.append(self._trigger.is_due(boundary))
        return self._log.answers[-1]

    def saved(self, boundary: Boundary) -> None:
        self._trigger.saved(boundary)

    def memory(self) -> Any:
        self._log.remembered.append(self._trigger.memory())
        return self._log.remembered[-1]

    def recall(self, memory: Any) -> None:
        self._log.recalled.append(memory)
        self._trigger.recall(memory)

    def stop(self) -> None:
        self._log.stopped += 1
        self._trigger.stop()

    def nodes(self) -> frozenset[str]:
        return self._trigger.nodes()

    def metrics(self) -> frozenset[str]:
        return self._trigger.metrics()
