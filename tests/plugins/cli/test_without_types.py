"""``show``, ``diff``, ``verify`` and ``doctor`` where none of the program's types is known."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import open_backend
from tests.plugins.support.command_line import spark

TYPES = """
from dataclasses import dataclass
from enum import Enum

class Colour(Enum):
    RED = 1

@dataclass
class Line:
    sku: str
    count: int

@dataclass
class Order:
    id: int
    lines: list
    colour: Colour = Colour.RED
"""
URL = "sqlite:///runs.db"
BEFORE = "The report begins.\n" + "It goes on and on. " * 40 + "\nIt ends."


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two checkpoints by hand, of a program whose types are in a module of this folder, and not loaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARK_CHECKPOINT_URL", raising=False)
    Path("their_orders.py").write_text(TYPES)
    with monkeypatch.context() as context:
        context.syspath_prepend(tmp_path)
        theirs: Any = importlib.import_module("their_orders")
        lines = [theirs.Line("a", 1), theirs.Line("b", 2)]
        first = {"order": theirs.Order(17, lines), "log": list(range(30)), "report": BEFORE, "name": "x"}
        changed = BEFORE.replace("on and on. It goes on", "on and off. It goes on", 1)
        second = {
            "order": theirs.Order(18, [*lines, theirs.Line("c", 3)]),
            "log": list(range(32)),
            "report": changed,
            "name": "y",
        }
        asyncio.run(save({"one": first, "two": second}))
    monkeypatch.delitem(sys.modules, "their_orders")


async def save(states: dict[str, dict[str, Any]]) -> None:
    async with open_backend(URL) as backend:
        for name, state in states.items():
            await Graph(start=ExitNode(), id="orders", state=state).create_checkpoint(name).save(backend)


def test_objects_are_shown_as_a_tree_with_their_types() -> None:
    done = spark("checkpoints", "show", "one", "--url", URL)

    assert done.code == 0
    tree = "    order: their_orders:Order\n        id: 17\n        lines: 2 items\n            0: their_orders:Line\n"
    assert f"{tree}                sku: a\n                count: 1\n            1: their_orders:Line\n" in done.out
    assert "        colour: their_orders:Colour RED\n" in done.out
    assert done.err == (
        "spark: shown as it is stored, without its types: their_orders:Colour, their_orders:Line, their_orders:Order. To have "
        "the objects made and checked: --import their_orders\n"
    )
    assert "their_orders" not in sys.modules


def test_a_value_within_an_object_can_be_named() -> None:
    assert spark("checkpoints", "show", "one", "--path", "graph_state.order.lines[1].sku", "--url", URL).out == "b\n"
    assert spark("checkpoints", "show", "one", "--path", "graph_state.order.lines[-1:]", "--url", URL).out == (
        'their_orders:Line {"sku": "b", "count": 2}\n'
    )
    assert (
        spark("checkpoints", "show", "one", "--path", "graph_state.order", "--json", "--url", URL).json["value"]["id"]
        == 17
    )
    missing = spark("checkpoints", "show", "one", "--path", "graph_state.order.nothing", "--url", URL)
    assert missing.code == 2
    assert "its keys: id, lines, colour" in missing.err


def test_with_import_the_objects_are_made() -> None:
    done = spark("checkpoints", "show", "one", "--import", "their_orders", "--url", URL)

    assert (done.code, done.err) == (0, "")
    assert '    order: {"id": 17, "lines": [{"sku": "a", "count": 1}, ' in done.out


def test_a_difference_shows_fields_items_and_the_part_of_a_text_that_differs() -> None:
    done = spark("checkpoints", "diff", "one", "two", "--url", URL)

    assert done.code == 1
    assert "- graph_state['order'].id: 17\n+ graph_state['order'].id: 18\n" in done.out
    assert (
        '+ graph_state[\'order\'].lines: 1 item added at 2\n    their_orders:Line {"sku": "c", "count": 3}\n'
        in done.out
    )
    assert "+ graph_state['log']: 2 items added at 30\n    30\n    31\n" in done.out
    assert "- graph_state['name']: x\n+ graph_state['name']: y\n" in done.out
    text = done.out[done.out.index("~ graph_state['report']: 788 characters, then 789\n") :].splitlines()[1:6]
    assert text[0] == "      The report begins."
    assert text[1].startswith("    - ")
    assert "and on. It goes" in text[1]
    assert "and off. It goes" in text[2]
    assert len(text[1]) < 100
    assert "--import their_orders" in done.err


def test_stores_are_checked_without_types_and_with_them() -> None:
    for command in (["doctor"], ["checkpoints", "verify"]):
        done = spark(*command, "--url", URL)
        assert (done.code, done.out) == (0, "2 intact, 0 damaged\n")
        assert "--import my_app checks these, too." in done.err
        checked = spark(*command, "--import", "their_orders", "--url", URL)
        assert (checked.out, checked.err) == ("2 intact, 0 damaged\n", "")

    Path("their_orders.py").write_text(TYPES.replace("count: int", "amount: int"))
    del sys.modules["their_orders"]
    changed = spark("doctor", "--import", "their_orders", "--url", URL)
    assert "0 intact, 0 damaged, 2 not readable here" in changed.out


def test_a_part_that_is_damaged_is_named_and_the_rest_is_shown() -> None:
    import sqlite3

    connection = sqlite3.connect("runs.db")
    with connection:
        connection.execute("UPDATE checkpoints SET payload = x'00' WHERE checkpoint_id = 'one'")
    connection.close()

    assert spark("checkpoints", "show", "one", "--url", URL).code == 1
    assert "1 intact, 1 damaged" in spark("doctor", "--url", URL).out
