"""How a section of a checkpoint is treated: said once, at its field of ``GraphCheckpoint``. Everything else asks for it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final

from spark.graphs.values.item_mapping import ItemMapping

_SECTION: Final = "section"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Section:
    """A part of what a checkpoint holds: a mapping of names to values."""

    is_keyed: bool = False
    """It changes key by key: the next checkpoint of a run encodes only new values. Large values become blobs, and many small
    ones chunks."""
    is_kept: bool = False
    """It rarely changes: it is encoded again only when it is another object."""
    is_keyed_if_large: bool = False
    """As ``is_keyed`` if it is large; a small one is encoded in one piece."""
    keyed_members: tuple[str, ...] = ()
    """The names of mappings in it that change key by key. They are treated so if the run captures what changed."""
    may_be_none: bool = False
    """A checkpoint made by hand need not have it: None is the default of the field."""
    may_be_absent: bool = False
    """Records of older releases lack it, and None is not stored."""
    is_shown: bool = True
    """``spark checkpoints show`` shows it."""

    def declared(self) -> dict[str, Any]:
        """The metadata of the field of ``GraphCheckpoint`` that is this section."""
        return {_SECTION: self}

    def takes(self, values: object) -> bool:
        """Whether this can be the section."""
        return isinstance(values, dict | ItemMapping) or (values is None and self.may_be_none)


def sections_of(checkpoint: type) -> dict[str, Section]:
    """The sections that a class declares by their names, in the order in which they are stored."""
    return {
        each.name: replace(each.metadata[_SECTION], may_be_none=each.default is None)
        for each in fields(checkpoint)
        if _SECTION in each.metadata
    }
