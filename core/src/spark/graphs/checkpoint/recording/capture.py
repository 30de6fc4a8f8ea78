"""What a run hands over to be saved: itself, as it stands at a boundary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

from spark.graphs.checkpoint.model import GraphCheckpoint


class Capture(ABC):
    """A graph at a boundary, by reference to committed values, which never change."""

    __slots__ = ("is_repeat", "mark", "timestamp")

    def __init__(self) -> None:
        self.timestamp: datetime | None = None
        """When it was taken, if it is saved later."""
        self.is_repeat: bool = False
        """The run ends where it began: the checkpoint that it left here the last time is superseded."""
        self.mark: int = 0
        """What those who watch the run may be told of once this is durable."""

    @property
    @abstractmethod
    def sections(self) -> dict[str, Any]:
        """What ``GraphCheckpoint`` holds, by the names of its sections: the same each time, in any thread."""

    @property
    def metadata(self) -> dict[str, Any]:
        """The section ``execution_metadata``."""
        metadata: dict[str, Any] = self.sections["execution_metadata"]
        return metadata

    @property
    def given(self) -> dict[str, Any]:
        """Of the sections what comes from users. Everything else can be saved in any case."""
        return self.sections

    def checkpoint(
        self,
        checkpoint_id: str,
        *,
        graph_id: str,
        timestamp: datetime,
        sequence: int | None = None,
        parent: int | None = None,
    ) -> GraphCheckpoint:
        """The checkpoint with this address. It shares the values.

        :param timestamp: the present, for a capture that is saved at once.
        """
        return GraphCheckpoint(
            checkpoint_id=checkpoint_id,
            graph_id=graph_id,
            timestamp=self.timestamp or timestamp,
            sequence=sequence,
            parent=parent,
            **self.sections,
        )


class CapturedSections(Capture):
    """One of which all sections are there."""

    __slots__ = ("_sections",)

    def __init__(self, sections: dict[str, Any]) -> None:
        super().__init__()
        self._sections = sections

    @property
    def sections(self) -> dict[str, Any]:
        return self._sections
