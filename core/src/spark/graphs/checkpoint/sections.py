"""How a section of a checkpoint is treated: said once, at its field of ``GraphCheckpoint``. Everything else asks for it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final

from spark.errors import SerializationError
from spark.graphs.values.containers import PlainDict
from spark.graphs.values.item_mapping import Captured, ItemMapping

_SECTION: Final = "section"
_MAPPINGS: Final = frozenset({dict, PlainDict, Captured})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Section:
    """A part of what a checkpoint holds: a mapping of names to values.

    It is stored by change: what is large or grows is in chunks, of which a checkpoint writes what is new.
    """

    is_constant: bool = False
    """It does not change during a run: what is large in it is stored once, with the first checkpoint."""
    is_keyed: bool = False
    """It is encoded item by item even while it is small, because most of its values stay the same."""
    members: tuple[str, ...] = ()
    """The names of mappings in it of which the same is true when it is encoded item by item."""
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
        if type(values) in _MAPPINGS:  # as most are; whether something is a subclass takes longer to find out
            return True
        return isinstance(values, dict | ItemMapping) or (values is None and self.may_be_none)


def sections_of(checkpoint: type) -> dict[str, Section]:
    """The sections that a class declares by their names, in the order in which they are stored."""
    return {
        each.name: replace(each.metadata[_SECTION], may_be_none=each.default is None)
        for each in fields(checkpoint)
        if _SECTION in each.metadata
    }


def no_section(name: str, values: object) -> SerializationError:
    """What is in the place of a section is none."""
    return SerializationError(f"{name} is a {type(values).__name__}, not a dict. Nothing was written.", path=name)
