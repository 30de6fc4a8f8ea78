"""What every suite of the kit has in common: its tests stand, whoever subclasses it."""

from __future__ import annotations

from typing import Any

SUITES: list[type[Conformance]] = []
"""Every subclass that was made in this process, those of the kit included."""


class Conformance:
    """A suite to subclass, whose tests can't be taken away.

    :raises TypeError: a subclass replaces or drops a test; raised when the subclass is made.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        SUITES.append(cls)
        touched = [] if is_of_the_kit(cls) else sorted(base_tests(cls) & vars(cls).keys())
        if touched:
            raise TypeError(
                f"{cls.__qualname__} redefines {', '.join(touched)}. The tests of the testing kit can't be changed or removed: "
                "they are the contract. Where trying everything costs too much, set the attributes that say how much is tried, "
                "such as hostile_ids; give tests of your own names of their own."
            )


def is_of_the_kit(cls: type) -> bool:
    """Whether the kit itself defines the class: such a suite proves nothing until somebody subclasses it."""
    return cls.__module__.split(".")[0] == "spark_testing"


def base_tests(cls: type[Conformance]) -> set[str]:
    """The names of the tests that the kit gives to a suite."""
    return {name for base in cls.__mro__ if is_of_the_kit(base) for name in vars(base) if name.startswith("test")}
