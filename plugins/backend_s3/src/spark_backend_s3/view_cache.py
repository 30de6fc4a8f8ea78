"""What this process has seen of each graph, how long ago, and what that proves."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final, TypeVar

from spark_backend_s3.names import Keys
from spark_backend_s3.objects import PAGE, Objects
from spark_backend_s3.scan import FEW, GraphScan, Trust

Value = TypeVar("Value")

_REMEMBERED: Final = 10_000


class ViewCache:
    """The views of all graphs in one store."""

    def __init__(self, objects: Objects, keys: Keys, *, trust: Trust) -> None:
        self.trust = trust
        self._objects = objects
        self._keys = keys
        self._views: OrderedDict[str, View] = OrderedDict()

    async def look(self, name: str, *, action: str, limit: int = FEW) -> GraphScan:
        """List the newest part of a graph, and remember what that proves.

        :param name: the quoted graph id.
        :param limit: how many objects one request may list.
        """
        began, scan = self.trust.clock.monotonic(), GraphScan(self._objects, self._keys, name, action=action)
        await scan.list_newest(limit=limit)
        known = self._views.get(name, View())
        if scan.highest < max(known.highest, known.deleted_up_to):
            # The highest that was ever used shows as long as its graph is known: somebody has forgotten the graph.
            known = View()
        # Looks may overlap: what an earlier one has seen, or this process has done, a later one need not have.
        known.seen_at = max(known.seen_at, began)
        known.highest = max(known.highest, scan.highest)
        known.deleted_up_to = max(known.deleted_up_to, scan.deleted_up_to)
        keep(self._views, name, known, most=_REMEMBERED)
        return scan

    def view(self, name: str) -> View:
        """What is known of a graph. Of one that was not looked at, that is nothing, and nothing that is noted there is kept."""
        return self._views.get(name) or View()

    def forget(self, name: str) -> None:
        """What was seen of a graph is no longer true: it has been forgotten, and may begin anew."""
        self._views.pop(name, None)

    def is_recent(self, name: str) -> bool:
        """Whether this process has looked at a graph within the window."""
        return 0 <= self.trust.clock.monotonic() - self.view(name).seen_at <= self.trust.window

    def proves_unused(self, name: str, sequence: int) -> bool:
        """Whether a PUT of this sequence that was just answered can't have followed another use of it.

        Nobody had used it when the look began. Whoever did since has left it in its place: it is too young to be removed.
        """
        return sequence > self.view(name).highest and self.is_recent(name)


@dataclass(slots=True)
class View:
    """What this process knows of one graph."""

    seen_at: float = float("-inf")
    """When the last look began, by the process's own clock."""
    highest: int = 0
    """No sequence above this one had been used by then, except by this process itself."""
    stored: int = 0
    """The highest sequence that this process has stored a record under, and knows it."""
    deleted_up_to: int = 0
    """None up to this one may be used any more: a marker that says so was there, or has been put there since."""
    is_tidied: bool = False
    """All of it was listed once, and what others had emptied was removed. From then on this process sees to what it empties."""
    tombstones: Tombstones = field(default_factory=lambda: Tombstones())

    def note_use(self, sequence: int) -> None:
        """Remember that this process has used a sequence. It proves nothing of what others do."""
        self.highest = max(self.highest, sequence)
        self.stored = max(self.stored, sequence)

    def note_marker(self, deleted_up_to: int) -> None:
        """Remember that a marker was written."""
        self.deleted_up_to = max(self.deleted_up_to, deleted_up_to)


class Tombstones:
    """The places of one graph that this process has emptied, until they are old enough to be removed together."""

    def __init__(self) -> None:
        self._emptied: deque[tuple[float, int]] = deque()

    def add(self, sequence: int, *, at: float) -> None:
        """Remember an emptied place.

        :param at: when the store had said that it is empty, by the process's own clock.
        """
        self._emptied.append((at, sequence))

    def take_old(self, trust: Trust) -> list[int]:
        """The sequences that may be removed, if there are enough; they are forgotten here.

        The highest of the old ones stays, for the reason that ``GraphScan.removable`` gives.
        """
        before = trust.clock.monotonic() - trust.grace
        old = [sequence for at, sequence in self._emptied if at < before][:PAGE]
        if len(old) <= trust.batch:
            return []
        taken = set(old) - {max(old)}
        self._emptied = deque(entry for entry in self._emptied if entry[1] not in taken)
        return sorted(taken)


def keep(kept: OrderedDict[str, Value], key: str, value: Value, *, most: int) -> None:
    """Keep a value, and of all only the last ``most``."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)
