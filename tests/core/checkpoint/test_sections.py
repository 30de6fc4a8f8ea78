"""A section is declared once. Whoever adds one writes its field and what captures it, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from spark.graphs.checkpoint import GraphCheckpoint
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.storage import SECTIONS, RecordCodec

CORE: Final = Path(__file__).resolve().parents[3] / "core" / "src" / "spark"
DECLARED: Final = """
    notes: dict[str, Any] | None = field(
        default=None, metadata=Section(is_keyed=True, may_be_absent=True).declared()
    )
"""
CAPTURED: Final = """
                "notes": {"a": "x" * 20_000, "b": {"step": self._iteration}},"""
RUN: Final = """
import asyncio, dataclasses, json, sys
from spark.graphs import ExitNode, Graph, Node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointHandler, CheckpointManager, FileCheckpointBackend
from spark_cli.commands.checkpoints import _content

class Step(Node):
    async def process(self):
        return {}

class Watch(CheckpointHandler):
    async def on_checkpoint_created(self, checkpoint):
        checkpoint.notes["b"]["step"] = "changed by a handler"

async def main():
    first = Step(name="first")
    first >> Step(name="second") >> ExitNode()
    async with FileCheckpointBackend(sys.argv[1]) as store:
        store.blob_cost = 8192
        config = CheckpointConfig(backend=store, trigger_on_iteration=1, auto_cleanup=False, handler=Watch())
        graph = Graph(first, id="g", checkpoint_config=config)
        await graph.run()
        manager = CheckpointManager(store)
        one, two = [await manager.load_checkpoint(f"ckpt_g_00000{number}") for number in (1, 2)]
        compared = dataclasses.replace(one, notes={})
        print(json.dumps({
            "captured": graph.create_checkpoint().notes["b"],
            "loaded": [one.notes["b"], two.notes["b"], len(two.notes["a"])],
            "blobs": len(await store.blob_names("g")),
            "is_compared": compared != one,
            "shown": _content(one)["notes"]["b"],
            "differences": [each.path for each in await manager.diff(one, two) if each.path.startswith("notes")],
        }))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run and its tools make of a section that stands in the list, and is captured."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(CORE, source / "spark", ignore=shutil.ignore_patterns("__pycache__"))
    plant(source / "spark/graphs/checkpoint/model.py", before="    sequence: int | None = None\n", text=DECLARED)
    plant(source / "spark/graphs/engine/captured.py", after='"topology": self._topology.data,', text=CAPTURED)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path_factory.mktemp("store"))],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def plant(file: Path, *, text: str, before: str = "", after: str = "") -> None:
    content = file.read_text()
    assert content.count(before or after) == 1
    file.write_text(content.replace(before or after, after + text + before))


def test_it_is_captured(planted: dict[str, Any]) -> None:
    assert planted["captured"] == {"step": 3}


def test_it_is_stored_and_loaded_and_its_large_values_are_blobs(planted: dict[str, Any]) -> None:
    assert planted["loaded"] == [{"step": 1}, {"step": 2}, 20_000]
    assert planted["blobs"] > 0


def test_it_is_compared_and_shown(planted: dict[str, Any]) -> None:
    assert planted["is_compared"]
    assert planted["shown"] == {"step": 1}
    assert planted["differences"] == ["notes['b']['step']"]


# the list is the only one


def test_nothing_else_in_the_core_lists_sections() -> None:
    """A second list would be one that somebody forgets."""
    several = re.compile(r"\"(?:{0})\"[^\n]*\"(?:{0})\"".format("|".join(SECTIONS)))
    lists = [
        f"{file.relative_to(CORE)}: {line.strip()}"
        for file in sorted(CORE.rglob("*.py"))
        for line in file.read_text().splitlines()
        if several.search(line)
    ]

    assert lists == []


# what is said of a section holds


def made(**sections: Any) -> GraphCheckpoint:
    return GraphCheckpoint("c", "g", datetime(2024, 5, 1, tzinfo=UTC), **sections)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_copy_shares_nothing_of_any_section(name: str) -> None:
    checkpoint = made(**{name: {"a": [1]}})

    getattr(checkpoint.isolated(), name)["a"].append(2)

    assert getattr(checkpoint, name) == {"a": [1]}


@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_comes_back(name: str) -> None:
    codec, checkpoint = RecordCodec(), made(**{name: {"a": [1, (2,)]}})

    back = codec.decode(codec.encode(checkpoint, sequence=1, manual=True, nonce="n"))

    assert getattr(back, name) == {"a": [1, (2,)]}
    assert back != codec.decode(codec.encode(made(), sequence=1, manual=True, nonce="n"))


@pytest.mark.parametrize("name", SECTIONS)
def test_another_value_of_a_section_is_in_the_next_checkpoint_of_a_run(name: str) -> None:
    """However little of it is encoded again."""
    codec, cache = RecordCodec(), EncodingCache()
    for values in ({"a": 1}, {"a": 1, "b": 2}, {"a": 3}, {}):
        record = codec.encode(made(**{name: values}), sequence=1, manual=False, nonce="n", cache=cache)

        assert getattr(codec.decode(record), name) == values
