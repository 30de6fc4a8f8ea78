"""The executors of the core: the event loop of the run, and threads of this process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, ClassVar, Final

from spark.errors import GraphDefinitionError
from spark.graphs.executors.contract import NodePlace

_THREADS: Final = 32


class LoopExecutor(NodePlace):
    """Plain nodes run in the event loop itself, and block everything else there meanwhile: use it for very short ones.

    Async nodes always run there.
    """

    name: ClassVar[str] = "loop"

    def __repr__(self) -> str:
        return "LoopExecutor()"


class ThreadExecutor(NodePlace):
    """Plain nodes run in threads of their own pool, apart from those that the graph has for all others.

    The threads start when they are needed, and serve all runs that use this object; they end when it is closed, or collected.

    :param size: how many there are at most; further steps wait.
    :param label: what their names begin with.
    :raises GraphDefinitionError: the size is no whole number of at least 1.
    """

    name: ClassVar[str] = "threads"

    def __init__(self, size: int = _THREADS, *, label: str = "spark-node") -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise GraphDefinitionError(f"ThreadExecutor(size={size!r}): give a whole number of at least 1.")
        self.size = size
        self.label = label
        self._pool: ThreadPoolExecutor | None = None
        self._lock = Lock()

    def submit(self, call: Any) -> None:
        """Run this call, which never raises, in a thread."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.size, thread_name_prefix=self.label)
            self._pool.submit(call)

    def idle(self) -> None:
        """No run uses it any more: the threads end."""
        self.close()

    def close(self) -> None:
        """Let the threads end when no calls are left. Later calls would get new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def __repr__(self) -> str:
        return f"ThreadExecutor(size={self.size}, label={self.label!r})"
