"""What triggers and retention rules have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self


class Rule:
    """A trigger or a retention rule. One with a name is recorded in checkpoints, and made again from there."""

    name: ClassVar[str] = ""
    """The name it is recorded under; empty for a rule that is not recorded."""

    def options(self) -> dict[str, Any]:
        """The arguments that make an equal rule, as plain values."""
        return {}

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """The rule with these options.

        :raises Exception: they are not what ``options`` gives.
        """
        return cls(**options)


class CombinedRule(Rule):
    """A rule that is made of others."""

    rules: tuple[Any, ...]
