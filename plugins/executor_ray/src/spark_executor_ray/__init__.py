"""Graphs on Ray: single nodes by ``executor="ray"``, and whole runs. Ray itself is imported when something is first run there.

What is named here is imported when it is first used: Python imports this package to find out what the plugin provides.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_executor_ray.executor.ray_executor import RayExecutor as RayExecutor

__all__ = ["RayExecutor"]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name != "RayExecutor":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from spark_executor_ray.executor.ray_executor import RayExecutor

        globals()[name] = RayExecutor
        return RayExecutor
