"""What plugin authors import, and the report on installed plugins.

Everything here is loaded on first use: ``import spark.hooks`` scans nothing, and loads no pluggy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from spark.hooks.discovery import plugins as plugins
    from spark.hooks.missing_plugin import Extra as Extra
    from spark.hooks.missing_plugin import extras as extras
    from spark.hooks.plugin import PluginInfo as PluginInfo
    from spark.hooks.redaction import is_cut_short as is_cut_short
    from spark.hooks.redaction import redact as redact
    from spark.hooks.redaction import secrets_of as secrets_of
    from spark.hooks.redaction import without_secrets as without_secrets
    from spark.hooks.registry import class_of as class_of
    from spark.hooks.specs import API_VERSION as API_VERSION
    from spark.hooks.specs import BackendSpec as BackendSpec
    from spark.hooks.specs import CodecSpec as CodecSpec
    from spark.hooks.specs import FormatSpec as FormatSpec
    from spark.hooks.specs import ObserverSpec as ObserverSpec
    from spark.hooks.specs import RetentionSpec as RetentionSpec
    from spark.hooks.specs import SerializerSpec as SerializerSpec
    from spark.hooks.specs import TriggerSpec as TriggerSpec
    from spark.hooks.specs import TypesSpec as TypesSpec
    from spark.hooks.specs import hookimpl as hookimpl

_HOMES: Final = {
    "API_VERSION": "specs",
    "Extra": "missing_plugin",
    "PluginInfo": "plugin",
    "BackendSpec": "specs",
    "CodecSpec": "specs",
    "FormatSpec": "specs",
    "ObserverSpec": "specs",
    "RetentionSpec": "specs",
    "SerializerSpec": "specs",
    "TriggerSpec": "specs",
    "TypesSpec": "specs",
    "class_of": "registry",
    "extras": "missing_plugin",
    "hookimpl": "specs",
    "is_cut_short": "redaction",
    "plugins": "discovery",
    "redact": "redaction",
    "secrets_of": "redaction",
    "without_secrets": "redaction",
}

__all__ = [
    "API_VERSION",
    "BackendSpec",
    "CodecSpec",
    "Extra",
    "FormatSpec",
    "ObserverSpec",
    "PluginInfo",
    "RetentionSpec",
    "SerializerSpec",
    "TriggerSpec",
    "TypesSpec",
    "class_of",
    "extras",
    "hookimpl",
    "is_cut_short",
    "plugins",
    "redact",
    "secrets_of",
    "without_secrets",
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
