"""Tools that make the file backend's calls to the operating system fail, be the last ones, or be written down."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from spark_backend_file import deleted_up_to, local_directory, local_files, local_folder

Act = Callable[[str], None]


@dataclass(frozen=True)
class Operation:
    """One call: its name, and the absolute paths that it was about."""

    name: str
    paths: tuple[str, ...]
    thread: int = field(default_factory=threading.get_ident, compare=False)
    """The one that made it."""


@dataclass
class WatchedOs:
    """Stands for the module ``os``: writes every call down, and does something of yours before one of them."""

    before: int = 0
    """The number of the call, from 1, before which to act; 0 for never."""
    act: Act = lambda name: None
    """What to do then; it is told the call's name."""
    log: list[Operation] = field(default_factory=list)
    paths: dict[int, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in _WATCHED:
            return real

        def watched(*args: Any, **kwargs: Any) -> Any:
            operation = Operation(name, self._paths_of(name, args, kwargs))
            if name == "close" and ".tmp-" not in operation.paths[0]:
                return real(*args)  # closing what was only read can't lose anything
            self.log.append(operation)
            if len(self.log) == self.before:
                if name == "write":
                    written: int = real(args[0], args[1][: len(args[1]) // 2])
                    self.act(name)
                    return written  # a short write, which may happen at any time
                if name == "close":
                    real(*args)  # as the kernel does, also when it reports an error
                    self.act(name)
                    return None
                self.act(name)
            result = real(*args, **kwargs)
            if name == "open":
                self.paths[result] = operation.paths[0]
            return result

        return watched

    def _paths_of(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
        if name == "symlink":
            return (self._absolute(args[1], kwargs.get("dir_fd")),)
        if name == "link":
            return tuple(self._absolute(path, kwargs["src_dir_fd"]) for path in args)
        return (self._absolute(args[0], kwargs.get("dir_fd")),)

    def _absolute(self, path: str | int, folder: int | None) -> str:
        if isinstance(path, int):
            return self.paths[path]
        return path if folder is None else f"{self.paths[folder]}/{path}"


_WATCHED = {
    "close",
    "fstat",
    "fsync",
    "ftruncate",
    "link",
    "listdir",
    "mkdir",
    "open",
    "read",
    "rmdir",
    "scandir",
    "stat",
    "symlink",
    "unlink",
    "utime",
    "write",
}


@contextmanager
def watching(watched: WatchedOs) -> Iterator[WatchedOs]:
    """The file backend calls ``watched`` instead of ``os``."""
    with ExitStack() as patches:
        for module in (deleted_up_to, local_directory, local_files, local_folder):
            patches.enter_context(mock.patch.object(module, "os", watched))
        yield watched


def is_killed(action: Callable[[], object], *, before: int) -> bool:
    """Run the action in a child process that is killed before one of its calls; False when it made fewer calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the test runner's own threads do not matter to the child
        child = os.fork()
    if child == 0:
        _run_and_exit(action, before)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"the child ended with status {status}"
    return status != 0


def run_in_child(action: Callable[[], object]) -> str:
    """What the action returned or raised in a child process, as text."""
    return start_in_child(action)()


def start_in_child(action: Callable[[], object]) -> Callable[[], str]:
    """Start the action in a child process; calling the answer waits for what it returned or raised, as text."""
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(readable)
        signal.alarm(60)  # a child that waits for ever must not outlive its test
        try:
            told = str(action())
        except BaseException as error:
            told = f"{type(error).__name__}: {error} <- {error.__cause__!r}"
        os.write(writable, told.encode())
        os._exit(0)
    os.close(writable)

    def wait() -> str:
        with open(readable, "rb") as pipe:
            told = pipe.read().decode()
        os.waitpid(child, 0)
        return told

    return wait


def complaints(log: list[Operation]) -> list[str]:
    """What would not survive a power failure after these operations, or was visible before it was durable."""
    found = []
    for number, operation in enumerate(log):
        if operation.name == "link":
            found += [f"{path} is not durable before the record is visible" for path in _pending(log[:number])]
        later = log[number + 1 :]
        if operation.name in ("link", "mkdir", "symlink"):
            parent = os.path.dirname(operation.paths[-1])
            if Operation("fsync", (parent,)) not in later:
                found.append(f"the entry {operation.paths[-1]} is not made durable")
        if operation.name == "link":
            about = [earlier.name for earlier in log[:number] if earlier.paths[0] == operation.paths[0]]
            if "fsync" not in about or "write" in about[about.index("fsync") :]:
                found.append(f"the content of {operation.paths[-1]} is linked before it is durable")
    return found


def _pending(log: list[Operation]) -> list[str]:
    """The folders and aliases that were made, and not yet made durable."""
    return [
        operation.paths[0]
        for number, operation in enumerate(log)
        if operation.name in ("mkdir", "symlink")
        and Operation("fsync", (os.path.dirname(operation.paths[0]),)) not in log[number:]
    ]


def _run_and_exit(action: Callable[[], object], before: int) -> None:
    try:
        with watching(WatchedOs(before, lambda name: os.kill(os.getpid(), signal.SIGKILL))):
            action()
    except BaseException:
        os._exit(3)
    os._exit(0)
