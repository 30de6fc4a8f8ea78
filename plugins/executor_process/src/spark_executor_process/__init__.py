"""Nodes in worker processes.

The class is imported when it is first used: Python imports this package to find out what the plugin provides.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_executor_process.executor import ProcessExecutor as ProcessExecutor

__all__ = ["ProcessExecutor"]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        if name != "ProcessExecutor":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from spark_executor_process.executor import ProcessExecutor

        globals()[name] = ProcessExecutor
        return ProcessExecutor
