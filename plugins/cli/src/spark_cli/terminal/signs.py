"""The signs that the command itself writes, each with what stands for it on a terminal that knows only ASCII."""

from __future__ import annotations

from typing import Final

MORE: Final = "…"
DOT: Final = "·"
ARROW: Final = "→"
DONE: Final = "█"
LEFT: Final = "░"
TREE: Final = "└"

IN_ASCII: Final = {
    MORE: "...",
    DOT: "-",
    ARROW: "->",
    DONE: "#",
    LEFT: ".",
    TREE: "`",
    "●": "*",
    "○": "o",
    "◌": "~",
    "▫": "-",
    "✓": "+",
    "✗": "x",
    "■": "#",
    "‖": "=",
    "∅": "/",
}
"""One character each, except for those that are never in a column of signs."""
