"""How a run ends, whatever happens to it: what still finishes, what is saved, and what is raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

OnFailure: TypeAlias = Literal["finish", "cancel"]


@dataclass(frozen=True, slots=True)
class FailureRule:
    """What happens to the nodes that are running when another one fails."""

    on_failure: OnFailure = "finish"
    """``"finish"``: they run to their end, and what they did counts; ``"cancel"``: they are stopped at once, and repeated."""
    grace: float | None = None
    """Seconds that they get to finish, or to stop; None: 600 to finish, 5 to stop."""

    def to_data(self) -> dict[str, Any]:
        """The arguments of ``Graph`` that it was made of, which is also what checkpoints record."""
        return {"on_failure": self.on_failure, "failure_grace": self.grace}

    @classmethod
    def recorded_in(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of ``Graph`` that the configuration in a checkpoint records; older releases recorded none."""
        return {name: config[name] for name in cls().to_data() if name in config}
