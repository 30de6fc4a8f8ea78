"""How the runs of one factory are run: which function makes their graphs, in which store they are, and what Ray gives them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self, TypedDict

from spark.errors import GraphDefinitionError, RunError
from spark.hooks import redact
from spark_executor_ray.checks import check_amount, check_count, check_resources


class RunOptions(TypedDict, total=False):
    """How runs are run. Those that are left out are as the supervisor was started with, or else the default."""

    max_running: int
    """At most so many runs are handed to Ray at a time (100); the others wait in the store."""
    num_cpus: float
    """CPUs that Ray reserves for each run (1). Runs that mostly wait for other services need a fraction, such as 0.1."""
    num_gpus: float
    """GPUs that Ray reserves for each run (0)."""
    resources: Mapping[str, float]
    """Resources of your own that Ray reserves for each run: ``{"licence": 1}``."""
    runtime_env: Mapping[str, Any]
    """Ray's runtime environment for everything that knows your code: ``working_dir``, ``pip``, ``env_vars`` and so on."""
    max_restarts: int
    """How often in a row a run whose process or machine died is restarted without a new checkpoint (10); -1 for no limit."""
    claim_ttl: float
    """Seconds for which a run is claimed at a time (30). A run whose machine died is taken over after at most twice as many."""
    poll: float
    """Every how many seconds the store is searched for runs that can continue (5): answered, due, left by a dead process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """All that a supervisor is made from, and all that it keeps: what became of the runs is in the store.

    :raises GraphDefinitionError: something can't be used.
    """

    target: str
    """The function that makes the graph for a graph id: ``"module:function"``."""
    url: str | None
    """Of the store. None: what the settings choose, wherever this is used."""
    prefix: str = ""
    """What the ids of these runs begin with."""
    max_running: int = 100
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    resources: Mapping[str, float] = field(default_factory=dict)
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    max_restarts: int = 10
    claim_ttl: float = 30.0
    poll: float = 5.0

    def __post_init__(self) -> None:
        module, colon, function = self.target.partition(":") if isinstance(self.target, str) else ("", "", "")
        if not (module and colon and function):
            raise GraphDefinitionError(
                f"{self.target!r} names no function; write 'module:function', for instance 'my_app:build_graph'."
            )
        check_count("ray_runs", "max_running", self.max_running)
        check_count("ray_runs", "max_restarts", self.max_restarts, least=-1)
        for name in ("num_cpus", "num_gpus"):
            check_amount("ray_runs", name, getattr(self, name))
        check_resources("ray_runs", self.resources)
        for name in ("claim_ttl", "poll"):
            check_amount("ray_runs", name, getattr(self, name), least=0.01)

    @classmethod
    def of(cls, target: str, *, url: str | None, prefix: str, options: Mapping[str, Any]) -> Self:
        """A plan with these options.

        :raises GraphDefinitionError: there is no such option, or it can't be used.
        """
        unknown = sorted(options.keys() - RunOptions.__annotations__.keys())
        if unknown:
            known = ", ".join(sorted(RunOptions.__annotations__))
            raise GraphDefinitionError(f"There is no option {unknown[0]!r}; there are {known}.")
        return cls(target=target, url=url, prefix=prefix, **options)

    @property
    def name(self) -> str:
        """What the supervisor is called: one for each store and prefix. It shows no URL, which may have a password."""
        return f"{store_name(self.url)}:{self.prefix}"

    def check_id(self, graph_id: str) -> None:
        """Whether a run of this id belongs here.

        :raises GraphDefinitionError: it does not.
        """
        if not graph_id.startswith(self.prefix):
            raise GraphDefinitionError(
                f"The graph id {graph_id!r} does not begin with prefix={self.prefix!r}, so its run would not be found again."
            )

    def check_asked(self, target: str, options: Mapping[str, Any]) -> None:
        """Whether runs are run here as somebody asks for.

        :raises RunError: they are run in another way, which says what to do.
        """
        asked = replace(self, target=target, **options)
        differing = [each.name for each in fields(self) if getattr(asked, each.name) != getattr(self, each.name)]
        if differing:
            ours = ", ".join(f"{name}={getattr(self, name)!r}" for name in differing)
            raise RunError(
                f"Runs with ids that begin with {self.prefix!r} in {redact(self.url or 'this store')} are run with {ours}. Call "
                "ray_runs.stop() first, or give other runs a prefix= or a store of their own."
            )


def store_name(url: str | None) -> str:
    """Tells stores apart, and says nothing of their URLs."""
    return hashlib.sha256((url or "settings").encode()).hexdigest()[:16]
