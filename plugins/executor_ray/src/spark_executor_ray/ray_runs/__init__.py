"""Whole runs on Ray: durable runs that Ray executes, and restarts elsewhere when their machine dies.

Ray is imported when one of these is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from spark_executor_ray.ray_runs.asking import cancel, drain, resume, start, stop, submit, troubles
    from spark_executor_ray.ray_runs.plan import RunOptions
    from spark_executor_ray.ray_runs.reading import list, result, status, wait

__all__ = [
    "RunOptions",
    "cancel",
    "drain",
    "list",
    "result",
    "resume",
    "start",
    "status",
    "stop",
    "submit",
    "troubles",
    "wait",
]
_HOMES: Final = {
    "RunOptions": "plan",
    **dict.fromkeys(("cancel", "drain", "resume", "start", "stop", "submit", "troubles"), "asking"),
    **dict.fromkeys(("list", "result", "status", "wait"), "reading"),
}


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value
