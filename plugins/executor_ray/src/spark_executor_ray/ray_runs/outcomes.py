"""What processes tell one another: plain values, so that an error of anybody's arrives wherever its class is not known."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Self

import spark.errors as errors
from spark.errors import RunError, SparkError


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run left its Ray task."""

    status: str
    """As the store says, ``"completed"`` for instance; ``"elsewhere"``: another process runs it; ``"broken"``: the store says
    nothing of why."""
    error: str = ""
    """Why, in short."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error on its way to whoever asked."""

    kind: str
    """The name of its class, if it is one of ``spark.errors``."""
    text: str

    @classmethod
    def of(cls, error: Exception, *, about: str = "") -> Self:
        """The same error as plain values.

        :param about: what it is about, where the error does not say so itself.
        """
        if isinstance(error, SparkError):
            return cls(type(error).__name__, str(error))
        stack = "".join(traceback.format_exception(error)).rstrip()
        return cls("RunError", f"{about} raised {type(error).__name__}: {error}\n\nOn Ray:\n{stack}")

    def error(self) -> SparkError:
        """It again: of the same class, where that takes no more than its text."""
        try:
            kind: type[SparkError] = getattr(errors, self.kind, RunError)
            return kind(self.text)
        except TypeError:
            return RunError(self.text)


def in_short(error: BaseException) -> str:
    """``"ValueError: too long"``"""
    return f"{type(error).__name__}: {error}"
