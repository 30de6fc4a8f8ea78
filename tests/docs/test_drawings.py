"""The drawings of the documentation show what its code, and the examples, build.

``python -m tests.docs.test_drawings`` draws them again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from examples import refund_agent
from spark_drawing import Shape
from tests.spec.page import ROOT, blocks

FIGURES = ROOT / "docs" / "figures"


def drawing() -> str:
    """As the page makes it."""
    (block,) = [block for block in blocks(ROOT / "docs" / "graphs.md") if "\ndrawing = " in block.code]
    names: dict[str, Any] = {"__name__": "the_page"}
    asyncio.run(block.run_among(names, directory=ROOT))
    return str(names["drawing"])


def refund_agent_in_approval() -> str:
    graph = refund_agent.build("memory://", refund_agent.Shop(Path("payments.txt")))
    return Shape.of_graph(graph).svg(
        marks={"Receive": "done", "LookUp": "done", "Think": "done", "Approve": "interrupted"}, label="The refund agent"
    )


DRAWN = {"drawing.svg": drawing, "refund-agent.svg": refund_agent_in_approval}


def contents(svg: str) -> list[tuple[str, ...]]:
    """What a drawing shows, without where: another release of the layout library may place it elsewhere."""
    return sorted(
        (
            (each.text or "").strip(),
            *(each.get(name) or "" for name in ("class", "data-node", "data-source", "data-target")),
        )
        for each in ElementTree.fromstring(svg).iter()
    )


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawing_of_the_documentation_shows_what_is_built_today(name: str) -> None:
    shown = (FIGURES / name).read_text(encoding="utf-8")

    assert contents(shown) == contents(DRAWN[name]()), "run python -m tests.docs.test_drawings"


if __name__ == "__main__":
    for name, draw in DRAWN.items():
        (FIGURES / name).write_text(draw(), encoding="utf-8")
