"""The processes of the harnesses: none of them hangs for ever, and none is born with somebody else's lock."""

from __future__ import annotations

import _thread
import asyncio
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from spark_testing.children import Child, Tell, give_up_after, threads_left, threads_now
from tests.crash.children import be_a_child


async def hang_in_a_thread() -> None:
    begun = threading.Event()

    def hang() -> None:
        begun.set()
        threading.Event().wait()

    asyncio.get_running_loop().run_in_executor(None, hang)
    begun.wait()
    give_up_after(0.5)  # of the time from here on: a busy machine may take longer to get here


def test_a_child_that_hangs_ends_and_shows_what_its_threads_wait_for(capfd: pytest.CaptureFixture[str]) -> None:
    """asyncio's timeout alone would not do: the event loop waits for its threads in the end."""
    child = os.fork()
    if child == 0:
        be_a_child(hang_in_a_thread)
    _, status = os.waitpid(child, 0)

    assert os.WTERMSIG(status) == signal.SIGALRM
    assert "concurrent/futures/thread.py" in capfd.readouterr().err


@pytest.mark.skipif(not threads_now(), reason="this system does not tell how many threads there are")
def test_a_fork_comes_after_the_end_of_all_threads() -> None:
    """One that is left may hold a lock of a C library, which then nobody in the child would ever release."""
    before, is_over = threads_now(), threading.Event()
    with ThreadPoolExecutor(1) as waiting:
        told = waiting.submit(is_over.wait)
        assert len(threads_left(before, seconds=0)) == 1
        ending = threading.Timer(0.05, is_over.set)
        ending.start()
        waiting.shutdown(wait=False)

        assert threads_left(before, seconds=60) == set()

    assert told.done()


@pytest.mark.skipif(not threads_now(), reason="this system does not tell how many threads there are")
def test_a_child_of_a_test_is_born_after_the_end_of_threads_that_python_does_not_know() -> None:
    may_end, is_over = threading.Event(), threading.Event()

    def end() -> None:
        may_end.wait()
        is_over.set()

    async def work(tell: Tell) -> None:
        tell(str(is_over.is_set()))

    _thread.start_new_thread(end, ())
    threading.Timer(0.05, may_end.set).start()

    assert Child.start(work).wait() == ["True"]
