"""What plugin authors import; plugins registered in code; and the report on all plugins.

Everything here is loaded on first use: ``import spark.hooks`` scans nothing, and loads no pluggy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from spark.hooks.discovery import plugins, rescan
    from spark.hooks.entry_points import COMMANDS, Candidate, find_candidates, reason_to_block
    from spark.hooks.missing_plugin import Extra, extras
    from spark.hooks.option import Option, options_of
    from spark.hooks.plugin import PluginInfo, Provided
    from spark.hooks.redaction import is_cut_short, redact, secrets_of, without_secrets
    from spark.hooks.registration import Registration, register, unregister
    from spark.hooks.registry import class_of, provider_of
    from spark.hooks.specs import (
        API_VERSION,
        BackendSpec,
        CodecSpec,
        ExecutorSpec,
        FormatSpec,
        ObserverSpec,
        RetentionSpec,
        SerializerSpec,
        TriggerSpec,
        TypesSpec,
        hookimpl,
    )

__all__ = [
    "API_VERSION",
    "COMMANDS",
    "BackendSpec",
    "Candidate",
    "CodecSpec",
    "ExecutorSpec",
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
    "class_of",
    "extras",
    "find_candidates",
    "hookimpl",
    "is_cut_short",
    "options_of",
    "plugins",
    "provider_of",
    "reason_to_block",
    "redact",
    "register",
    "rescan",
    "secrets_of",
    "unregister",
    "without_secrets",
]

_HOMES: Final = {
    "discovery": ("plugins", "rescan"),
    "entry_points": ("COMMANDS", "Candidate", "find_candidates", "reason_to_block"),
    "missing_plugin": ("Extra", "extras"),
    "option": ("Option", "options_of"),
    "plugin": ("PluginInfo", "Provided"),
    "redaction": ("is_cut_short", "redact", "secrets_of", "without_secrets"),
    "registry": ("class_of", "provider_of"),
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
