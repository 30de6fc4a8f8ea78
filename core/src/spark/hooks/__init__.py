"""What plugin authors import; plugins registered in code; and the report on all plugins.

Everything here is loaded on first use: ``import spark.hooks`` scans nothing, and loads no pluggy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from spark.hooks.discovery import plugins as plugins
    from spark.hooks.discovery import rescan as rescan
    from spark.hooks.missing_plugin import Extra as Extra
    from spark.hooks.missing_plugin import extras as extras
    from spark.hooks.option import Option as Option
    from spark.hooks.option import options_of as options_of
    from spark.hooks.plugin import PluginInfo as PluginInfo
    from spark.hooks.plugin import Provided as Provided
    from spark.hooks.redaction import is_cut_short as is_cut_short
    from spark.hooks.redaction import redact as redact
    from spark.hooks.redaction import secrets_of as secrets_of
    from spark.hooks.redaction import without_secrets as without_secrets
    from spark.hooks.registration import Registration as Registration
    from spark.hooks.registration import register as register
    from spark.hooks.registration import unregister as unregister
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

__all__ = [
    "API_VERSION",
    "BackendSpec",
    "CodecSpec",
    "Extra",
    "FormatSpec",
    "ObserverSpec",
    "Option",
    "PluginInfo",
    "Provided",
    "Registration",
    "RetentionSpec",
    "SerializerSpec",
    "TriggerSpec",
    "TypesSpec",
    "extras",
    "hookimpl",
    "is_cut_short",
    "options_of",
    "plugins",
    "redact",
    "register",
    "rescan",
    "secrets_of",
    "unregister",
    "without_secrets",
]

_HOMES: Final = {
    "discovery": ("plugins", "rescan"),
    "missing_plugin": ("Extra", "extras"),
    "option": ("Option", "options_of"),
    "plugin": ("PluginInfo", "Provided"),
    "redaction": ("is_cut_short", "redact", "secrets_of", "without_secrets"),
    "registration": ("Registration", "register", "unregister"),
}
"""Where names come from; all others from ``specs``, which loads pluggy."""


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = next((home for home, names in _HOMES.items() if name in names), "specs")
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{home}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
