"""What goes to standard output: JSON for scripts, aligned columns for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def print_json(value: Any) -> None:
    """Any value as JSON; what JSON has no word for is shown as Python would."""
    print(json.dumps(plain(value), indent=2))


def plain(value: Any) -> Any:
    """The value with nothing in it but what JSON knows."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=repr, bytes_mode="base64", inf_nan_mode="strings")


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows in columns, below their titles; without rows, nothing."""
    if not rows:
        return
    widths = [max(len(row[column]) for row in (titles, *rows)) for column in range(len(titles))]
    for row in (titles, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
