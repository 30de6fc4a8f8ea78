"""Of several variants of one check, one or a few run always, and the others with ``make test-thorough``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import pytest


def first_of(variants: Iterable[Any], *, always: int = 1) -> list[Any]:
    """The variants for ``parametrize``, of which all but the first ones are thorough.

    :param always: how many run always.
    """
    every = [*variants]
    return [*every[:always], *map(_thorough, every[always:])]


def one_apart(*axes: Sequence[Any]) -> list[Any]:
    """Combinations of a value of each axis. Those always run that have the first value of every axis, or of all axes but one."""
    return [
        combination
        if sum(value is not axis[0] for value, axis in zip(combination, axes, strict=True)) < 2
        else _thorough(combination)
        for combination in product(*axes)
    ]


def _thorough(variant: Any) -> Any:
    if isinstance(variant, type(pytest.param())):
        return pytest.param(*variant.values, marks=[*variant.marks, pytest.mark.thorough], id=variant.id)
    values = variant if type(variant) is tuple else (variant,)
    return pytest.param(*values, marks=pytest.mark.thorough)
