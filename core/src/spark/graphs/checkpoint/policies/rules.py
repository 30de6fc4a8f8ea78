"""What triggers and retention rules have in common."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar


class Rule:
    """A trigger or a retention rule. One that can be chosen by name is recorded in checkpoints, and made again from there."""

    name: ClassVar[str] = ""
    """The name that it is chosen by, if any: the core's own rules have one. Those of plugins have the name of their spec."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a method that is ``async``: nobody awaits it, and what it returns would count as yes.

        :raises TypeError: one is.
        """
        super().__init_subclass__(**options)
        for name, method in vars(cls).items():
            if inspect.iscoroutinefunction(method) and any(hasattr(parent, name) for parent in cls.__mro__[1:]):
                raise TypeError(
                    f"{cls.__qualname__}.{name} is async, but a run does not wait for its rules. Make it a plain def."
                )

    def __repr__(self) -> str:
        from spark.hooks.choices import without_secret_options  # not needed by those that say it themselves

        try:
            shown = without_secret_options(self.options())
        except Exception:  # its options can't be told
            return f"{type(self).__qualname__}(…)"
        return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

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
