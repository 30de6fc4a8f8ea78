"""The states that benchmarks run over: 100 keys, one of which changes in each step; and messages that are added to a list.

It imports nothing of ours, so that peers can use it.
"""

from __future__ import annotations

import base64
import random
from typing import Any

CHANGING = "key_04"
"""The key that a step sets."""

SMALL: dict[str, Any] = {
    f"key_{number:02}": ["x" * 80, [1, 2, 3, "abc" * 24], {"a": 1, "b": "y" * 90}, "z" * 110, number][number % 5]
    for number in range(100)
} | {CHANGING: 0}
"""100 small mixed values; about 10 KB as JSON, with what else a checkpoint holds."""


SHORT: dict[str, Any] = {f"key_{number:02}": "x" * 90 for number in range(9)} | {CHANGING: 0}
"""Ten small values, about 1 KB."""

MESSAGE = 1_000
"""Bytes of a message, as JSON."""


def message(number: int) -> dict[str, Any]:
    """One of a conversation; each is another, and no compression makes it smaller by more than a quarter."""
    begin = number * 37 % (len(_TEXTS) - MESSAGE)
    return {"id": f"{number:08}", "role": "user", "content": _TEXTS[begin : begin + MESSAGE - 50]}


def large(size: int = 10_000_000, keys: int = 100) -> dict[str, Any]:
    """So many texts of equal length that no compression makes smaller by more than a quarter.

    :param size: bytes of all values together.
    """
    random_of_keys = random.Random(7)
    return {f"key_{number:02}": _text(random_of_keys, max(size // keys, 1)) for number in range(keys)}


def step_of(value: Any) -> int:
    """Which step set this value of the key that changes; 0 before the first."""
    return value if isinstance(value, int) else int(value[:8]) if value[:8].isdigit() else 0


def value_of(step: int, earlier: Any) -> Any:
    """What a step sets: a number in the small state, in a large one a new text as long as the earlier."""
    return step if isinstance(earlier, int) else f"{step:08}{earlier[8:]}"


def _text(source: random.Random, length: int) -> str:
    return base64.b64encode(source.randbytes(length * 3 // 4 + 3)).decode()[:length]


_TEXTS = _text(random.Random(11), 50_000)
