"""What a node, or a graph for all of its nodes, says of steps: where they run, if they are retried, how long they may take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from spark.errors import GraphDefinitionError

if TYPE_CHECKING:
    from spark.graphs.definition.retry import Retry, RetryFunction, RetryRule


class Unset(Enum):
    """What stands for an option that was not given."""

    UNSET = "the graph's"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Of an option of a node: the graph's default holds."""
ExecutorOption: TypeAlias = Any
"""Where the code of nodes runs: a ``spark.graphs.executors.NodePlace``, the name of one, or ``{name: {option: value}}``."""
RetryOption: TypeAlias = "Retry | RetryFunction | Literal[False] | Unset | None"
TimeOption: TypeAlias = float | timedelta | Unset | None


class TimeLimits:
    """How long one execution of a node may take, in seconds; None for no limit.

    :param idle_timeout: how long it may give no sign of life.
    """

    __slots__ = ("idle_timeout", "timeout")

    def __init__(self, timeout: float | None, idle_timeout: float | None) -> None:
        self.timeout = timeout
        self.idle_timeout = idle_timeout


class StepPolicy:
    """The options of one node, or of a graph. Those that were not given are ``UNSET``."""

    __slots__ = ("executor", "idle_timeout", "retry", "timeout")

    def __init__(
        self,
        retry: RetryRule | Unset | None = UNSET,
        timeout: float | Unset | None = UNSET,
        idle_timeout: float | Unset | None = UNSET,
        executor: ExecutorOption = UNSET,
    ) -> None:
        self.retry = retry
        self.timeout = timeout
        self.idle_timeout = idle_timeout
        self.executor = executor
        """As it was given: names are looked up when the graph is built."""

    @classmethod
    def checked(cls, retry: Any, timeout: Any, idle_timeout: Any, executor: Any, *, where: str) -> StepPolicy:
        """The options as they were given.

        :param where: how an error names whose options they are.
        :raises GraphDefinitionError: one of them can't be used.
        """
        return cls(
            _rule(retry, where),
            _time("timeout", timeout, where),
            _time("idle_timeout", idle_timeout, where),
            executor,
        )

    @classmethod
    def of_node(cls, key: str, retry: Any, timeout: Any, idle_timeout: Any, executor: Any) -> StepPolicy:
        """The options of the node with this key.

        :raises GraphDefinitionError: one of them can't be used.
        """
        if retry is UNSET and timeout is UNSET and idle_timeout is UNSET and executor is UNSET:
            return NO_POLICY
        return cls.checked(retry, timeout, idle_timeout, executor, where=f"node {key!r}")

    @classmethod
    def of_graph(cls, retry: Any, timeout: Any, idle_timeout: Any, executor: Any) -> StepPolicy:
        """The options of a graph, for which None is as good as nothing.

        :raises GraphDefinitionError: one of them can't be used.
        """
        options = (retry, timeout, idle_timeout, executor)
        if all(option is None for option in options):
            return NO_POLICY
        given = [UNSET if option is None or option is False else option for option in options]
        return cls.checked(*given, where="a graph")

    def over(self, default: StepPolicy) -> StepPolicy:
        """These options, and where they were not given, the graph's."""
        if self is NO_POLICY:
            return default
        return StepPolicy(
            default.retry if self.retry is UNSET else self.retry,
            default.timeout if self.timeout is UNSET else self.timeout,
            default.idle_timeout if self.idle_timeout is UNSET else self.idle_timeout,
            default.executor if self.executor is UNSET else self.executor,
        )

    @property
    def time_limits(self) -> TimeLimits:
        """How long one execution may take."""
        return TimeLimits(
            None if self.timeout is UNSET else self.timeout, None if self.idle_timeout is UNSET else self.idle_timeout
        )

    @property
    def is_watched(self) -> bool:
        """Whether an execution has limits, or its rule for retries asks when it began."""
        limits, rule = self.time_limits, self.retry
        has_limits = limits.timeout is not None or limits.idle_timeout is not None
        return has_limits or (rule is not UNSET and rule is not None and rule.asks_for_time)

    def to_repeat(self) -> dict[str, Any]:
        """The arguments of ``Graph`` that give it again."""
        given = self._given()
        if given.get("retry"):
            given["retry"] = given["retry"].given
        return given

    def to_data(self) -> dict[str, Any]:
        """What checkpoints record of it: options that were not given are left out, and rules that are functions say so."""
        if self is NO_POLICY:
            return {}
        data = self._given()
        if data.get("retry"):
            data["retry"] = data["retry"].to_data() or CODE
        if data.get("executor") is not None:
            data["executor"] = _executor_data(data["executor"])
        return data

    @classmethod
    def recorded_in(cls, data: Mapping[str, Any], *, lost: list[str]) -> dict[str, Any]:
        """The options that ``to_data`` recorded, as they are given to a node or a graph.

        :param lost: what can't be made again is added to it.
        :raises GraphDefinitionError, KeyError, TypeError: ``to_data`` never gave this.
        """
        found = {name: data[name] for name in OPTIONS if name in data}
        if found.get("retry") == CODE:
            del found["retry"]
            lost.append("its retry= is a function")
        elif found.get("retry") is not None:
            from spark.graphs.definition.retry import Retry

            unknown: list[str] = []
            found["retry"] = Retry.from_data(found["retry"], lost=unknown)
            lost += [f"its retry= is for {name}, which is not loaded in this program" for name in unknown]
        if found.get("executor") == CODE:
            del found["executor"]
            lost.append("its executor= is an object of the program")
        return found

    def _given(self) -> dict[str, Any]:
        return {name: value for name in OPTIONS if (value := getattr(self, name)) is not UNSET}


OPTIONS: Final = ("retry", "timeout", "idle_timeout", "executor")
CODE: Final = "code"
"""What is recorded of a rule that is a function, and of an executor that is an object."""
NO_POLICY: Final = StepPolicy()


def _executor_data(executor: Any) -> Any:
    """What checkpoints record of where nodes run."""
    if isinstance(executor, str):
        return executor
    from spark.hooks.choices import choice_of, without_secret_options  # most graphs choose none

    if isinstance(executor, Mapping):
        return {name: without_secret_options(options) for name, options in executor.items()}
    choice = choice_of(executor)
    return CODE if choice is None else choice.to_data()


def _rule(retry: Any, where: str) -> RetryRule | Unset | None:
    if retry is UNSET or retry is None or retry is False:
        return UNSET if retry is UNSET else None
    from spark.graphs.definition.retry import retry_rule  # most programs retry nothing

    return retry_rule(retry, where=f"The retry= of {where}")


def _time(name: str, value: Any, where: str) -> float | Unset | None:
    if value is UNSET or value is None:
        return None if value is None else UNSET
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise GraphDefinitionError(
            f"The {name}= of {where} is {value!r}; give a positive number of seconds, a timedelta, or None for no limit."
        )
    return float(seconds)
