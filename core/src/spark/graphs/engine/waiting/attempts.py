"""Whether a step that has failed is executed again, and when: decided between two steps, and kept in its journal."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from spark.errors import RuleError
from spark.graphs.clock import SYSTEM_CLOCK, SYSTEM_RANDOM, Clock
from spark.graphs.definition.plan import NodePlan
from spark.graphs.definition.policies import NO_POLICY, UNSET, StepPolicy
from spark.graphs.definition.step import Step
from spark.graphs.engine.outcome import Failed
from spark.graphs.state.journal import Entry
from spark.graphs.values.failures import add_note, brief, error_data
from spark.wording import raised

if TYPE_CHECKING:
    from spark.graphs.definition.retry import RetryRule

_LOG = logging.getLogger("spark.graphs")


class Attempts:
    """The attempts of the steps of one run.

    :param default: what the graph says of nodes that say nothing.
    :param records_errors: whether checkpoints may hold the messages of errors.
    """

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        random: Random = SYSTEM_RANDOM,
        *,
        default: StepPolicy = NO_POLICY,
        records_errors: bool = True,
    ) -> None:
        self._clock = clock
        self._random = random
        self._default = default
        self._records_errors = records_errors

    def next(self, step: Step, plan: NodePlan, failed: Failed, *, before: Entry | None) -> Entry | None:
        """What the step waits for until its next attempt; None when there is none.

        :param before: the entry for the attempt before this one.
        :raises RuleError: the rule of the node raised, or made no sense.
        """
        error, rule = failed.error, self._rule_of(plan)
        if rule is None or not isinstance(error, Exception):
            return None
        now, idle = self._clock.utc_now(), before.get("idle", 0.0) if before is not None else 0.0
        began = before.get("began") if before is not None else None
        start = datetime.fromisoformat(began) if began is not None else failed.began or now
        delay = self._ask(rule, error, step, seconds_since_start=max(0.0, (now - start).total_seconds()), idle_for=idle)
        if delay is None:
            return None
        _LOG.info(
            "Graph %r: attempt %d of node %r failed with %s. The next one is due in %g s.",
            step.scope.graph_id,
            step.attempt,
            step.node,
            type(error).__name__,
            delay,
            extra=step.log_fields,
        )
        return {
            **self.entry_for(step, error),
            "due": (now + timedelta(seconds=delay)).isoformat(),
            "since": now.isoformat(),
            "began": start.isoformat(),
            "idle": idle + delay,
        }

    def entry_for(self, step: Step, error: BaseException) -> dict[str, Any]:
        """What the next attempt is told of one that failed."""
        data = self.describe(step, error)
        return {"failure": data if self._records_errors else {**data, "message": "", "stack": []}}

    def describe(self, step: Step, error: BaseException) -> dict[str, Any]:
        """An error of a step as plain values."""
        return error_data(error, node=step.node, attempt=step.attempt, time=self._clock.utc_now())

    def _rule_of(self, plan: NodePlan) -> RetryRule | None:
        rule = plan.policy.retry
        if rule is UNSET:
            rule = self._default.retry
        return None if rule is UNSET else rule

    def _ask(self, rule: RetryRule, failed: Exception, step: Step, **times: float) -> float | None:
        try:
            return rule.delay_after(failed, step.attempt, self._random, **times)
        except Exception as error:
            failure = RuleError(f"The retry= of node {step.node!r} can't be followed: {raised(error)}.")
            add_note(failure, f"it was asked about attempt {step.attempt}, which raised {brief(failed)}")
            raise failure from error
