"""Watching runs: what ``graph.stream`` and ``graph.watch`` give, and what observers are told."""

from spark.graphs.events.activity import Activity
from spark.graphs.events.channel import Watching
from spark.graphs.events.kinds import (
    KINDS,
    CheckpointMade,
    Drained,
    Emitted,
    Event,
    Interrupted,
    RunFinished,
    RunResumed,
    RunStarted,
    StepCommitted,
    StepEvent,
    StepFailed,
    StepRetrying,
    StepStarted,
    StepWaiting,
    Waiting,
)
from spark.graphs.events.stream import EventStream
from spark.graphs.events.watcher import Watcher

__all__ = [
    "KINDS",
    "Activity",
    "CheckpointMade",
    "Drained",
    "Emitted",
    "Event",
    "EventStream",
    "Interrupted",
    "RunFinished",
    "RunResumed",
    "RunStarted",
    "StepCommitted",
    "StepEvent",
    "StepFailed",
    "StepRetrying",
    "StepStarted",
    "StepWaiting",
    "Waiting",
    "Watcher",
    "Watching",
]
