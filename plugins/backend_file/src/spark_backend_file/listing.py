"""What the names in the folder of a graph say, on a filesystem that fsspec speaks to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from spark_backend_file.names import floor_of, sequence_of, split_alias
from spark_backend_file.temporaries import PREFIX

_MARKS: Final = ("mtime", "created", "last_modified", "LastModified", "updated", "etag", "generation", "md5Hash")
"""By which the filesystems tell that a file is another one than before."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing says of a record's file; equal as long as it is the same file."""

    type: str
    """``"file"`` for all that can be a record."""
    size: int
    """Its length in bytes."""
    marks: tuple[str, ...]
    """Whatever else tells it from a file of the same name and length."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One look into a folder."""

    records: dict[int, Entry] = field(default_factory=dict)
    """By sequence."""
    aliases: list[tuple[str, int]] = field(default_factory=list)
    """Quoted id and sequence of every id given by hand."""
    floors: list[int] = field(default_factory=list)
    """Sequences that were deleted; only the highest counts."""
    temporaries: dict[str, datetime | None] = field(default_factory=dict)
    """Names of files being written, or left by a dead writer, and when they changed if that is known."""

    @property
    def floor(self) -> int:
        """The highest sequence that was deleted, 0 for none."""
        return max(self.floors, default=0)

    def alias_names(self, sequence: int) -> Iterator[str]:
        """The names of the files that give this record an id."""
        return (f"{alias}@{found:012d}" for alias, found in self.aliases if found == sequence)


def read_listing(filesystem: Any, path: str) -> Listing | None:
    """What is in a folder; None when there is no such folder."""
    try:
        found = filesystem.ls(path, detail=True)
    except FileNotFoundError:
        return None
    listing = Listing()
    for status in found:
        _sort_in(listing, status["name"].rstrip("/").rpartition("/")[2], status)
    return listing


def _sort_in(listing: Listing, name: str, status: dict[str, Any]) -> None:
    if (sequence := sequence_of(name)) is not None:
        marks = tuple(str(status.get(key)) for key in _MARKS)
        listing.records[sequence] = Entry(status["type"], status["size"] or 0, marks)
    elif (floor := floor_of(name)) is not None:
        listing.floors.append(floor)
    elif (alias := split_alias(name)) is not None:
        listing.aliases.append(alias)
    elif name.startswith(PREFIX):
        listing.temporaries[name] = _changed(status)


def _changed(status: dict[str, Any]) -> datetime | None:
    changed = status.get("mtime")
    return datetime.fromtimestamp(changed, UTC) if isinstance(changed, int | float) else changed
