"""Which threads a backend leaves behind."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_thread_left() -> Iterator[None]:
    """Fail if a thread of the file backend or of paramiko started within and is still there at the end."""
    before = set(threading.enumerate())
    yield
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert {name for name in left if re.match(r"file-backend|Thread-\d+$", name)} == set()
