"""Nodes that worker processes import."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from spark.graphs import Node, NodeContext


class Pid(Node):
    """The process that executes it."""

    def process(self) -> int:
        return os.getpid()


class Ends(Node):
    """Ends its worker in the way that it is made with."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def process(self) -> Any:
        if self.how == "exit":
            os._exit(7)
        if self.how == "crash":
            ctypes.string_at(0)
        if self.how == "close":
            os.closerange(3, 100)
        if self.how == "write":
            for number in range(3, 100):
                with suppress(OSError):
                    if stat.S_ISSOCK(os.fstat(number).st_mode):
                        os.write(number, b"a line of text\n")
        if self.how == "fork":
            if os.fork() == 0:
                return "of the fork"
            os.wait()
        return "done"


class Allocates(Node):
    """Takes this much memory for a moment."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def process(self) -> int:
        return len(bytearray(self.size))


class Arrays(Node):
    """Changes the array that it is given, and returns it with another."""

    def process(self, context: NodeContext) -> Any:
        given = context.inputs["array"]
        given += 1
        return {"array": given, "more": np.arange(context.inputs["more"])}


class Keeps(Node):
    """Returns what it kept of its input of before."""

    kept: Any = None

    def process(self, context: NodeContext) -> Any:
        before, Keeps.kept = Keeps.kept, context.inputs["array"]
        return {"before": None if before is None else int(before.sum())}


class Split(Node):
    """The start of a map."""

    async def process(self, context: NodeContext) -> Any:
        return context.inputs


class Counts(Node):
    """Puts what it is given into the state."""

    async def process(self, context: NodeContext) -> Any:
        await context.graph_state.append("seen", context.inputs)
        time.sleep(0.005)  # noqa: ASYNC251 - as work does
        return context.inputs


class LeavesThread(Node):
    """Leaves a thread that never ends."""

    def process(self) -> int:
        threading.Thread(target=threading.Event().wait).start()
        return os.getpid()


class Starts(Node):
    """Starts a program that can be interrupted."""

    def process(self) -> int:
        code = "import signal; print(int(signal.getsignal(signal.SIGINT) is signal.default_int_handler))"
        return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


class Stays(Node):
    """Says that it has begun, and never ends."""

    def process(self, context: NodeContext) -> None:
        Path(context.inputs["file"]).touch()
        threading.Event().wait()


class StaysAsync(Node):
    """The same, and async."""

    async def process(self, context: NodeContext) -> None:
        await asyncio.Event().wait()


class Length(Node):
    """How much it was given."""

    def process(self, context: NodeContext) -> int:
        return len(context.inputs["data"])


class IsTold(Node):
    """Gets the signals that stop a service."""

    def process(self) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        return "goes on"
