"""The encoded members of a mapping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self


class EncodedItems(list[bytes]):
    """The members of a mapping, each as its bytes, and their total length. Made by ``of`` and changed only by ``put``."""

    __slots__ = ("size",)

    size: int
    """The total length of all members, in bytes."""

    @classmethod
    def of(cls, members: Iterable[bytes]) -> Self:
        """These members, in this order."""
        made = cls(members)
        made.size = sum(map(len, made))
        return made

    def put(self, place: int, member: bytes) -> None:
        """Put another member in the place of one."""
        self.size += len(member) - len(self[place])
        self[place] = member

    def copy(self) -> EncodedItems:
        """The same members in a list of their own."""
        made = EncodedItems(self)
        made.size = self.size
        return made
