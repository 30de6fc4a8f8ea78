"""Every hook that a plugin can implement, and the specs that the providing ones return.

A plugin is a small module named by an entry point of the group ``spark.graphs``. Each function in it that is marked
with ``@hookimpl`` implements the hook of its name; it declares those of the hook's arguments that it wants, in any
order.

The providing hooks are called once per process, when plugins are first needed, and are plain functions. The events
may be plain or ``async``: plain ones are called in a thread. The run waits for them one by one, ten seconds at most for
each, and what one of them raises is logged and changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

import pluggy

PROJECT: Final = "spark_graphs"
"""What pluggy calls us."""
API_VERSION: Final = 1
"""The version of the plugin contract that this release speaks; it grows when a plugin written for it would break."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Claim: TypeAlias = tuple[str, str]
"""The kind of name that a plugin claims, and the name: ``("backend", "file")``, ``("URL scheme", "s3")``."""

_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_TARGET = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSpec:
    """What all specs have in common. An invalid one fails where it is created."""

    kind: ClassVar[str]
    """What it is called in messages, for instance ``"backend"``."""
    base: ClassVar[str] = ""
    """The class that its target is a subclass of, as ``"module:Class"``; empty when any class will do."""

    name: str
    """What users write to choose it: lower case letters, digits, ``_``, ``.`` and ``-``."""
    target: str
    """The class, as ``"module:Class"``; imported on first use."""
    api_version: int = 1
    """The contract it was written for. The default is 1, whatever is installed."""
    summary: str = ""
    """One line for people who choose."""
    options: str = ""
    """A pydantic model that checks the options, as ``"module:Model"``; without one, the signature of the class does."""

    def __post_init__(self) -> None:
        self._check("name", self.name, _NAME, "lower case letters, digits, '_', '.' and '-', a letter first")
        self._check("target", self.target, _TARGET, 'written as "module:Class"')
        if self.options:
            self._check("options", self.options, _TARGET, 'written as "module:Model"')
        if not isinstance(self.api_version, int):
            raise TypeError(
                f"The api_version {self.api_version!r} of {type(self).__name__} {self.name!r} is not an integer."
            )

    def claims(self) -> frozenset[Claim]:
        """The names that no other plugin may have."""
        return frozenset({(self.kind, self.name)})

    def mismatch(self, target: type[Any]) -> str:
        """What a class contradicts of this spec; empty when it contradicts nothing."""
        return ""

    def _check(self, field: str, value: object, pattern: re.Pattern[str], allowed: str) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"The {field} {value!r} of {type(self).__name__} {self.name!r} is not {allowed}.")

    def _check_each(self, field: str, values: Iterable[str], pattern: re.Pattern[str], allowed: str) -> None:
        if isinstance(values, str):  # it would be read as a tuple of its letters
            raise TypeError(f"{field} of {type(self).__name__} {self.name!r} is a string; write ({values!r},).")
        for value in values:
            self._check(field, value, pattern, allowed)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec(PluginSpec):
    """A place where checkpoints are kept: a ``spark.graphs.checkpoint.CheckpointBackend``."""

    kind: ClassVar[str] = "backend"
    base: ClassVar[str] = "spark.graphs.checkpoint:CheckpointBackend"

    schemes: tuple[str, ...] = ()
    """The URL schemes that it answers to, for instance ``("file",)``. ``x+driver://`` goes to the owner of ``x``."""
    class_names: tuple[str, ...] = ()
    """The class names that can be imported from ``spark.graphs.checkpoint``."""

    def __post_init__(self) -> None:
        PluginSpec.__post_init__(self)  # super() does not work in a dataclass with slots before Python 3.14
        self._check_each("schemes", self.schemes, _SCHEME, "a URL scheme in lower case")
        self._check_each("class_names", self.class_names, re.compile(r"[^\W\d_]\w*"), "a public class name")

    def claims(self) -> frozenset[Claim]:
        """Its name, its URL schemes and its importable class names."""
        schemes = {("URL scheme", scheme) for scheme in self.schemes}
        class_names = {("class name", name) for name in self.class_names}
        return frozenset({(self.kind, self.name)} | schemes | class_names)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatSpec(PluginSpec):
    """A format that turns plain trees into bytes and back: a ``spark.graphs.checkpoint.storage.Format``."""

    kind: ClassVar[str] = "format"
    base: ClassVar[str] = "spark.graphs.checkpoint.storage:Format"

    safe_to_load: bool = False
    """Loading bytes from an untrusted store never runs code. The class must agree, or nothing is loaded with it."""

    def __post_init__(self) -> None:
        PluginSpec.__post_init__(self)
        if not isinstance(self.safe_to_load, bool):
            raise TypeError(f"The safe_to_load {self.safe_to_load!r} of FormatSpec {self.name!r} is not True or False.")

    def mismatch(self, target: type[Any]) -> str:
        """A different name or promise of safety: records carry those of the class, and are read by them."""
        name, is_safe = getattr(target, "name", None), target.safe_to_load
        if name != self.name:
            return f"has name = {name!r}, but its FormatSpec has name={self.name!r}"
        if is_safe is not self.safe_to_load:
            return (
                f"has safe_to_load = {is_safe!r}, but its FormatSpec has safe_to_load={self.safe_to_load!r}; nothing is "
                "loaded with it until the two agree"
            )
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializerSpec(PluginSpec):
    """An object hook, which turns objects into what can be saved: a ``spark.graphs.checkpoint.CheckpointSerializer``."""

    kind: ClassVar[str] = "serializer"
    base: ClassVar[str] = "spark.graphs.checkpoint:CheckpointSerializer"


@dataclass(frozen=True, slots=True, kw_only=True)
class TypesSpec(PluginSpec):
    """How the classes of a library are saved: a ``spark.graphs.checkpoint.Types``. In use as soon as it is installed."""

    kind: ClassVar[str] = "types"
    base: ClassVar[str] = "spark.graphs.checkpoint:Types"

    modules: tuple[str, ...] = ()
    """The top-level modules of these classes, for instance ``("numpy",)``. The target is imported when a value of one of them is
    saved or loaded."""

    def __post_init__(self) -> None:
        PluginSpec.__post_init__(self)
        self._check_each("modules", self.modules, re.compile(r"[^\W\d]\w*"), "the name of a top-level module")

    def claims(self) -> frozenset[Claim]:
        """Its name, and the modules whose classes it saves."""
        return frozenset({(self.kind, self.name)} | {("types of module", module) for module in self.modules})


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerSpec(PluginSpec):
    """A rule that says when a checkpoint is due: a ``spark.graphs.checkpoint.Trigger``."""

    kind: ClassVar[str] = "trigger"
    base: ClassVar[str] = "spark.graphs.checkpoint:Trigger"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSpec(PluginSpec):
    """A rule that says which checkpoints are kept: a ``spark.graphs.checkpoint.Retention``."""

    kind: ClassVar[str] = "retention"
    base: ClassVar[str] = "spark.graphs.checkpoint:Retention"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverSpec(PluginSpec):
    """Who is notified of checkpoints: a ``spark.graphs.checkpoint.CheckpointHandler``."""

    kind: ClassVar[str] = "observer"
    base: ClassVar[str] = "spark.graphs.checkpoint:CheckpointHandler"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecSpec(PluginSpec):
    """A transformation of payloads, such as encryption: a ``spark.graphs.checkpoint.storage.Codec``."""

    kind: ClassVar[str] = "codec"
    base: ClassVar[str] = "spark.graphs.checkpoint.storage:Codec"


PROVIDING: Final[dict[str, type[PluginSpec]]] = {
    "spark_backends": BackendSpec,
    "spark_formats": FormatSpec,
    "spark_serializers": SerializerSpec,
    "spark_types": TypesSpec,
    "spark_triggers": TriggerSpec,
    "spark_retentions": RetentionSpec,
    "spark_observers": ObserverSpec,
    "spark_codecs": CodecSpec,
}
"""The hooks that provide something, and what each returns a list of."""

EVENTS: Final = (
    "spark_checkpoint_created",
    "spark_checkpoint_restored",
    "spark_checkpoint_deleted",
    "spark_checkpoint_failed",
)
"""The hooks that are notified of something."""


@hookspec
def spark_backends() -> list[BackendSpec]:  # type: ignore[empty-body]
    """Called once per process, when plugins are first needed.

    Returns a list of ``BackendSpec``, one for each storage backend that the plugin provides.
    """


@hookspec
def spark_formats() -> list[FormatSpec]:  # type: ignore[empty-body]
    """Called once per process, when plugins are first needed.

    Returns a list of ``FormatSpec``, one for each format that the plugin provides.
    """


@hookspec
def spark_serializers() -> list[SerializerSpec]:  # type: ignore[empty-body]
    """Called once per process, when plugins are first needed.

    Returns a list of ``SerializerSpec``, one for each serializer that the plugin provides.
    """


@hookspec
def spark_types() -> list[TypesSpec]:  # type: ignore[empty-body]
    """Called once per process, when plugins are first needed.

    Returns a list of ``TypesSpec``, one for each bundle of types that the plugin provides.
    """


@hookspec
def spark_triggers() -> list[TriggerSpec]:  # type: ignore[empty-body]
    """Called once per process, when plugins are first needed.

    Returns a list of ``TriggerSpec``, one for each trigger that the plugin provides.
    """


@hookspec
def spark_retentions() -> list[RetentionSpec]:  # type: ignore[empty-body]
    """Called once per process, when plugins are first needed.

    Returns a list of ``RetentionSpec``, one for each retention rule that the plugin provides.
    """


@hookspec
def spark_observers() -> list[ObserverSpec]:  # type: ignore[empty-body]
    """Called once per process, when plugins are first needed.

    Returns a list of ``ObserverSpec``, one for each observer that the plugin provides.
    """


@hookspec
def spark_codecs() -> list[CodecSpec]:  # type: ignore[empty-body]
    """Called once per process, when plugins are first needed.

    Returns a list of ``CodecSpec``, one for each codec that the plugin provides.
    """


@hookspec
def spark_checkpoint_created(checkpoint: Any, info: Any) -> None:
    """Called after a checkpoint is durable, before retention deletes older ones.

    ``checkpoint`` is the ``GraphCheckpoint``, not to be changed; ``info`` is its ``CheckpointInfo``. What the function
    returns is ignored.
    """


@hookspec
def spark_checkpoint_restored(checkpoint: Any) -> None:
    """Called once when a run continues from a checkpoint, before its first node executes.

    ``checkpoint`` is the ``GraphCheckpoint``, not to be changed. What the function returns is ignored.
    """


@hookspec
def spark_checkpoint_deleted(checkpoint_id: str, graph_id: str) -> None:
    """Called after a checkpoint was deleted, by retention or by hand.

    What the function returns is ignored.
    """


@hookspec
def spark_checkpoint_failed(graph_id: str, error: BaseException) -> None:
    """Called when a checkpoint could not be made; ``error`` is what the run is about to raise.

    What the function returns is ignored.
    """
