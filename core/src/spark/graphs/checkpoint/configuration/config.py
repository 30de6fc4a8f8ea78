"""How a graph is checkpointed: what the user asks for, checked at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.encoding.choosing import ENCODING
from spark.graphs.checkpoint.observers.handlers import HandlerErrors, Handlers
from spark.graphs.checkpoint.observers.observers import Observers
from spark.graphs.checkpoint.policies.metrics import checked_metric
from spark.graphs.checkpoint.policies.retention import KeepAll, KeepLast, Retention
from spark.graphs.checkpoint.policies.triggers import (
    AfterNode,
    EveryIterations,
    EverySeconds,
    Trigger,
    WithinOverhead,
)
from spark.graphs.checkpoint.storage.backend import CheckpointBackend

if TYPE_CHECKING:
    from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
    from spark.graphs.checkpoint.observers.handlers import CheckpointHandler
    from spark.graphs.checkpoint.records.codecs import Codec
    from spark.graphs.checkpoint.records.formats import Format
    from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer

FROM_CHECKPOINT: Final = "checkpoint"
"""Where the backend of a restored graph came from: its checkpoint was loaded from there."""
_SIGNAL_POLL: Final = 1.0
Durability: TypeAlias = Literal["sync", "async", "exit"]
"""When a run waits until a checkpoint is durable: at each one, when a bounded queue is full, or only at the end."""


@dataclass(slots=True, repr=False)
class CheckpointConfig:
    """Automatic checkpoints of a graph.

    A run with checkpoints always ends with a final one, whatever the triggers.

    :raises GraphDefinitionError: an argument is not valid.
    """

    enabled: bool = True
    """Whether anything is checkpointed at all."""
    backend: CheckpointBackend | str | None = None
    """Where checkpoints go: a backend, its URL or name, or None for one in memory that belongs to the graph."""
    trigger_on_iteration: int | None = None
    """A checkpoint after every this many node executions."""
    trigger_on_seconds: float | None = None
    """A checkpoint whenever this many seconds have passed, at the next boundary."""
    trigger_on_node: Sequence[str] | str | None = None
    """A checkpoint after these nodes, by key, name or class name."""
    max_checkpoints: int = 10
    """How many automatic checkpoints of a graph are kept."""
    auto_cleanup: bool = True
    """Whether older ones are deleted. Those made by hand never are."""
    handler: Handlers | None = None
    """Who is notified: a handler of your own, the name of an installed observer, ``{name: options}``, or a list of these."""
    handler_errors: HandlerErrors = "log"
    """What happens when a handler fails: ``"log"`` it and continue, or ``"raise"`` it and end the run."""
    trigger_on_failure: bool = True
    """Whether the last consistent boundary is saved when a node raises."""
    trigger: Trigger | str | Mapping[str, Any] | None = None
    """A rule, due in addition to those above: ``EveryIterations(5) & AfterNode("train")``; or by name, as ``{"every_iterations":
    {"count": 5}}``. Of several names, any; ``{"any": […]}`` and ``{"all": […]}`` combine a list."""
    retention: Retention | str | Mapping[str, Any] | None = None
    """A rule instead of ``max_checkpoints``: ``KeepLast(5) | KeepFor(days=7)``; or by name, ``{"keep_last": {"count": 5}}``."""

    durability: Durability = "sync"
    """When the run waits for the store: ``"sync"`` until each checkpoint is durable; ``"async"`` only while a bounded queue of
    them is full; ``"exit"`` only at its end."""
    trigger_on_start: bool = False
    """Whether a new run is saved, and waits for that, before its first step: even a run that is killed in it then resumes
    with the same inputs and the same ``idempotency_key``."""
    trigger_on_cancel: bool = True
    """Whether the last consistent boundary is saved when the run is cancelled: by a timeout, ``task.cancel()``, Ctrl-C, or a
    ``SystemExit`` in a node."""
    cancel_grace: float = 5.0
    """How many seconds a cancelled run may take to stop its nodes and to save; at most half of them for the nodes."""
    record_errors: bool = True
    """Whether a checkpoint says in ``execution_metadata["error"]`` why the run failed: type, message, node, attempt, time, and a
    short stack of files, lines and functions, without values."""
    max_overhead: float = 0.05
    """Without a trigger, and with a persistent backend, checkpoints are made as often as possible within this share of the
    run's time, the first after the first step; 0 makes only the last."""
    metrics: Sequence[str] | str | None = None
    """Numbers of the graph's state that each checkpoint records in its metadata, where listings, queries and rules find
    them without loading it: keys, ``"loss"``, or paths into mappings, ``"eval.loss"``. Those that ``trigger`` and
    ``retention`` use are always recorded."""
    format: Format | str | Mapping[str, Any] | None = None
    """How checkpoints are encoded as bytes: ``"json"``, the name of an installed format, ``{name: options}``. This and the
    two below are passed to a backend that is opened by its URL or name, or in memory; an object has its own."""
    serializer: CheckpointSerializer | str | Mapping[str, Any] | None = None
    """What converts your objects to values that can be saved: an object, a name, or ``{name: options}``."""
    codec: Codec | str | Mapping[str, Any] | Sequence[Codec | str | Mapping[str, Any]] | None = None
    """What transforms the bytes, for instance by encryption: an object, a name, ``{name: options}``, or a list of these."""
    signal_poll: float = _SIGNAL_POLL
    """How often, in seconds, a run that waits for a signal or an answer checks whether another process has sent one. It
    receives those of its own process at once."""
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, kw_only=True)
    """Where each value came from, by field, when ``load`` made this: ``"argument"``, ``"SPARK_CHECKPOINT_URL"``,
    ``"spark.toml:[checkpoint] url"``, ``"default"``. The backend of a restored graph came from the ``"checkpoint"``."""

    def __post_init__(self) -> None:
        _check_flags(self)
        KeepLast(self.max_checkpoints)
        if self.handler_errors not in ("log", "raise"):
            raise GraphDefinitionError(
                f"CheckpointConfig(handler_errors={self.handler_errors!r}): give 'log' or 'raise'."
            )
        if self.durability not in get_args(Durability):
            raise GraphDefinitionError(
                f"CheckpointConfig(durability={self.durability!r}): give 'sync', 'async' or 'exit'."
            )
        if not are_seconds(self.cancel_grace):
            raise GraphDefinitionError(
                f"CheckpointConfig(cancel_grace={self.cancel_grace!r}): give a positive number of seconds. To save nothing "
                "when a run is cancelled, write trigger_on_cancel=False."
            )
        if not are_seconds(self.signal_poll):
            raise GraphDefinitionError(
                f"CheckpointConfig(signal_poll={self.signal_poll!r}): give a positive number of seconds."
            )
        if self.max_overhead != 0:
            _check_overhead(self.max_overhead)
        for metric in _names(self.metrics) or ():
            checked_metric(metric, place="CheckpointConfig(metrics=…)")
        self._choose()
        self.combined_trigger()

    @classmethod
    def load(cls, **overrides: Any) -> CheckpointConfig:
        """The configuration in force: of each setting, the first that is given by an argument, by ``SPARK_CHECKPOINT_URL``, in
        ``spark.toml``, or in ``[tool.spark.checkpoint]`` of ``pyproject.toml``: the nearest upwards from the working directory.

        Nothing else reads the environment or these files: a graph without a ``checkpoint_config`` makes no checkpoints.

        :param overrides: arguments of this class.
        :raises GraphDefinitionError: a setting is unknown or wrong; says the file, the key and the nearest valid name.
        :raises PluginError: the chosen store can't be used.
        """
        from spark.graphs.checkpoint.configuration.resolve import values_in_force  # pydantic is slow to import

        known = [each.name for each in fields(cls) if each.name != "sources"]
        values, sources = values_in_force(overrides, known=known)
        return cls(**values, sources=sources)

    @classmethod
    def load_backend(cls, *, create: bool = True) -> CheckpointBackend | None:
        """The store of the configuration in force, opened to read what is in it; None if none is chosen.

        Rules and observers are ignored. A format, serializer or codec that is not installed, or can't be used, is left out
        with a ``PluginWarning``: listings need none of them, and loading a checkpoint that needs one says what to install.

        :param create: see ``open_backend``.
        :raises GraphDefinitionError: a setting is unknown or wrong; says the file, the key and the nearest valid name.
        :raises PluginError: the chosen store can't be used.
        """
        from spark.graphs.checkpoint.configuration.resolve import store_in_force  # pydantic is slow to import

        return store_in_force(create=create)

    def __repr__(self) -> str:
        from spark.graphs.checkpoint.configuration.choosing import (
            without_secrets,  # not needed by those who show nothing
        )
        from spark.hooks.redaction import redact

        shown = {
            each.name: without_secrets(getattr(self, each.name)) for each in fields(self) if each.name != "sources"
        }
        if isinstance(self.backend, str):
            shown["backend"] = redact(self.backend)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def combined_trigger(self) -> Trigger | None:
        """The one rule that all trigger arguments amount to; None when none is given."""
        rules: list[Trigger] = []
        if self.trigger_on_iteration is not None:
            rules.append(EveryIterations(self.trigger_on_iteration))
        if self.trigger_on_seconds is not None:
            rules.append(EverySeconds(self.trigger_on_seconds))
        if self.trigger_on_node:
            names = self.trigger_on_node
            # Nothing but names is refused by AfterNode itself.
            several = not isinstance(names, str) and isinstance(names, Iterable)
            rules.append(AfterNode(*names) if several else AfterNode(names))  # type: ignore[arg-type]
        if self.trigger is not None:
            rules.append(self._chosen_trigger())
        return reduce(or_, rules) if rules else None

    def open_backend(self) -> CheckpointBackend:
        """The backend that this configuration means: the object that was given, or a new one.

        :raises GraphDefinitionError: it can't be made from this.
        :raises PluginError: no plugin provides it.
        """
        if isinstance(self.backend, CheckpointBackend):
            return self.backend
        from spark.graphs.checkpoint.configuration.store import opened_store  # not needed by those who give a backend

        return opened_store(self.backend, self.encoding(), place=self._place("backend"))

    def observers(self) -> Observers:
        """Who is notified."""
        return Observers(cast("tuple[CheckpointHandler, ...]", self.handler or ()), errors=self.handler_errors)

    def record_codec(self, backend: CheckpointBackend) -> RecordCodec:
        """What writes the checkpoints of a graph with this configuration into this backend."""
        encoding = self.encoding()
        return backend.record_codec.filled_in(encoding) if encoding else backend.record_codec

    def moved_to(self, backend: CheckpointBackend | None) -> CheckpointConfig:
        """The same configuration for another backend, in which checkpoints are written as before."""
        return replace(self, backend=backend, sources={**self.sources, "backend": FROM_CHECKPOINT})

    def encoding(self) -> dict[str, Any]:
        """Of ``format``, ``serializer`` and ``codec``, those that were chosen."""
        return {name: value for name in ENCODING if (value := getattr(self, name)) is not None}

    def trigger_for(self, backend: CheckpointBackend | None) -> Trigger | None:
        """The rule that decides about checkpoints in this backend, if there is one; None if only the end is saved."""
        given = self.combined_trigger()
        if given is not None or backend is None or not backend.persistent or self.durability == "exit":
            return given
        return WithinOverhead(self.max_overhead) if self.max_overhead else None

    def combined_retention(self) -> Retention:
        """The one rule that the retention arguments amount to."""
        if not self.auto_cleanup:
            return KeepAll()
        if self.retention is None:
            return KeepLast(self.max_checkpoints)
        return self._chosen_retention()

    def _choose(self) -> None:
        """Put what was chosen by name in place of its name, all at once, so that all mistakes are reported together."""
        given = {name: value for name in _CHOSEN if (value := getattr(self, name)) is not None}
        if not given:
            return
        from spark.graphs.checkpoint.configuration.choosing import choose  # not needed by those who choose nothing

        if isinstance(self.backend, CheckpointBackend) and self.sources.get("backend") != FROM_CHECKPOINT:
            self._refuse_encoding()
        for name, value in choose(given, self._place).items():
            setattr(self, name, value)

    def _chosen_trigger(self) -> Trigger:
        """The trigger, which may have been set by name since the configuration was made."""
        if not isinstance(self.trigger, Trigger):
            self._choose()
        return cast("Trigger", self.trigger)

    def _chosen_retention(self) -> Retention:
        """The same for the retention rule."""
        if not isinstance(self.retention, Retention):
            self._choose()
        return cast("Retention", self.retention)

    def _refuse_encoding(self) -> None:
        for name in self.encoding():
            raise GraphDefinitionError(
                f"{self._place(name)}: this backend is an object, which has its {name} already. Give {name}= to its constructor, "
                "or give the backend by its URL or name."
            )

    def _place(self, name: str) -> str:
        """Where an argument was given, for messages."""
        source = self.sources.get(name, "default")
        return source if source not in ("default", "argument", FROM_CHECKPOINT) else f"CheckpointConfig({name}=…)"

    def recorded_metrics(self) -> tuple[str, ...]:
        """The metrics that checkpoints record: those asked for, and those that the rules go by."""
        names = set(_names(self.metrics) or ())
        if self.trigger is not None:
            names |= self._chosen_trigger().metrics()
        if self.retention is not None:
            names |= self._chosen_retention().metrics()
        return tuple(sorted(names))

    def to_data(self) -> dict[str, Any]:
        """What can be recorded: plain values, and rules by name and options; of handlers, their classes."""
        data = {name: getattr(self, name) for name in _PLAIN}
        data["trigger_on_node"] = _names(self.trigger_on_node)
        data["metrics"] = _names(self.metrics)
        if self.signal_poll == _SIGNAL_POLL:
            del data["signal_poll"]
        if self.trigger is not None:
            data["trigger"] = _rule_to_data(self._chosen_trigger())
        if self.retention is not None:
            data["retention"] = _rule_to_data(self._chosen_retention())
        if self.handler is not None:
            from spark.graphs.checkpoint.configuration.recorded import handlers_to_data

            data["handlers"] = handlers_to_data(cast("tuple[CheckpointHandler, ...]", self.handler))
        return data

    @classmethod
    def from_data(cls, data: Any, *, backend: CheckpointBackend | None) -> tuple[CheckpointConfig | None, list[str]]:
        """The configuration that was recorded, or None when there is none; and what of it is lost.

        A rule that can't be made again is replaced by one that keeps more.

        :raises GraphDefinitionError: no configuration can have been recorded like this, or what it says of how checkpoints are
            written can't be made again.
        :raises PluginError: a format, a serializer or a codec is not installed.
        """
        if not isinstance(data, Mapping) or backend is None:
            return None, []
        # Not needed by those who restore nothing.
        from spark.graphs.checkpoint.configuration.recorded import (
            encoding_again,
            find_own_plugins,
            handlers_again,
            rule_again,
        )
        from spark.graphs.checkpoint.policies.lookup import retention_from_data, trigger_from_data

        find_own_plugins(data)
        lost: list[str] = []
        config = cls(**{name: data[name] for name in _PLAIN if name in data})
        config.handler = handlers_again(data.get("handlers"), lost=lost) or None
        if (trigger := data.get("trigger")) is not None:
            measured: Trigger = WithinOverhead(config.max_overhead or 0.05)
            config.trigger = rule_again("trigger", trigger, trigger_from_data, instead=measured, lost=lost)
        if (retention := data.get("retention")) is not None:
            everything: Retention = KeepAll()
            config.retention = rule_again("retention", retention, retention_from_data, instead=everything, lost=lost)
        for name, value in encoding_again(data).items():
            setattr(config, name, value)
        return config.moved_to(backend), lost


_CHOSEN: Final = ("trigger", "retention", "handler", *ENCODING)
"""The arguments that may be names. Each is an object as soon as the configuration is made."""
_OBJECTS: Final = frozenset({"backend", "sources", *_CHOSEN})
_PLAIN: Final = tuple(each.name for each in fields(CheckpointConfig) if each.name not in _OBJECTS)
"""The arguments that are recorded as they are."""
_FLAGS: Final = tuple(each.name for each in fields(CheckpointConfig) if each.type == "bool")


def _rule_to_data(rule: Any) -> dict[str, Any]:
    from spark.graphs.checkpoint.policies.lookup import rule_to_data  # not needed by those who have no rule

    return rule_to_data(rule)


def _check_overhead(share: Any) -> None:
    try:
        WithinOverhead(share)
    except GraphDefinitionError:
        raise GraphDefinitionError(
            f"CheckpointConfig(max_overhead={share!r}): give the share of a run's time that checkpoints may take, up to 1; or 0 "
            "to make none on the way."
        ) from None


def are_seconds(value: object) -> bool:
    """Whether this is a positive, finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _names(names: Sequence[str] | str | None) -> list[str] | None:
    if names is None:
        return None
    return [names] if isinstance(names, str) else list(names)


def _check_flags(config: CheckpointConfig) -> None:
    for name in _FLAGS:
        value = getattr(config, name)
        if not isinstance(value, bool):
            raise GraphDefinitionError(f"CheckpointConfig({name}={value!r}): give True or False.")
