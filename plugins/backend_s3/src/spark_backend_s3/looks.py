"""What one process has seen of each graph, how long ago, and what that proves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from spark_backend_s3.bounded import keep
from spark_backend_s3.clock import Timing
from spark_backend_s3.names import Keys
from spark_backend_s3.objects import Objects
from spark_backend_s3.survey import FEW, Survey, look_at

_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    """When the look began, by the process's own clock."""
    highest: int
    """No sequence above this one had been used by then, except by this process itself."""
    floor: int
    """A floor that was there, or has been put there since."""


class Looks:
    """The looks at all graphs of one store."""

    def __init__(self, objects: Objects, keys: Keys, *, timing: Timing) -> None:
        self._objects = objects
        self._keys = keys
        self.timing = timing
        self._looks: OrderedDict[str, _Look] = OrderedDict()
        self.when_forgotten: list[Callable[[str], None]] = []
        """Who else remembers something of graphs, to be called with a quoted id."""

    async def look(self, name: str, *, action: str, limit: int = FEW) -> Survey:
        """See the newest part of a graph, and remember what that proves."""
        at, known = self.timing.now(), max(self.highest(name), self.floor(name))
        survey = await look_at(self._objects, self._keys, name, action=action, limit=limit)
        if survey.highest < known:
            self.forget(
                name
            )  # as somebody else has done: the highest that was ever used shows as long as its graph is known
        self._note(name, _Look(at, survey.highest, survey.floor))
        return survey

    def forget(self, name: str) -> None:
        """What was seen of a graph is no longer true: it has been forgotten, and may begin anew."""
        self._looks.pop(name, None)
        for tell in self.when_forgotten:
            tell(name)

    def prove_unused(self, name: str, sequence: int) -> bool:
        """Whether a PUT of this sequence that was just answered can't have followed another use of it.

        Nobody had used it when the look began. Whoever did since has left it in its place: it is too young to be removed.
        """
        return sequence > self.highest(name) and self.is_recent(name)

    def is_recent(self, name: str) -> bool:
        """Whether this process has looked at a graph within the window."""
        return name in self._looks and 0 <= self.timing.now() - self._looks[name].at <= self.timing.window

    def note_use(self, name: str, sequence: int) -> None:
        """Remember that this process has used a sequence. It proves nothing of others."""
        if name in self._looks:
            self._note(name, _Look(0.0, sequence, 0))

    def note_floor(self, name: str, floor: int) -> None:
        """Remember that a floor was raised."""
        if name in self._looks:
            self._note(name, _Look(0.0, 0, floor))

    def highest(self, name: str) -> int:
        """The highest sequence that is known to be used."""
        return self._looks[name].highest if name in self._looks else 0

    def floor(self, name: str) -> int:
        """The highest floor that is known to be there."""
        return self._looks[name].floor if name in self._looks else 0

    def _note(self, name: str, seen: _Look) -> None:
        # Looks may overlap: what an earlier one has seen, or this process done, a later one need not have.
        known = self._looks.get(name, seen)
        both = _Look(
            at=max(known.at, seen.at),
            highest=max(known.highest, seen.highest),
            floor=max(known.floor, seen.floor),
        )
        keep(self._looks, name, both, most=_REMEMBERED)
