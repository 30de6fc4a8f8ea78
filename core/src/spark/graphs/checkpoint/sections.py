"""How each section of a checkpoint is treated: said once, where ``GraphCheckpoint`` declares it. Everything else asks here."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final

_SECTION: Final = "section"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of what a checkpoint holds: a mapping of names to values."""

    is_keyed: bool = False
    """It changes key by key: in a run's next checkpoint only the values that are new are encoded. Large values become blobs,
    and many small ones chunks."""
    is_kept: bool = False
    """It is encoded again only when it is another object."""
    is_keyed_if_large: bool = False
    """There may be large values in it, which become blobs; as long as it is small, it is encoded in one piece."""
    keyed_members: tuple[str, ...] = ()
    """Mappings in it that change key by key, as a keyed section does, where they are captured so."""
    may_be_none: bool = False
    """A checkpoint made by hand need not have it: None is the field's default."""
    may_be_absent: bool = False
    """Where it is None, it is left out of what is stored: records of older releases lack it."""
    is_shown: bool = True
    """Whoever looks at one checkpoint wants to see it."""

    def declared(self) -> dict[str, Any]:
        """The metadata of the field of ``GraphCheckpoint`` that is this section."""
        return {_SECTION: self}

    def takes(self, values: object) -> bool:
        """Whether these can be its values."""
        return isinstance(values, dict) or (values is None and self.may_be_none)


def sections_of(checkpoint: type) -> dict[str, Section]:
    """The sections that a class declares, by their names and in the order in which they are stored."""
    return {
        each.name: replace(each.metadata[_SECTION], may_be_none=each.default is None)
        for each in fields(checkpoint)
        if _SECTION in each.metadata
    }
