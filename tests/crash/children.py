"""Work in child processes that are killed, or that answer one question."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from spark_testing.children import LONGEST, give_up_after

_LONGEST_ANSWER = 60_000
"""Bytes that a pipe takes without anybody reading."""


def answer_of_child(work: Callable[[], Awaitable[str]]) -> str:
    """What a coroutine returned in a process of its own, or how it failed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        be_a_child(work, answer_to=writer)
    os.close(writer)
    answer = read_all(reader).decode()
    _, status = os.waitpid(child, 0)
    return answer or (f"the check ended with status {status}" if status else "")


def be_a_child(
    work: Callable[[], Awaitable[object]], *, answer_to: int | None = None, longest: float = LONGEST
) -> None:
    """Run a coroutine, tell what it returned or how it failed, and end this process.

    :param longest: after so many seconds it shows its stacks and ends, so that nobody waits for it for ever.
    """
    give_up_after(longest)
    status = 1
    try:
        answer = asyncio.run(_awaited(work))
        if answer_to is not None:
            os.write(answer_to, str(answer).encode()[:_LONGEST_ANSWER])
        status = 0
    except BaseException as error:
        message = f"{type(error).__name__}: {error}"
        if answer_to is not None:
            os.write(answer_to, message.encode()[:_LONGEST_ANSWER])
        else:
            print(f"the writer failed: {message}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def read_all(reader: int) -> bytes:
    """Everything that comes out of a pipe until its other end is closed; then this one is closed, too."""
    parts = []
    while part := os.read(reader, 65536):
        parts.append(part)
    os.close(reader)
    return b"".join(parts)


async def _awaited(work: Callable[[], Awaitable[object]]) -> object:
    return await work()
