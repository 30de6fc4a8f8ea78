"""What a run keeps of its last checkpoint, so that the next one costs what changed and not what exists."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import compress
from operator import is_not
from typing import Any

from spark.graphs.checkpoint.records.chunks import ChunkedSection
from spark.graphs.checkpoint.records.formats import EncodedItems
from spark.graphs.checkpoint.serialization.writer import are_names
from spark.graphs.values.containers import Captured


class EncodingCache:
    """The encoded members of one run's last checkpoint. Only for values that are never changed once they were encoded.

    A member is taken again when its value is the very same object as last time. It holds nothing of keys that are gone.
    One cache serves one codec and one call at a time.

    :param chunked_from: bytes of a section's members from which on it is divided into parts; None for never.
    """

    def __init__(self, *, chunked_from: int | None = None) -> None:
        self.chunked_from = chunked_from
        self.owner: object = None
        """The codec whose bytes these are."""
        self.last_cost = 0
        """To put the last payload together took as long as to hash so many bytes; 0 when it could stay in pieces."""
        self.refs: dict[tuple[str, str], str] = {}
        """Section and key to the name of the blob that stands for the value."""
        self.retired: list[str] = []
        """Blobs that stood for a value in the payload before, and do so no more."""
        self._sections: dict[str, Section] = {}
        self._wholes: dict[str, tuple[object, EncodedItems | bytes]] = {}

    def claim(self, owner: object) -> None:
        """Forget everything when somebody else's bytes are in here."""
        if self.owner is not owner:
            self.owner = owner
            self.forget()

    def forget(self) -> None:
        """Encode everything anew next time."""
        for name in list(self._sections):
            self._sections.pop(name).undivide()
        self._wholes.clear()
        self.retired += self.refs.values()
        self.refs.clear()

    def refer(self, place: tuple[str, str], name: str | None) -> None:
        """Note which blob stands for the value of a section's key from now on; None for none."""
        last = self.refs.pop(place, None)
        if last is not None:
            self.retired.append(last)
        if name is not None:
            self.refs[place] = name

    def is_large(self, section: str, key: str) -> bool:
        """Whether a blob stands for the value of this key."""
        return (section, key) in self.refs

    def section(self, name: str, values: dict[str, Any], encode: Callable[[str, Any], bytes]) -> Section | None:
        """The encoded member of each key, in order; None when the keys are such that they can't be members.

        ``encode`` is called for the keys whose value is not the object that it was last time.
        """
        last = self._sections.get(name)
        if last is not None and type(values) is Captured and last.follows(values):
            last.take_changes(values, encode)
            return last
        if last is None or list(values) != last.keys:
            return self._follow(name, last, values, encode)
        last.moment = None  # should one of them fail, the members are those of no capture
        for place in compress(range(len(last.values)), map(is_not, values.values(), last.values)):
            key = last.keys[place]
            last.put(place, values[key], encode(key, values[key]))
        last.moment = values.moment if type(values) is Captured else None
        return last

    def drop(self, name: str) -> None:
        """Forget a section, which has become empty."""
        last = self._sections.pop(name, None)
        if last is not None:
            last.undivide()
        if self.refs:
            self._retire_missing(name, {})

    def whole(self, name: str, value: Any, encode: Callable[[str, Any], EncodedItems | bytes]) -> EncodedItems | bytes:
        """A section that is encoded again only when it is another object."""
        last = self._wholes.get(name)
        if last is None or last[0] is not value:
            last = self._wholes[name] = (value, encode(name, value))
        return last[1]

    def _follow(
        self, name: str, last: Section | None, values: dict[str, Any], encode: Callable[[str, Any], bytes]
    ) -> Section | None:
        self._retire_missing(name, values)
        if not are_names(values):
            if last is not None:
                self._sections.pop(name).undivide()
            return None
        known = {} if last is None else last.by_key()
        members: list[bytes] = []
        changed: list[int] = []
        for key, value in values.items():
            last_value, member = known.get(key, (known, b""))  # no state value is this dict
            if last_value is not value:
                changed.append(len(members))
                member = encode(key, value)
            members.append(member)
        new = Section(self, name, list(values), list(values.values()), EncodedItems.of(members))
        new.follow(last or new, changed)
        self._sections[name] = new
        new.moment = values.moment if type(values) is Captured else None
        return new

    def _retire_missing(self, section: str, values: dict[str, Any]) -> None:
        for place in [place for place in self.refs if place[0] == section and place[1] not in values]:
            self.refer(place, None)


class Section:
    """Keys, values and encoded members, side by side: comparing lists runs at the speed of C.

    :param cache: that it belongs to.
    """

    __slots__ = ("_parts", "_places", "keys", "members", "moment", "values")

    def __init__(
        self, cache: EncodingCache, name: str, keys: list[str], values: list[Any], members: EncodedItems
    ) -> None:
        self.keys = keys
        self.values = values
        self.members = members
        """The next change is made in here: whoever keeps them, copies them."""
        self.moment: object = None
        """Which capture the members were made from, if it was one."""
        self._parts: ChunkedSection | None = None
        if cache.chunked_from is not None:
            # Nothing of this section in it: the parts outlive it.
            self._parts = ChunkedSection(
                cache.chunked_from, is_large=partial(cache.is_large, name), retired=cache.retired
            )
        self._places: dict[str, int] = {}

    def follows(self, captured: Captured) -> bool:
        """Whether the members are those of the capture before this one, so that its list of changes is enough."""
        return self.moment is not None and (
            captured.moment is self.moment
            or (captured.before is self.moment and not captured.removed and len(captured) == len(self.keys))
        )

    def take_changes(self, captured: Captured, encode: Callable[[str, Any], bytes]) -> None:
        """Encode again what changed between the last capture and this one."""
        if captured.moment is self.moment:
            return
        if not self._places:
            self._places = {key: place for place, key in enumerate(self.keys)}
        self.moment = None  # should one of them fail, the members are those of no capture
        for key in captured.changed:
            place, value = self._places[key], captured[key]
            if value is not self.values[place]:
                self.put(place, value, encode(key, value))
        self.moment = captured.moment

    def put(self, place: int, value: Any, member: bytes) -> None:
        """Another value, and its member, in the place of one."""
        self.members.put(place, member)
        self.values[place] = value
        if self._parts is not None:
            self._parts.put(place, self.keys[place], member)

    def by_key(self) -> dict[str, tuple[Any, bytes]]:
        return dict(zip(self.keys, zip(self.values, self.members, strict=True), strict=True))

    def divided(self) -> ChunkedSection | None:
        """Its parts, if it is divided. Asked once for each checkpoint."""
        is_divided = self._parts is not None and self._parts.divide(self.keys, self.members)
        return self._parts if is_divided else None

    def follow(self, earlier: Section, changed: Iterable[int]) -> None:
        """Go on with the parts of the section as it was with other keys.

        :param changed: where it has other members.
        """
        self._parts = earlier._parts
        if self._parts is not None:
            self._parts.follow(changed)

    def undivide(self) -> None:
        """Have no parts any more."""
        if self._parts is not None:
            self._parts.forget()
