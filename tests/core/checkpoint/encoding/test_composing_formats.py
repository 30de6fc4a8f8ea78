"""A format that somebody else has written from public names only composes as JSON does, and costs as little."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from spark.errors import SerializationError
from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig
from spark.graphs.checkpoint.storage import Format
from spark_testing import FormatConformance
from spark_testing.suites.blob_memory import BlobMemory


class Counted(Format):
    """Each value begins with a letter, and with its length or number where it has one: ``d1;s1;ai7;``."""

    name: ClassVar[str] = "counted"
    suffix: ClassVar[str] = "counted"
    safe_to_load: ClassVar[bool] = True
    takes_bytes: ClassVar[bool] = True
    composes = True

    def dumps(self, tree: Any) -> bytes:
        if tree is None or isinstance(tree, bool | int | float):
            return f"{type(tree).__name__[0]}{tree!r};".encode()
        if isinstance(tree, str):
            return self.key(tree)
        if isinstance(tree, bytes):
            return b"y%d;%b" % (len(tree), tree)
        if isinstance(tree, list):
            return b"l%d;%b" % (len(tree), b"".join(map(self.dumps, tree)))
        if isinstance(tree, dict):
            return self.opening(len(tree)) + b"".join(
                self.key(name) + self.dumps(value) for name, value in tree.items()
            )
        raise TypeError(f"no letter stands for a {type(tree).__name__}")

    def opening(self, count: int) -> bytes:
        return b"d%d;" % count

    def key(self, name: str) -> bytes:
        text = name.encode()
        return b"s%d;%b" % (len(text), text)

    def loads(self, data: bytes) -> Any:
        tree, end = self._value(data, 0, level=0)
        if end != len(data):
            raise ValueError("it is followed by something else")
        return tree

    def _value(self, data: bytes, start: int, *, level: int) -> tuple[Any, int]:
        if level > 210:
            raise ValueError("it is too deep")
        place = data.index(b";", start) + 1
        letter, text = data[start : start + 1], data[start + 1 : place - 1].decode()
        if letter in b"Nbif" and letter:
            return {"N": lambda _: None, "b": "True".__eq__, "i": int, "f": float}[letter.decode()](text), place
        if letter in b"sy":
            content = data[place : place + int(text)]
            if len(content) != int(text):
                raise ValueError("it is cut off")
            return content.decode() if letter == b"s" else content, place + len(content)
        items = []
        for _ in range(int(text) * (2 if letter == b"d" else 1)):
            item, place = self._value(data, place, level=level + 1)
            items.append(item)
        return dict(zip(items[::2], items[1::2], strict=True)) if letter == b"d" else items, place


@pytest.mark.parametrize("made", ["text", None, bytearray(b"{}")])
async def test_a_format_that_makes_no_bytes_is_named(made: Any) -> None:
    """Kept in memory, text would look right until it is read."""

    class Wrong(Counted):
        composes = False

        def dumps(self, tree: Any) -> Any:
            return made

    config = CheckpointConfig(format=Wrong())

    with pytest.raises(SerializationError, match=rf"^The format 'counted' made a {type(made).__name__}, not bytes\."):
        await Graph(ExitNode(), checkpoint_config=config).run()


class TestCounted(FormatConformance):
    random_trees = 20

    @pytest.fixture
    def format(self) -> Counted:
        return Counted()


STATE = {f"key {number}": ["some text", number] for number in range(10_000)}
STEPS = 5


class Touch(Node):
    async def process(self, context: NodeContext) -> Any:
        count = await context.graph_state.get("key 5000")
        await context.graph_state.set("key 5000", [count[0], count[1] + 1])
        return {"more": count[1] + 1 < 5000 + STEPS}


async def bytes_of_steps(format: Format | str) -> list[int]:
    """What each checkpoint of a run added to the store, in which one of very many keys changes at a time."""
    touch = Touch()
    touch.on(more=True) >> touch
    backend = BlobMemory(format=format)
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
    await Graph(start=touch, id="g", state=STATE, checkpoint_config=config).run()
    return backend.written


async def test_where_one_of_many_keys_changes_it_writes_what_json_writes() -> None:
    json, counted = await bytes_of_steps("json"), await bytes_of_steps(Counted())

    assert len(json) == len(counted) == STEPS
    assert json[0] > 250_000
    assert sum(counted[1:]) < 1.2 * sum(json[1:]) < 0.5 * json[0]
