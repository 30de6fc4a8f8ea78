"""The registry's answers with their types: what users and authors of plugins ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark.hooks import registry

if TYPE_CHECKING:
    from spark.graphs.checkpoint import CheckpointBackend, Trigger
    from spark.graphs.checkpoint.storage import Format


def open_backend(url_or_name: str, **options: Any) -> CheckpointBackend:
    """The backend that a URL describes, or a new one of the named class; the options go to its constructor.

    :raises PluginError: as ``backend_class`` does.
    """
    opened: CheckpointBackend = registry.open_backend(url_or_name, **options)
    return opened


def backend_class(name_or_url: str) -> type[CheckpointBackend]:
    """The class of the backend with this name or URL scheme, or the one that this URL is meant for.

    :raises PluginNotFoundError: no installed plugin provides it.
    :raises PluginConflictError: two do.
    :raises PluginBrokenError: one does, and can't be used.
    """
    return registry.backend_class(name_or_url)


def format_class(name: str) -> type[Format]:
    """The class of the format with this name; raises what ``backend_class`` raises."""
    return registry.class_of("format", name)


def trigger_class(name: str) -> type[Trigger]:
    """The class of the trigger with this name; raises what ``backend_class`` raises."""
    return registry.class_of("trigger", name)


def executor_class(name: str) -> type[Any]:
    """The class of the executor with this name; raises what ``backend_class`` raises."""
    return registry.class_of("executor", name)
