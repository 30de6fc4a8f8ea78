"""How much a load may cost, whatever is stored: it is known before anything is unpacked, parsed or compared.

What a store holds may grow when it is loaded: by compression, by several references to one large value, and by keys that
collide in a hash table. All of that is counted against one budget for each load, which grows with the bytes that are stored.
What our own writers make stays below it: they leave uncompressed what would not, and refuse colliding keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass, fields
from typing import Any, Final, NoReturn

from spark.errors import DeserializationError, GraphDefinitionError
from spark.graphs.checkpoint.records.compression import LARGEST_RATIO

SHORTAGES: Final = (MemoryError, RecursionError)
"""What this process has too little of for a load, whatever is stored."""
MEMBERS_PER_BYTE: Final = 4
"""A stored byte may stand for so many members, without asking."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What loading one checkpoint may cost beyond what its size accounts for: ``FileCheckpointBackend(…, limits=ReadLimits(…))``.

    Raise one to load what another program stored, if you trust it; no checkpoint of this library needs more than the defaults.
    What a store with lower limits writes stays within those, too.

    :raises GraphDefinitionError: one of them is no positive integer.
    """

    max_bytes: int = 64 * 2**20
    """Bytes after unpacking, beyond 200 for each byte that is stored; a value counts as often as it is referred to."""
    max_members: int = 1_000_000
    """Items of lists and members of objects, beyond 4 for each byte that is stored."""
    max_equal_hashes: int = 100
    """Items of one set, or keys of one dict, with the same hash: each is compared with all of them."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise GraphDefinitionError(f"ReadLimits: {field.name} takes a positive integer, not {value!r}.")

    @classmethod
    def of(cls, value: Any) -> ReadLimits:
        """The limits that a user gave: none, an object, or as in settings a mapping.

        :raises GraphDefinitionError: they are neither.
        """
        if value is None or isinstance(value, ReadLimits):
            return value or cls()
        known = [field.name for field in fields(cls)]
        if not isinstance(value, Mapping) or not set(value) <= set(known):
            raise GraphDefinitionError(
                f"limits= takes a ReadLimits, or a mapping of {', '.join(known)}; not {value!r}."
            )
        return cls(**value)


DEFAULT_LIMITS: Final = ReadLimits()


def for_writing(limits: ReadLimits) -> ReadLimits:
    """What a writer stays within, so that it can read what it wrote itself, and so can everybody else."""
    return ReadLimits(**{field.name: min(getattr(limits, field.name), field.default) for field in fields(ReadLimits)})


class Budget:
    """What one load may still take.

    :param what: the checkpoint that is loaded, for messages.
    """

    def __init__(self, limits: ReadLimits, what: str) -> None:
        self._what = what
        self._bytes = limits.max_bytes
        self._members = limits.max_members

    def stored(self, size: int) -> None:
        """So many bytes are stored."""
        self._bytes += LARGEST_RATIO * size
        self._members += MEMBERS_PER_BYTE * size

    def take(self, *, size: int = 0, members: int = 0) -> None:
        """So much is about to be made of them.

        :raises DeserializationError: that is too much.
        """
        self._bytes -= size
        self._members -= members
        if self._bytes < 0:
            self._refuse("unpacks to more bytes", "max_bytes")
        if self._members < 0:
            self._refuse("holds more values", "max_members")

    def _refuse(self, how: str, limit: str) -> NoReturn:
        raise DeserializationError(
            f"{self._what} {how} than this library would write in so little space. If you trust its writer, raise the "
            f"backend's limit: limits=ReadLimits({limit}=…)."
        )


def most_members(raw: bytes, count: Callable[[bytes], int], *, stored: int) -> int:
    """How many values are made of some bytes at most, counted only where so many bytes that are stored may not stand for them.

    :param count: that of their format.
    """
    return len(raw) if len(raw) <= MEMBERS_PER_BYTE * stored else count(raw)


class Inflation:
    """What the compressed values of a writer's current record add up to, so that what it writes stays within the limits."""

    def __init__(self, limits: ReadLimits) -> None:
        self._limits = limits
        self._values: dict[str, tuple[int, int]] = {}

    def admits(self, name: str, *, size: int, raw_size: int, members: int) -> bool:
        """Whether there is room for one more; then it counts until it is forgotten."""
        extra = _extra(size, raw_size, members)
        if not any(extra):
            return True
        sums = [sum(column) for column in zip(extra, *self._values.values(), strict=True)]
        # The payload, which is packed last, has the other half.
        if sums[0] > self._limits.max_bytes // 2 or sums[1] > self._limits.max_members // 2:
            return False
        self._values[name] = extra
        return True

    def count(self, name: str, *, size: int, raw_size: int, members: int) -> None:
        """One that is stored already counts, too."""
        extra = _extra(size, raw_size, members)
        if any(extra):
            self._values[name] = extra

    def forget(self, names: Iterable[str]) -> None:
        """These are no longer referred to."""
        if self._values:
            for name in names:
                self._values.pop(name, None)


def shortage(error: BaseException) -> str:
    """What to do where loading ended in one of ``SHORTAGES``: that says nothing about what is stored."""
    if isinstance(error, RecursionError):
        return "Python's stack is nearly used up; load from a less deeply nested call."
    return "there is not enough memory for it; load it where there is more. What is stored may well be intact."


def _extra(size: int, raw_size: int, members: int) -> tuple[int, int]:
    """The bytes and members beyond what the stored size stands for."""
    return max(0, raw_size - LARGEST_RATIO * size), max(0, members - MEMBERS_PER_BYTE * size)


def collides(keys: Iterable[Any], most: int) -> bool:
    """Whether more keys than that have one hash.

    :raises TypeError: one of them can't be hashed.
    """
    if isinstance(keys, Sized) and len(keys) <= most:
        return False
    return max(Counter(map(hash, keys)).values(), default=0) > most
