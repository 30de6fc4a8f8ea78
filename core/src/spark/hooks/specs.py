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
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

import pluggy

from spark.wording import did_you_mean

PROJECT: Final = "spark_graphs"
"""What pluggy calls us."""
API_VERSION: Final = 1
"""The newest version of the plugin contract that this release speaks; it grows when a plugin written for it would break."""
OLDEST_API_VERSION: Final = 1
"""The oldest version that this release still speaks."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Claim: TypeAlias = tuple[str, str]
"""The kind of name that a plugin claims, and the name: ``("backend", "file")``, ``("URL scheme", "s3")``."""
T = TypeVar("T")

_PATH: Final = r"\w+(\.\w+)*:\w+(\.\w+)*"
_TEXTS: Final[dict[str, tuple[str, str]]] = {
    "name": (r"[a-z][a-z0-9_.-]*", "lower case letters, digits, '_', '.' and '-', a letter first"),
    "target": (_PATH, '"module:Class"'),
    "options": (f"({_PATH})?", '"module:Model"'),
    "summary": (r"[^\n]*", "one line of text"),
    "schemes": (r"[a-z][a-z0-9+.-]*", "URL schemes in lower case, without ://"),
    "class_names": (r"[^\W\d_]\w*", "names of public classes"),
    "modules": (r"[^\W\d]\w*", "names of top-level modules"),
}
"""What the text of each field is made of: as a regular expression, and in words."""


class _Forgiving(type):
    """Makes a spec of any arguments; ``flaw`` says what is wrong with them.

    An error in the constructor would take down the whole hook, and the right specs beside the wrong one.
    """

    def __call__(cls: type[T], *args: Any, **values: Any) -> T:
        known = {each.name for each in fields(cls) if each.init}  # type: ignore[arg-type]
        given = {"name": "", "target": "", **{key: value for key, value in values.items() if key in known}}
        spec: T = type.__call__(cls, **given)
        named = f"{cls.__name__} takes its fields by name: {cls.__name__}(name=…, target=…)." if args else ""
        unknown = [
            f"{cls.__name__} has no field {key!r}.{did_you_mean(key, known)}" for key in values if key not in known
        ]
        object.__setattr__(spec, "_damage", named or " ".join(unknown))
        return spec


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSpec(metaclass=_Forgiving):
    """What all specs have in common. One that is wrong is skipped, and named, when its plugin is loaded."""

    kind: ClassVar[str]
    """What it is called in messages, for instance ``"backend"``."""
    base: ClassVar[str]
    """The class that its target is a subclass of, as ``"module:Class"``."""

    name: str
    """What users write to choose it: lower case letters, digits, ``_``, ``.`` and ``-``."""
    target: str
    """The class, as ``"module:Class"``; imported on first use."""
    api_version: int | tuple[int, int] = 1
    """The contract it was written for, or the lowest and the highest it supports. The default is 1, whatever is installed. Fields
    that this release does not know are ignored if the highest is later than ours."""
    summary: str = ""
    """One line for people who choose."""
    options: str = ""
    """A pydantic model that checks the options, as ``"module:Model"``; without one, the signature of the class does."""
    _damage: str = field(default="", init=False, repr=False, compare=False)

    def flaw(self) -> str:
        """Why it can't be used, and what to write instead; empty when it can."""
        # First of all the version: what looks wrong may be right in a later contract, and no harm if it supports ours, too.
        if flaw := _flaw_of_version(self.api_version):
            return flaw
        is_for_later_too = _span(self.api_version)[1] > API_VERSION
        return ("" if is_for_later_too else self._damage) or next(_flaws_of_fields(self), "")

    def claims(self) -> frozenset[Claim]:
        """The names that no other plugin may have."""
        return frozenset({(self.kind, self.name)})

    def mismatch(self, target: type[Any]) -> str:
        """What a class contradicts of this spec; empty when it contradicts nothing."""
        return ""

    def _other_name(self, target: type[Any]) -> str:
        """What is wrong with the name of a class by which records call what it makes."""
        name = getattr(target, "name", None)
        return "" if name == self.name else f"has name = {name!r}, but its {type(self).__name__} has name={self.name!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec(PluginSpec):
    """A place where checkpoints are kept: a ``spark.graphs.checkpoint.CheckpointBackend``."""

    kind: ClassVar[str] = "backend"
    base: ClassVar[str] = "spark.graphs.checkpoint:CheckpointBackend"

    schemes: tuple[str, ...] = ()
    """The URL schemes that it answers to, for instance ``("file",)``. ``x+driver://`` goes to the owner of ``x``."""
    class_names: tuple[str, ...] = ()
    """The class names that can be imported from ``spark.graphs.checkpoint``."""

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

    def mismatch(self, target: type[Any]) -> str:
        """A different name or promise of safety: records carry those of the class, and are read by them."""
        if other_name := self._other_name(target):
            return other_name
        if target.safe_to_load is not self.safe_to_load:
            return (
                f"has safe_to_load = {target.safe_to_load!r}, but its FormatSpec has safe_to_load={self.safe_to_load!r}; "
                "nothing is loaded with it until the two agree"
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

    def mismatch(self, target: type[Any]) -> str:
        """A different name: records carry that of the class, and are read by it."""
        return self._other_name(target)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSpec(PluginSpec):
    """Where the code of nodes runs: a ``spark.graphs.executors.Executor``."""

    kind: ClassVar[str] = "executor"
    base: ClassVar[str] = "spark.graphs.executors:NodePlace"


PROVIDING: Final[dict[str, type[PluginSpec]]] = {
    "spark_backends": BackendSpec,
    "spark_formats": FormatSpec,
    "spark_serializers": SerializerSpec,
    "spark_types": TypesSpec,
    "spark_triggers": TriggerSpec,
    "spark_retentions": RetentionSpec,
    "spark_observers": ObserverSpec,
    "spark_codecs": CodecSpec,
    "spark_executors": ExecutorSpec,
}
"""The hooks that provide something, and what each returns a list of."""

EVENTS: Final = (
    "spark_checkpoint_created",
    "spark_checkpoint_restored",
    "spark_checkpoint_deleted",
    "spark_checkpoint_failed",
    "spark_run_event",
)
"""The hooks that are notified of something."""


@hookspec
def spark_backends() -> list[BackendSpec]:  # type: ignore[empty-body]
    """Called once, when the plugin is loaded; returns a list of ``BackendSpec``."""


@hookspec
def spark_formats() -> list[FormatSpec]:  # type: ignore[empty-body]
    """Called once, when the plugin is loaded; returns a list of ``FormatSpec``."""


@hookspec
def spark_serializers() -> list[SerializerSpec]:  # type: ignore[empty-body]
    """Called once, when the plugin is loaded; returns a list of ``SerializerSpec``."""


@hookspec
def spark_types() -> list[TypesSpec]:  # type: ignore[empty-body]
    """Called once, when the plugin is loaded; returns a list of ``TypesSpec``."""


@hookspec
def spark_triggers() -> list[TriggerSpec]:  # type: ignore[empty-body]
    """Called once, when the plugin is loaded; returns a list of ``TriggerSpec``."""


@hookspec
def spark_retentions() -> list[RetentionSpec]:  # type: ignore[empty-body]
    """Called once, when the plugin is loaded; returns a list of ``RetentionSpec``."""


@hookspec
def spark_observers() -> list[ObserverSpec]:  # type: ignore[empty-body]
    """Called once, when the plugin is loaded; returns a list of ``ObserverSpec``."""


@hookspec
def spark_codecs() -> list[CodecSpec]:  # type: ignore[empty-body]
    """Called once, when the plugin is loaded; returns a list of ``CodecSpec``."""


@hookspec
def spark_executors() -> list[ExecutorSpec]:  # type: ignore[empty-body]
    """Called once, when the plugin is loaded; returns a list of ``ExecutorSpec``."""


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


@hookspec
def spark_run_event(event: Any) -> None:
    """Called for each event of a run, in order, as ``graph.stream`` gives them; ``event`` is a ``spark.graphs.events.Event``.

    It is called beside the run, which does not wait for it. If it can't keep up, the oldest events are dropped. What the function
    returns is ignored.
    """


def _flaw_of_version(given: Any) -> str:
    if not _is_span(given):
        return f"Its api_version {given!r} is not a version: write 1, or (1, 2) for the lowest and the highest that it supports."
    lowest, highest = _span(given)
    if lowest <= API_VERSION and highest >= OLDEST_API_VERSION:
        return ""
    return (
        f"It is written for {_spoken(lowest, highest)} of the plugin API, but this spark-graphs supports "
        f"{_spoken(OLDEST_API_VERSION, API_VERSION)}. Upgrade {'spark-graphs' if lowest > API_VERSION else 'the plugin'}."
    )


def _is_span(given: Any) -> bool:
    span = _span(given)
    is_pair = isinstance(span, tuple) and len(span) == 2 and all(type(each) is int for each in span)
    return is_pair and span[0] <= span[1]


def _span(given: Any) -> Any:
    return (given, given) if isinstance(given, int) else given


def _spoken(lowest: int, highest: int) -> str:
    return f"version {highest}" if lowest == highest else f"versions {lowest} to {highest}"


def _flaws_of_fields(spec: PluginSpec) -> Iterator[str]:
    for each in fields(spec):
        value = getattr(spec, each.name)
        if each.type == "bool" and not isinstance(value, bool):
            yield f"Its {each.name} {value!r} is neither True nor False."
        if each.name not in _TEXTS:
            continue
        pattern, words = _TEXTS[each.name]
        if each.type == "str" and not _is_text(value, pattern):
            yield f"Its {each.name} {value!r} can't be used: write {words}."
        if each.type != "str" and isinstance(value, str):  # it would be read as a tuple of its letters
            yield f"Its {each.name} is a string: write ({value!r},)."
        elif each.type != "str" and not (
            isinstance(value, tuple | list) and all(_is_text(one, pattern) for one in value)
        ):
            yield f"Its {each.name} {value!r} can't be used: write a tuple of {words}."


def _is_text(value: Any, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None
