"""Where the code of nodes runs: the contract of executors, and what their authors need on both sides.

Everything here is loaded on first use: a graph whose nodes run in the event loop and in threads needs none of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from spark.graphs.executors.choosing import close_executors as close_executors
    from spark.graphs.executors.contract import Executor as Executor
    from spark.graphs.executors.contract import NodePlace as NodePlace
    from spark.graphs.executors.contract import StepChannel as StepChannel
    from spark.graphs.executors.contract import StepHandle as StepHandle
    from spark.graphs.executors.contract import StepLink as StepLink
    from spark.graphs.executors.local import LoopExecutor as LoopExecutor
    from spark.graphs.executors.local import ThreadExecutor as ThreadExecutor
    from spark.graphs.executors.messages import Message as Message
    from spark.graphs.executors.messages import StepInput as StepInput
    from spark.graphs.executors.messages import StepResult as StepResult
    from spark.graphs.executors.references import NodeReference as NodeReference
    from spark.graphs.executors.values import Sent as Sent
    from spark.graphs.executors.worker import WorkerStep as WorkerStep
    from spark.graphs.executors.worker import execute_step as execute_step

_HOMES: Final = {
    "contract": ("Executor", "NodePlace", "StepChannel", "StepHandle", "StepLink"),
    "local": ("LoopExecutor", "ThreadExecutor"),
    "messages": ("Message", "StepInput", "StepResult"),
    "references": ("NodeReference",),
    "choosing": ("close_executors",),
    "values": ("Sent",),
    "worker": ("WorkerStep", "execute_step"),
}

__all__ = [
    "Executor",
    "LoopExecutor",
    "Message",
    "NodePlace",
    "NodeReference",
    "Sent",
    "StepChannel",
    "StepHandle",
    "StepInput",
    "StepLink",
    "StepResult",
    "ThreadExecutor",
    "WorkerStep",
    "close_executors",
    "execute_step",
]


if not TYPE_CHECKING:  # or a misspelt import would have a type: Any

    def __getattr__(name: str) -> Any:
        home = next((home for home, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{home}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
