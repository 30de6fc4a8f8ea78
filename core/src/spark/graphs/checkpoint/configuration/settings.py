"""Which settings there are: the table ``checkpoint`` of ``spark.toml``, and ``tool.spark.checkpoint`` of ``pyproject.toml``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints

Text = Annotated[str, StringConstraints(min_length=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class CheckpointSettings(BaseModel):
    """How to reach a store, and the arguments of ``CheckpointConfig``, what is chosen by its name. The defaults are there."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: Text | None = None
    backend: Text | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    enabled: bool | None = None
    trigger_on_iteration: PositiveInt | None = None
    trigger_on_seconds: Positive | None = None
    trigger_on_node: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    trigger_on_failure: bool | None = None
    trigger_on_start: bool | None = None
    trigger_on_cancel: bool | None = None
    cancel_grace: Positive | None = None
    record_errors: bool | None = None
    signal_poll: Positive | None = None
    max_checkpoints: PositiveInt | None = None
    auto_cleanup: bool | None = None
    handler_errors: Literal["log", "raise"] | None = None
    durability: Literal["sync", "async", "exit"] | None = None
    metrics: Text | list[Text] | None = None
    trigger: Any = None
    retention: Any = None
    handler: Any = None
    format: Any = None
    serializer: Any = None
    codec: Any = None
    """These are checked where objects are made of them."""
    plugins: list[Text] = Field(default_factory=list)
    max_overhead: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None

    @property
    def store(self) -> str | None:
        """The URL or name of the chosen store, if one was chosen."""
        return self.url or self.backend

    def arguments(self) -> dict[str, Any]:
        """The arguments of ``CheckpointConfig`` that are set, but for the store."""
        return {name: getattr(self, name) for name in self.model_fields_set - STORE - {"plugins"}}


STORE = frozenset({"url", "backend", "options"})
"""What together names a store: given in one place, and taken from there as a whole."""
