"""Of many variants of one check, or tries at random, one or a few run always, and the others with ``make test-rest``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any, TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., Any])

_is_thorough = False


def configure(config: pytest.Config) -> None:
    """Called before any test is imported: tries are counted, and tests marked, while they are."""
    global _is_thorough
    _is_thorough = re.search(r"(?<!not )\bthorough\b", config.getoption("markexpr")) is not None


def tries(number: int) -> int:
    """How often to try something at random that is worth so many tries: a fifth by default, all with the thorough tests."""
    return number if _is_thorough else -(-number // 5)


def in_full(test: Test) -> Test:
    """For a test that counts its tries by ``tries``: it runs by default, and once more, in full, with the thorough tests."""
    return pytest.mark.thorough(test) if _is_thorough else test


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
