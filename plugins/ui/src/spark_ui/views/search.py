"""A search of a whole checkpoint where it is stored, a limited time at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final

from spark_ui.addresses import number_of
from spark_ui.views.tree import Branch, branch_of
from spark_ui.views.values import INNER, POSITION, child_of, is_container, pairs, preview, printable

MOST_FOUND: Final = 200
"""Places that one search returns."""
LONGEST: Final = 2.0
"""Seconds."""
_AROUND: Final = 50
"""Characters of a text that are shown before and after what was found in it."""
_PIECE: Final = 1 << 20
"""Characters of a text that are searched between two looks at the clock."""
_DEEPEST: Final = 500
_OFTEN: Final = 256
"""Values that are looked at between two looks at the clock."""
_KEYS: Final = 10_000
"""Keys of which it is kept whether they match."""
_SIMPLE: Final = frozenset({int, float, bool, type(None)})
_IN_SIMPLE: Final = frozenset("0123456789.+-einfatruls no()bwhmegr,")
"""The letters of all that these are written with."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A place where a search found something."""

    branch: Branch
    where: str
    """``"key"`` or ``"value"``."""
    before: str
    match: str
    after: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found."""

    hits: tuple[Hit, ...]
    looked_at: int
    """How many values it looked at, those of the searches before it included."""
    last: str | None = None
    """The address of the last value that it looked at, after which another search continues; None when it has seen everything."""


def search(
    root: Mapping[str, Any],
    text: str,
    *,
    after: str = "",
    seen: int = 0,
    most: int = MOST_FOUND,
    seconds: float = LONGEST,
) -> Found:
    """The places of which a key or a value has this text in it, whatever the case. It takes no longer than it is given.

    :param after: the address of a value: what comes after it is searched, what is in it first.
    :param seen: how many values the searches before it have looked at.
    """
    if not text:
        return Found((), seen)
    looking, hits, before = _Search(text, monotonic() + seconds), list[Hit](), list[int]()
    for walk in _Walk.through(root, after):
        found = looking.matches(walk.keys[-1], walk.value)
        if looking.is_cut and before:  # in the midst of a long text, which the next search begins with
            return Found(tuple(hits), seen, _address(before))
        seen += 1
        hits += [Hit(walk.branch(), where, *match) for where, match in found]
        if looking.is_cut or len(hits) >= most or (seen % _OFTEN == 0 and looking.is_late()):
            return Found(tuple(hits), seen, _address(walk.places))
        before = walk.places.copy()
    return Found(tuple(hits), seen)


def _address(places: Sequence[int]) -> str:
    return ".".join(map(str, places))


class _Walk:
    """Goes through every value in there, depth first: where it stands, and what is there."""

    def __init__(self) -> None:
        self.places: list[int] = []
        self.keys: list[Any] = []
        self.value: Any = None
        self._ahead: list[Iterator[tuple[Any, Any]]] = []

    @classmethod
    def through(cls, root: Any, after: str) -> Iterator[_Walk]:
        walk = cls()
        walk._go_to(root, after)
        while walk._ahead:
            pair = next(walk._ahead[-1], None)
            if pair is None:
                for level in (walk._ahead, walk.places, walk.keys):
                    level.pop()
                continue
            walk.places[-1] += 1
            walk.keys[-1], walk.value = pair
            yield walk
            if type(walk.value) not in _SIMPLE and is_container(walk.value) and len(walk._ahead) < _DEEPEST:
                walk._enter(walk.value)

    def _go_to(self, root: Any, address: str) -> None:
        """Stand at an address; as far on the way to it as there is something."""
        self._enter(root)
        inside = root
        for step in address.split(".") if address else ():
            place = number_of(step) or 0
            rest = pairs(inside, place)
            found = next(rest, None)
            if found is None:
                break
            self._ahead[-1], self.places[-1], (self.keys[-1], inside) = rest, place, found
            self._enter(inside if is_container(inside) else ())

    def _enter(self, value: Any) -> None:
        self._ahead.append(pairs(value))
        self.places.append(-1)
        self.keys.append(None)

    def branch(self) -> Branch:
        *above, child = (child_of(key, place, None) for key, place in zip(self.keys, self.places, strict=True))
        path = "".join(each.step for each in above).removeprefix(".")
        return branch_of(_address(self.places[:-1]), path, replace(child, value=self.value), self.places[-1])


class _Search:
    def __init__(self, text: str, ends: float) -> None:
        self._wanted = text.casefold()
        self._ends = ends
        self._keys: dict[str, bool] = {}
        self._in_simple = _IN_SIMPLE.issuperset(self._wanted)
        self.is_cut = False
        """The time was over in the midst of a text."""

    def is_late(self) -> bool:
        return monotonic() > self._ends

    def matches(self, key: Any, value: Any) -> list[tuple[str, tuple[str, str, str]]]:
        """Where it is, with what stands before and after it: in the key, and in the value."""
        found = []
        if key is not POSITION and key is not INNER and self._is_in_key(key) and (match := self._found_in(_text(key))):
            found.append(("key", match))
        kind = type(value)
        is_left_out = (kind in _SIMPLE and not self._in_simple) or (kind is not str and is_container(value))
        if not is_left_out and (match := self._found_in(_text(value))):
            found.append(("value", match))
        return found

    def _is_in_key(self, key: Any) -> bool:
        if type(key) is not str:
            return True
        known = self._keys.get(key)
        if known is None:
            if len(self._keys) > _KEYS:
                self._keys.clear()
            known = self._keys[key] = self._wanted in key.casefold()
        return known

    def _found_in(self, text: str) -> tuple[str, str, str] | None:
        overlap = len(self._wanted) - 1
        for start in range(0, max(1, len(text)), _PIECE):
            piece = text[start : start + _PIECE + overlap]
            place = _place(piece, self._wanted)
            if place is not None:
                return _around(text, start + place[0], start + place[1])
            if len(text) > _PIECE and self.is_late():
                self.is_cut = True
                return None
        return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else preview(value)


def _around(text: str, first: int, last: int) -> tuple[str, str, str]:
    """What stands before the match, the match itself, and what follows."""
    before = ("…" if first > _AROUND else "") + printable(text[max(0, first - _AROUND) : first])
    after = printable(text[last : last + _AROUND]) + ("…" if last + _AROUND < len(text) else "")
    return before, printable(text[first:last]), after


def _place(text: str, wanted: str) -> tuple[int, int] | None:
    folded = text.casefold()
    place = folded.find(wanted)
    if place < 0:
        return None
    if len(folded) == len(text):
        return place, place + len(wanted)
    first = len(text[:place].casefold()) - place  # a letter such as ß became two before it
    return max(0, place - first), max(0, place - first) + len(wanted)
