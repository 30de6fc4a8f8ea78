"""OpenTelemetry for runs.

The class is imported when it is first used: Python imports this package to find out what the plugin provides.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_observer_otel.observer import OpenTelemetryObserver as OpenTelemetryObserver

__all__ = ["OpenTelemetryObserver"]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name != "OpenTelemetryObserver":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from spark_observer_otel.observer import OpenTelemetryObserver

        globals()[name] = OpenTelemetryObserver
        return OpenTelemetryObserver
