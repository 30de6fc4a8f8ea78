"""What triggers and retention rules have in common."""

from __future__ import annotations

from typing import Any, ClassVar


class Rule:
    """A trigger or a retention rule. One that can be chosen by name is recorded in checkpoints, and made again from there."""

    name: ClassVar[str] = ""
    """The name that it is chosen by, if any: the core's own rules have one. Those of plugins have the name of their spec."""

    def options(self) -> dict[str, Any]:
        """The arguments that make an equal rule, as plain values.

        Here they are read from attributes that are called as the parameters of the constructor.

        :raises AttributeError: one of these attributes is missing, so that the rule is not recorded.
        """
        from spark.hooks.options import parameters  # not needed to make a rule

        return {name: _plain(getattr(self, name)) for name in parameters(type(self))}

    def metrics(self) -> frozenset[str]:
        """The metrics that the rule goes by, which the checkpoints of a run record then: see ``CheckpointConfig.metrics``."""
        return frozenset()


class CombinedRule(Rule):
    """A rule that is made of others."""

    rules: tuple[Any, ...]

    def metrics(self) -> frozenset[str]:
        return frozenset().union(*(rule.metrics() for rule in self.rules))


def _plain(value: Any) -> Any:
    """The collections that JSON has no word for, as lists."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value
