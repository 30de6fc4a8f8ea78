"""From a name to the class that it stands for, imported on first use and checked to be what its spec says.

What the core provides is looked up first, without a scan; only another name makes plugins load. Only names and
classes are known here: typed look-ups are beside the types, such as ``spark.graphs.checkpoint.open_backend``.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from spark.errors import PluginBrokenError, PluginConflictError, PluginError, PluginNotFoundError
from spark.hooks import discovery
from spark.hooks.missing_plugin import explain_missing, extras
from spark.hooks.plugin import PluginInfo
from spark.wording import raised

if TYPE_CHECKING:
    from pydantic import BaseModel

    from spark.hooks.specs import Claim, PluginSpec

T = TypeVar("T")


@overload
def class_of(*wanted: Claim, asked: str = "") -> type[Any]: ...
@overload
def class_of(*wanted: Claim, base: type[T], asked: str = "") -> type[T]: ...
def class_of(*wanted: Claim, base: type[Any] = object, asked: str = "") -> type[Any]:
    """The class behind the first of these claims that a plugin makes: ``class_of(("trigger", "every_seconds"), base=Trigger)``.

    :param base: what the class is a subclass of, for type checkers; the spec says it, too.
    :param asked: the URL in which the name stood, for messages.
    :raises PluginNotFoundError: no installed plugin provides it.
    :raises PluginConflictError: two do.
    :raises PluginBrokenError: one does, and can't be used.
    """
    return _import_target(*_owner(wanted, asked))


def provider_of(claim: Claim) -> PluginSpec | None:
    """The spec that makes this claim, such as ``("types of module", "numpy")``; None where no loaded plugin makes it.

    Quick enough to be asked for each value: once plugins are loaded, it is a look-up in a dict. Where two make the claim, it is
    the first of them, and ``class_of`` raises the error that names both.
    """
    owners = discovery.found().owners.get(claim)
    return owners[0][1] if owners else None


def name_of(kind: str, made_by: type, *, likely: str = "") -> str | None:
    """The name of this kind that leads to this very class; None where there is none.

    :param likely: the name that is looked up first. If it is one of the core's own, nothing is scanned.
    """
    if likely and _leads_to(kind, likely, made_by):
        return likely
    specs = [spec for plugin in discovery.plugins() for spec in plugin.specs if spec.kind == kind]
    named = [spec.name for spec in specs if spec.target.rpartition(":")[2] == made_by.__qualname__]
    return next((name for name in named if _leads_to(kind, name, made_by)), None)


def options_model_of(wanted: Claim) -> type[BaseModel] | None:
    """The model that checks the options of what makes this claim; None where the signature of the class does.

    :raises PluginError: as ``class_of`` does, and if the model can't be used.
    """
    plugin, spec = _owner((wanted,), "")
    if not spec.options:
        return None
    from pydantic import BaseModel  # slow to import, so not for those without options

    try:
        model = _imported(spec.options)
    except Exception as error:
        raise _unfit(plugin, spec, f"importing {spec.options} failed: {raised(error)}") from error
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise _unfit(plugin, spec, f"{spec.options} is not a pydantic model")
    return model


def kinds_of(name: str) -> list[str]:
    """What has this name, of all that is chosen by name: ``["trigger"]``."""
    specs = [spec for plugin in discovery.plugins() for spec in plugin.specs]
    return sorted({spec.kind for spec in specs if spec.name == name})


def class_to_import(name: str, *, module: str) -> type[Any]:
    """The class that a plugin makes importable from a module of ours; for that module's ``__getattr__``.

    :raises ImportError: the class is known but its plugin is not installed, or can't be used; says what to do.
    :raises AttributeError: no class has this name.
    """
    claim = ("class name", name)
    unknown = AttributeError(f"module {module!r} has no attribute {name!r}")
    if name.startswith("_"):  # Python itself asks for many of these; none is worth a scan
        raise unknown
    try:
        return class_of(claim)
    except PluginError as error:
        if isinstance(error, PluginNotFoundError) and claim not in extras():
            raise unknown from None
        raise ImportError(str(error), name=module) from error


def _leads_to(kind: str, name: str, made_by: type) -> bool:
    try:
        return class_of((kind, name)) is made_by
    except PluginError:
        return False


def _owner(wanted: tuple[Claim, ...], asked: str) -> tuple[PluginInfo, PluginSpec]:
    owner = _owner_in(discovery.core(), wanted) or _owner_in(discovery.found(), wanted)
    if owner is None:
        raise explain_missing(wanted, asked=asked, plugins=discovery.plugins())
    return owner


def _owner_in(found: discovery.Found, wanted: Iterable[Claim]) -> tuple[PluginInfo, PluginSpec] | None:
    for claim in wanted:
        owners = found.owners.get(claim, [])
        if len(owners) > 1:
            raise _conflict(claim, [plugin for plugin, _ in owners])
        if owners:
            return owners[0]
    return None


def _conflict(claim: Claim, plugins: list[PluginInfo]) -> PluginConflictError:
    kind, name = claim
    labels = " and the ".join(plugin.label for plugin in plugins)
    distributions = {plugin.distribution for plugin in plugins}
    loser = plugins[-1].distribution if len(distributions) > 1 else plugins[-1].name
    return PluginConflictError(
        f"The {kind} {name!r} is claimed by the {labels}. Uninstall one of them, or set SPARK_DISABLE_PLUGINS={loser} to "
        "use the other."
    )


def _import_target(plugin: PluginInfo, spec: PluginSpec) -> type[Any]:
    try:
        target = _imported(spec.target)
        flaw = _flaw(target, spec)  # whose metaclass may raise, too
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _unfit(plugin, spec, f"importing {spec.target} failed: {raised(error)}") from error
    if flaw:
        raise _unfit(plugin, spec, f"{spec.target} {flaw}")
    assert isinstance(target, type)
    return target


def _imported(path: str) -> Any:
    module_name, _, inner = path.partition(":")
    return functools.reduce(getattr, inner.split("."), importlib.import_module(module_name))


def _flaw(target: Any, spec: PluginSpec) -> str:
    """What is wrong with a class; empty when it is what the spec says."""
    if not isinstance(target, type):
        return "is not a class"
    if not issubclass(target, _imported(spec.base)):
        return f"is not a subclass of {spec.base.replace(':', '.')}"
    if missing := sorted(getattr(target, "__abstractmethods__", ())):
        return f"lacks {', '.join(missing)}"
    return spec.mismatch(target)


def _unfit(plugin: PluginInfo, spec: PluginSpec, reason: str) -> PluginBrokenError:
    return PluginBrokenError(
        f"The {spec.kind} {spec.name!r} of the {plugin.label} can't be used: {reason}. {plugin.cure}"
    )
