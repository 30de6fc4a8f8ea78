"""A value that can't be saved: an error with the path to it, and nothing written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spark.errors import SerializationError
from spark.graphs import Node, NodeContext
from tests.integration.counting import Count, checkpoint_files, keeping


class Client:
    """Can be copied, but nobody said how to save it."""


class Loop(list[Any]):
    """A subclass of a list, which would come back as a plain one."""


def contains_itself() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


class InState(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        await context.graph_state.set("results", [0, {"client": bad()}])
        return {}


class InNodeState(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        context.state["results"] = [0, {"client": bad()}]
        return {}


class InOutput(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        return {"results": [0, {"client": bad()}]}


bad: Callable[[], Any] = Client

PATHS = {
    InState: "graph_state['results'][1]['client']",
    InNodeState: "node_states['InNodeState']['results'][1]['client']",
    InOutput: "['results'][1]['client']",
}


@pytest.mark.parametrize("is_last", [True, False], ids=["last node", "nodes follow"])
@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("value", [Client, threading.Lock, Loop, lambda: print, contains_itself])
async def test_a_value_that_can_t_be_saved_is_named_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Callable[[], Any], kind: type[Node], is_last: bool
) -> None:
    monkeypatch.setattr("tests.integration.test_unsaveable.bad", value, raising=True)
    first = Count(name="before")
    last = kind()
    first >> last
    if not is_last:
        last >> Count(name="after")
    graph = keeping(first, tmp_path / "store")

    with pytest.raises(SerializationError) as raised:
        await graph.run()

    assert PATHS[kind] in str(raised.value)
    assert PATHS[kind] in raised.value.path
    assert f"'{kind.__name__}'" in "\n".join([str(raised.value), *raised.value.__notes__])
    kept = checkpoint_files(tmp_path / "store")
    assert all(b'"results":' not in file.read_bytes() for file in kept)
    assert [file.name for file in kept][:1] == ["000000000001.ckpt"]
    assert not list(tmp_path.rglob(".tmp-*"))
    assert graph.checkpoint_backend is not None
    await graph.checkpoint_backend.close()
