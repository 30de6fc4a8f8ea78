"""What the environment, ``spark.toml`` and ``pyproject.toml`` say about checkpoints, and where each value was said.

Only ``CheckpointConfig.load`` imports this module, because reading settings takes longer to import than the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.configuration.errors import explained
from spark.graphs.checkpoint.configuration.files import Table, tables
from spark.graphs.checkpoint.policies.retention import KeepFor, KeepLast, Retention

VARIABLE: Final = "SPARK_CHECKPOINT_URL"

_CHOICE: Final = ("url", "backend", "options")
"""What together names a store: given in one place, and taken from there as a whole."""

Text = Annotated[str, StringConstraints(min_length=1)]
Span = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RetentionSettings(BaseModel):
    """The table ``retention``: a checkpoint is kept that any of these keeps."""

    model_config = ConfigDict(extra="forbid", strict=True)

    last: PositiveInt | None = None
    days: Span | None = None
    hours: Span | None = None
    minutes: Span | None = None
    seconds: Span | None = None

    def rule(self) -> Retention | None:
        """The rule that they come to; None when none is given. The spans of time add up, as for ``KeepFor``."""
        spans = self.model_dump(exclude={"last"}, exclude_none=True)
        last = KeepLast(self.last) if self.last is not None else None
        young = KeepFor(**spans) if spans else None
        return last | young if last and young else last or young


class CheckpointSettings(BaseSettings):
    """The table ``checkpoint``: those arguments of ``CheckpointConfig`` that are plain values, and how to reach a store."""

    model_config = SettingsConfigDict(extra="forbid", strict=True)

    url: Text | None = None
    backend: Text | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    enabled: bool = True
    trigger_on_iteration: PositiveInt | None = None
    trigger_on_seconds: Annotated[PositiveFloat, Field(allow_inf_nan=False)] | None = None
    trigger_on_node: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    trigger_on_failure: bool = True
    trigger_on_start: bool = False
    trigger_on_cancel: bool = True
    cancel_grace: Span = 5.0
    record_errors: bool = True
    max_checkpoints: PositiveInt = 10
    auto_cleanup: bool = True
    retention: RetentionSettings | None = None
    handler_errors: Literal["log", "raise"] = "log"
    durability: Literal["sync", "async", "exit"] = "sync"
    max_overhead: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.05

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what it is given: the sources are merged by us, who have to know which of them gave what."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class SettingsInForce:
    """Everything that was said, checked."""

    settings: CheckpointSettings
    places: Mapping[str, str]
    """Where each setting that was given was given: ``{"url": "spark.toml:[checkpoint] url"}``."""

    @property
    def store(self) -> str | None:
        """The URL or name of the chosen store, if one was chosen."""
        return self.settings.url or self.settings.backend

    @property
    def store_place(self) -> str:
        """Where it was chosen."""
        return self.places.get("url") or self.places["backend"]

    def arguments(self) -> dict[str, Any]:
        """The arguments of ``CheckpointConfig`` that were given, but for ``backend``.

        :raises GraphDefinitionError: a rule can't be made of them; says where they were given.
        """
        given = {name: getattr(self.settings, name) for name in self.places if name not in _CHOICE}
        if self.settings.retention is not None:
            try:
                given["retention"] = self.settings.retention.rule()
            except GraphDefinitionError as error:
                raise GraphDefinitionError(f"{self.places['retention']}: {error}") from error
        return given


def settings_in_force(directory: Path, environ: Mapping[str, str]) -> SettingsInForce:
    """What applies to a program that runs in this directory, with this environment.

    :raises GraphDefinitionError: a setting is unknown, or its value of the wrong type, or a file can't be read.
    """
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for table in _sources(directory, environ):
        _check_choice(table)
        is_chosen = not places.keys().isdisjoint(_CHOICE)
        for key, value in table.values.items():
            if key not in values and not (is_chosen and key in _CHOICE):
                values[key], places[key] = value, table.place(key)
    try:
        return SettingsInForce(CheckpointSettings(**values), places)
    except ValidationError as error:
        # Not chained: its message shows the values, and they may be secrets.
        raise explained(error, places=places, model=CheckpointSettings) from None


def _sources(directory: Path, environ: Mapping[str, str]) -> Iterator[Table]:
    if environ.get(VARIABLE):
        yield Table(VARIABLE, {"url": environ[VARIABLE]}, is_variable=True)
    yield from tables(directory, CheckpointSettings)


def _check_choice(table: Table) -> None:
    if "url" in table.values and "backend" in table.values:
        raise GraphDefinitionError(
            f"{table.place('url')}: {table.place('backend')} is set, too. Give the URL of a store, or the name of a backend "
            "and its options."
        )
    if "options" in table.values and not {"url", "backend"} & table.values.keys():
        raise GraphDefinitionError(
            f"{table.place('options')}: options belong to a store; set url or backend in the same place."
        )
