"""The trigger of one run, from its start to its end: whatever it raises becomes an error that names the rule."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Self

from spark.errors import RuleError
from spark.graphs.checkpoint.policies.boundary import Boundary
from spark.graphs.checkpoint.policies.triggers import CombinedTrigger, Trigger, memories_of, recall_each
from spark.graphs.values.snapshots import Check, snapshot
from spark.wording import raised

_LOG: Final = logging.getLogger("spark.checkpoint")


class RunTrigger:
    """Starts a trigger where a run begins, asks it, keeps what it remembers, and stops it. Used with ``with``.

    :param remembered: what triggers remembered at the checkpoint from which the run is resumed; None for a new run.
    :param check: whether a value can be saved where the checkpoints go.
    :raises RuleError: on entering: the trigger could not be started; nothing has happened yet.
    """

    def __init__(self, trigger: Trigger | None, *, remembered: Any = None, check: Check | None = None) -> None:
        self._given = trigger
        self._remembered = remembered
        self._check = check
        self._rule: Trigger | None = None
        """The trigger of this run, while the run is under way."""
        self.is_told: bool = False
        """It wants to know of checkpoints, or remembers something."""
        self._memory: Any = None
        """What it remembered last."""
        self._failure: RuleError | None = None
        """Raised on the way to a checkpoint, which is made all the same, and not heard of by the run yet."""

    def __enter__(self) -> Self:
        if self._given is not None:
            self._rule = rule = _started(self._given)
            self.is_told = _is_told(rule)
            if self._remembered is not None:
                self._recall(rule)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._rule is not None:
            self._failure = None
            self._stop()

    def __bool__(self) -> bool:
        """Whether there is a trigger at all."""
        return self._rule is not None

    def is_due(self, boundary: Boundary) -> bool:
        """Whether it says that a checkpoint is due here.

        :raises RuleError: it raised; names the very rule, where it combines several.
        """
        rule = self._rule
        if rule is None:
            return False
        try:
            return rule.is_due(boundary)
        except Exception as error:
            raise _failed(
                _guilty(rule, boundary),
                error,
                f"decide whether a checkpoint is due after iteration {boundary.iteration}, of node {boundary.node!r}, which is "
                "committed all the same",
            ) from error

    def saved(self, boundary: Boundary) -> None:
        """A checkpoint is being made here. What the trigger raises is kept for ``raise_failure``: the checkpoint comes first."""
        rule = self._rule
        if rule is not None:
            self._try(lambda: rule.saved(boundary), rule, f"note the checkpoint after iteration {boundary.iteration}")

    def memory(self) -> Any:
        """What the trigger remembers at this moment, as the checkpoint's own; None for nothing.

        Where it raises, that is kept for ``raise_failure``, and what it remembered before stands.
        """
        rule = self._rule
        if rule is not None and self.is_told:
            self._try(lambda: self._remember(rule), rule, "say what it remembers")
        return self._memory

    def raise_failure(self) -> None:
        """Raise what was kept.

        :raises RuleError: that.
        """
        if self._failure is not None:
            failure, self._failure = self._failure, None
            try:
                raise failure
            finally:
                del failure  # its traceback leads to this frame

    def _recall(self, rule: Trigger) -> None:
        try:
            recall_each([rule], self._remembered)
            self._remember(rule)
        except BaseException as error:
            self._stop()
            if isinstance(error, Exception):
                raise _not_begun(rule, error, "restore what it remembered in the checkpoint") from error
            raise

    def _remember(self, rule: Trigger) -> None:
        remembered = memories_of([rule])
        if remembered or self._memory:
            self._memory = snapshot(remembered, path="the memory of the triggers", check=self._check) or None

    def _stop(self) -> None:
        rule, self._rule = self._rule, None
        if rule is not None:
            try:
                rule.stop()
            except Exception:
                _LOG.exception("The trigger %r could not be stopped. The run ended as it would have otherwise.", rule)

    def _try(self, call: Callable[[], None], rule: Trigger, what: str) -> None:
        try:
            call()
        except Exception as error:
            if self._failure is None:
                self._failure = _failed(rule, error, f"{what}, which is made all the same")
                self._failure.__cause__ = error


NO_TRIGGER: Final = RunTrigger(None)
"""What all runs share that have none."""


def _started(trigger: Trigger) -> Trigger:
    try:
        started: Any = trigger.start()
        if started is not trigger and not isinstance(started, Trigger):
            raise TypeError(f"start() returned {started!r}, which is not a Trigger")
    except Exception as error:
        raise _not_begun(trigger, error, "start") from error
    rule: Trigger = started
    return rule


def _is_told(rule: Trigger) -> bool:
    if isinstance(rule, CombinedTrigger):
        return any(map(_is_told, rule.rules))
    kind = type(rule)
    return kind.saved is not Trigger.saved or kind.memory is not Trigger.memory


def _failed(rule: Trigger, error: Exception, what: str) -> RuleError:
    return RuleError(f"The trigger {type(rule).__qualname__} raised {raised(error)}. It had to {what}.")


def _not_begun(rule: Trigger, error: Exception, what: str) -> RuleError:
    return _failed(rule, error, f"{what}. Nothing was executed")


def _guilty(trigger: Trigger, boundary: Boundary) -> Trigger:
    for rule in trigger.rules if isinstance(trigger, CombinedTrigger) else ():
        try:
            rule.is_due(boundary)
        except Exception:
            return _guilty(rule, boundary)
    return trigger
