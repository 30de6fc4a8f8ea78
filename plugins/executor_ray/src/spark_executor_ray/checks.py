"""Numbers that can't be used are refused where they are passed: Ray would say so much later, and of a task of its own."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from spark.errors import GraphDefinitionError


def check_count(call: str, name: str, value: Any, *, least: int = 1) -> None:
    """Whether an argument is a whole number that is large enough.

    :param call: what it was passed to.
    :raises GraphDefinitionError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise GraphDefinitionError(f"{call}({name}={value!r}): give a whole number of at least {least}.")


def check_amount(call: str, name: str, value: Any, *, least: float = 0.0) -> None:
    """The same for any number.

    :raises GraphDefinitionError: it is none, or not large enough, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < inf:
        raise GraphDefinitionError(f"{call}({name}={value!r}): give a number of at least {least:g}.")


def check_resources(call: str, resources: Any) -> None:
    """The same for ``resources=``, from names to amounts.

    :raises GraphDefinitionError: it is something else.
    """
    if not isinstance(resources, Mapping):
        raise GraphDefinitionError(f"{call}(resources={resources!r}): give names and amounts, such as {{'disk': 1}}.")
    for name, amount in resources.items():
        check_amount(call, f"resources[{name!r}]", amount)
