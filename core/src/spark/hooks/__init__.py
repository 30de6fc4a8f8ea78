"""What a plugin author imports, and the report on what is installed.

Everything here is loaded on first use: ``import spark.hooks`` scans nothing, and loads no pluggy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from spark.hooks.discovery import plugins as plugins
    from spark.hooks.lookups import backend_class as backend_class
    from spark.hooks.lookups import executor_class as executor_class
    from spark.hooks.lookups import format_class as format_class
    from spark.hooks.lookups import open_backend as open_backend
    from spark.hooks.lookups import trigger_class as trigger_class
    from spark.hooks.plugin_info import PluginInfo as PluginInfo
    from spark.hooks.plugin_specs import API_VERSION as API_VERSION
    from spark.hooks.plugin_specs import BackendSpec as BackendSpec
    from spark.hooks.plugin_specs import ExecutorSpec as ExecutorSpec
    from spark.hooks.plugin_specs import SerializerSpec as SerializerSpec
    from spark.hooks.plugin_specs import TriggerSpec as TriggerSpec
    from spark.hooks.redaction import hide_secrets as hide_secrets
    from spark.hooks.redaction import is_cut_short as is_cut_short
    from spark.hooks.redaction import redact as redact
    from spark.hooks.redaction import shows_secret as shows_secret
    from spark.hooks.specs import hookimpl as hookimpl

_HOMES: Final = {
    "API_VERSION": "plugin_specs",
    "BackendSpec": "plugin_specs",
    "ExecutorSpec": "plugin_specs",
    "PluginInfo": "plugin_info",
    "SerializerSpec": "plugin_specs",
    "TriggerSpec": "plugin_specs",
    "backend_class": "lookups",
    "executor_class": "lookups",
    "format_class": "lookups",
    "hide_secrets": "redaction",
    "hookimpl": "specs",
    "is_cut_short": "redaction",
    "open_backend": "lookups",
    "plugins": "discovery",
    "redact": "redaction",
    "shows_secret": "redaction",
    "trigger_class": "lookups",
}

__all__ = [
    "API_VERSION",
    "BackendSpec",
    "ExecutorSpec",
    "PluginInfo",
    "SerializerSpec",
    "TriggerSpec",
    "backend_class",
    "executor_class",
    "format_class",
    "hide_secrets",
    "hookimpl",
    "is_cut_short",
    "open_backend",
    "plugins",
    "redact",
    "shows_secret",
    "trigger_class",
]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
