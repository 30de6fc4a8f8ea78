"""What a run keeps of its last checkpoint, so that the next one costs what changed and not what exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import compress
from operator import is_, is_not
from typing import Any


class FragmentCache:
    """The encoded members of one run's last checkpoint. Only for values that are never changed once they were encoded.

    A member is taken again when its value is the very same object as last time. It holds nothing of keys that are gone.
    One cache serves one codec and one call at a time.
    """

    def __init__(self) -> None:
        self.owner: object = None
        """The codec whose bytes these are."""
        self.size = 0
        """Length of the last payload, in bytes."""
        self._sections: dict[str, _Section] = {}
        self._wholes: dict[str, tuple[object, bytes]] = {}

    def claim(self, owner: object) -> None:
        """Forget everything when somebody else's bytes are in here."""
        if self.owner is not owner:
            self.owner = owner
            self._sections.clear()
            self._wholes.clear()

    def members(self, section: str, values: Mapping[str, Any], encode: Callable[[str, Any], bytes]) -> list[bytes]:
        """The encoded member of each key, in order. ``encode`` is called for those whose value is another than before."""
        last = self._sections.get(section)
        if last is None or not last.has_keys_of(values):
            last = self._sections[section] = _Section.following(last, values, encode)
        for index in compress(range(len(last.values)), map(is_not, values.values(), last.values)):
            key = last.keys[index]
            last.members[index] = encode(key, values[key])
            last.values[index] = values[key]
        return last.members

    def fresh(self, section: str, values: Mapping[str, Any]) -> list[Any]:
        """The values that ``members`` would encode now; all of them when the keys are others than before."""
        last = self._sections.get(section)
        if last is None or not last.has_keys_of(values):
            return list(values.values())
        return list(compress(values.values(), map(is_not, values.values(), last.values)))

    def has_keys(self, section: str, values: Mapping[str, Any]) -> bool:
        """Whether the section had exactly these keys last time."""
        last = self._sections.get(section)
        return last is not None and last.has_keys_of(values)

    def whole(self, name: str, value: Any, encode: Callable[[str, Any], bytes]) -> bytes:
        """The encoded member of a value that is kept as one piece."""
        last = self._wholes.get(name)
        if last is None or last[0] is not value:
            last = self._wholes[name] = (value, encode(name, value))
        return last[1]


class _Section:
    """Keys, values and encoded members, side by side: comparing lists runs at the speed of C."""

    __slots__ = ("keys", "members", "values")

    def __init__(self, keys: list[str], values: list[Any], members: list[bytes]) -> None:
        self.keys = keys
        self.values = values
        self.members = members

    @classmethod
    def following(
        cls, last: _Section | None, values: Mapping[str, Any], encode: Callable[[str, Any], bytes]
    ) -> _Section:
        known = {} if last is None else dict(zip(last.keys, zip(last.values, last.members, strict=True), strict=True))
        nothing = (known, b"")  # no state value is this dict
        members = []
        for key, value in values.items():
            last_value, member = known.get(key, nothing)
            members.append(member if last_value is value else encode(key, value))
        return cls(list(values), list(values.values()), members)

    def has_keys_of(self, values: Mapping[str, Any]) -> bool:
        return len(values) == len(self.keys) and all(map(is_, values, self.keys))
