"""What a call returns that may be awaited, where there is nothing to wait for."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final


class Nothing:
    """Can be awaited any number of times, and never waits."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


NOTHING: Final = Nothing()
