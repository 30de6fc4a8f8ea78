"""From a name or URL to the class that it means, imported on first use.

What the core brings is looked up first, without a scan; only another name makes plugins load. Names and classes are all that
is known here; what the classes are, ``lookups`` tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from spark.errors import PluginConflictError, PluginError, PluginNotFoundError
from spark.hooks import discovery
from spark.hooks.absence import explain_absence
from spark.hooks.plugin_info import Plugin
from spark.hooks.plugin_specs import Claim, PluginSpec
from spark.hooks.suggestions import pip_line
from spark.hooks.targets import import_target

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def open_backend(url_or_name: str, **options: Any) -> Any:
    """The backend that a URL describes, or a new one of the named class; the options go to its constructor.

    :raises PluginError: as ``backend_class`` does.
    """
    backend = backend_class(url_or_name)
    return backend.from_url(url_or_name, **options) if _scheme_of(url_or_name) else backend(**options)


def backend_class(name_or_url: str) -> type[Any]:
    """The class of the backend with this name or URL scheme, or the one that this URL is meant for.

    :raises PluginNotFoundError: no installed plugin provides it.
    :raises PluginConflictError: two do.
    :raises PluginBrokenError: one does, and can't be used.
    """
    scheme = _scheme_of(name_or_url)
    if not scheme:
        return _class_of(("backend", name_or_url), ("URL scheme", name_or_url), asked=name_or_url)
    # postgresql+asyncpg: whoever speaks postgresql knows what to do with the driver.
    return _class_of(("URL scheme", scheme), ("URL scheme", scheme.partition("+")[0]), asked=name_or_url)


def class_of(kind: str, name: str) -> type[Any]:
    """The class of the format, trigger or executor with this name; raises what ``backend_class`` raises."""
    return _class_of((kind, name))


def class_named(class_name: str) -> type[Any]:
    """The class that a plugin makes importable from ``spark.graphs.checkpoint``; for that module's ``__getattr__``.

    :raises ImportError: the class is known but its plugin is not installed, or can't be used; says what to do.
    :raises AttributeError: nobody knows a class of this name.
    """
    wanted = ("class name", class_name)
    if class_name.startswith("_"):  # Python itself asks for many of these; none is worth a scan
        raise _no_attribute(class_name)
    try:
        return _class_of(wanted)
    except PluginNotFoundError as error:
        if not pip_line([wanted]):
            raise _no_attribute(class_name) from None
        raise ImportError(str(error), name="spark.graphs.checkpoint") from error
    except PluginError as error:
        raise ImportError(str(error), name="spark.graphs.checkpoint") from error


def _class_of(*wanted: Claim, asked: str = "") -> type[Any]:
    plugin, spec = _owner_among([discovery.core()], wanted) or _owner_installed(wanted, asked)
    return import_target(plugin, spec)


def _owner_installed(wanted: tuple[Claim, ...], asked: str) -> tuple[Plugin, PluginSpec]:
    plugins = discovery.found().plugins
    owner = _owner_among([plugin for plugin in plugins if plugin.info.status == "loaded"], wanted)
    if owner is None:
        raise explain_absence(wanted, asked=asked, plugins=plugins)
    return owner


def _owner_among(plugins: Iterable[Plugin], wanted: Iterable[Claim]) -> tuple[Plugin, PluginSpec] | None:
    for claim in wanted:
        owners = [(plugin, spec) for plugin in plugins for spec in plugin.specs if claim in spec.claims()]
        if len(owners) > 1:
            raise _conflict(claim, [plugin for plugin, _ in owners])
        if owners:
            return owners[0]
    return None


def _conflict(claim: Claim, plugins: list[Plugin]) -> PluginConflictError:
    kind, name = claim
    labels = " and the ".join(plugin.info.label for plugin in plugins)
    distributions = {plugin.info.distribution for plugin in plugins}
    loser = plugins[-1].info.distribution if len(distributions) > 1 else plugins[-1].info.name
    return PluginConflictError(
        f"The {kind} {name!r} is claimed by the {labels}. Uninstall one of them, or decide with "
        f"SPARK_DISABLE_PLUGINS={loser}, which names the one not to use."
    )


def _no_attribute(class_name: str) -> AttributeError:
    return AttributeError(f"module 'spark.graphs.checkpoint' has no attribute {class_name!r}")


def _scheme_of(name_or_url: str) -> str:
    match = _SCHEME.match(name_or_url)
    return match[1].lower() if match else ""
