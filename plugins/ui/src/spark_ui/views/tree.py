"""A whole checkpoint as a tree that is opened branch by branch.

A place in it is an *address*: the positions of the children that lead there, ``"0.3.17"``. So no stored key is ever part of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spark_ui.addresses import number_of
from spark_ui.views.values import (
    PAGE,
    WINDOW,
    Child,
    Shown,
    child_at,
    children,
    shown,
    window,
)


@dataclass(frozen=True, slots=True)
class Branch:
    """One line of the tree."""

    address: str
    path: str
    """The same for people and for ``spark checkpoints show --path``: ``graph_state.orders[3]``."""
    label: str
    shown: Shown


@dataclass(frozen=True, slots=True)
class Opened:
    """A value of which some children are shown, or a part of its text."""

    branch: Branch
    children: tuple[Branch, ...] = ()
    start: int = 0
    text: str | None = None
    end: int = 0
    total: int = 0
    """Of its children, or of the characters of its text."""


def opened(root: Mapping[str, Any], address: str = "", *, start: int = 0, limit: int = PAGE) -> Opened | None:
    """The value at an address with its children, from one of them on; None when nothing is there.

    :param root: the sections of a checkpoint by their names.
    :param start: the number of the first child, or of the first character of a text.
    """
    found = _at(root, address)
    if found is None:
        return None
    path, label, value = found
    branch = Branch(address, path, label, shown(value))
    if isinstance(value, str):
        text = window(value, start)
        return Opened(branch, start=start, text=text, end=min(len(value), start + WINDOW), total=len(value))
    inside = _branches(branch, children(value, start, limit=limit), start)
    return Opened(branch, inside, start, end=start + len(inside), total=branch.shown.count)


def value_at(root: Mapping[str, Any], address: str) -> tuple[str, Any] | None:
    """The path and the value at an address; None when nothing is there."""
    found = _at(root, address)
    return (found[0], found[2]) if found is not None else None


def _at(root: Mapping[str, Any], address: str) -> tuple[str, str, Any] | None:
    """The path, the label and the value at an address."""
    path, label, value = "", "", root
    for step in address.split(".") if address else ():
        place = number_of(step)
        child = child_at(value, place) if place is not None else None
        if child is None:
            return None
        path, label, value = f"{path}{child.step}".removeprefix("."), child.label, child.value
    return path, label, value


def _branches(parent: Branch, inside: list[Child], start: int) -> tuple[Branch, ...]:
    return tuple(branch_of(parent.address, parent.path, child, place) for place, child in enumerate(inside, start))


def branch_of(address: str, path: str, child: Child, place: int) -> Branch:
    own = f"{address}.{place}" if address else str(place)
    return Branch(own, f"{path}{child.step}".removeprefix("."), child.label, shown(child.value))
