"""What takes long to encode is encoded in another thread, so that the event loop goes on meanwhile."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from spark.errors import SerializationError
from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark.graphs.checkpoint.serialization.cost import encoding_cost
from spark.graphs.checkpoint.serialization.writer import TreeWriter
from spark.graphs.checkpoint.storage import Record


class Watched(InMemoryCheckpointBackend):
    """Is given whole records, as a store outside of the process, and notes which checkpoints the loop's thread encoded."""

    persistent = True
    keeps_blobs = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.in_loop: list[bool] = []
        encode = self.record_codec.encode_sections

        def watched(*args: Any, **kwargs: Any) -> Record:
            here = threading.current_thread() is threading.main_thread()
            record = encode(*args, **kwargs)
            self.in_loop.append(here)  # not where it gave up
            return record

        self.record_codec.encode_sections = watched  # type: ignore[method-assign]


class Thrice(Node):
    async def process(self, context: NodeContext) -> dict[str, Any]:
        count = await context.graph_state.get("count", 0) + 1
        await context.graph_state.set("count", count)
        return {"more": count < 3}


async def threads(state: dict[str, Any], **options: Any) -> list[bool]:
    node = Thrice()
    node.on(more=True) >> node
    node.on(more=False) >> ExitNode()
    async with Watched(**options) as backend:
        config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
        await Graph(start=node, id="g", state=state, checkpoint_config=config).run()
        return backend.in_loop


def texts(size: int) -> dict[str, Any]:
    return {f"key {number}": str(number).ljust(1_000, ".") for number in range(size // 1_000)}


@pytest.mark.parametrize(
    ("state", "options", "expected"),
    [
        pytest.param(texts(100_000), {}, [True, True, True], id="little"),
        pytest.param(texts(1_200_000), {}, [False, False, False], id="much to hash"),
        pytest.param(texts(100_000), {"compression": "gzip"}, [True, False, False], id="some to compress"),
        pytest.param(texts(10_000), {"compression": "gzip"}, [True, True, True], id="little to compress"),
        pytest.param(texts(300_000), {"compression": "zstd"}, [True, False, False], id="much for zstd"),
        pytest.param({"many": list(range(5_000))}, {}, [False, True, True], id="many values at first"),
    ],
)
async def test_what_takes_long_is_encoded_in_another_thread(
    state: dict[str, Any], options: dict[str, Any], expected: list[bool]
) -> None:
    """How long a payload took is known from the last one."""
    assert (await threads(state, **options))[:3] == expected


def endless() -> list[Any]:
    """Small in memory, where each list is there once. As JSON, which has no references, it would fill any disk."""
    pairs: list[Any] = []
    for _ in range(60):
        pairs = [pairs, pairs]
    return pairs


@pytest.fixture
def sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is met over and over is looked for after fewer values, as none of these tests is about how many."""
    monkeypatch.setitem(TreeWriter.__init__.__kwdefaults__, "unasked", 5_000)


def test_what_would_be_endless_when_written_is_refused_among_as_many_as_it_takes() -> None:
    with pytest.raises(SerializationError, match="refers to the same lists or dicts again and again"):
        TreeWriter().tree(endless())


@pytest.mark.usefixtures("sooner")
@pytest.mark.parametrize("place", ["state", "output", "last output"])
async def test_what_would_be_endless_when_written_is_refused(place: str) -> None:
    class Returns(Node):
        async def process(self, context: NodeContext) -> Any:
            if place == "state":
                await context.graph_state.set("pairs", endless())
            return {"pairs": endless()} if "output" in place else {}

    node = Returns()
    if place != "last output":
        node >> ExitNode()
    graph = Graph(node, checkpoint_config=CheckpointConfig(trigger_on_iteration=1))

    with pytest.raises(SerializationError, match="refers to the same lists or dicts again and again"):
        await graph.run()


@pytest.mark.usefixtures("sooner")
async def test_what_would_be_endless_when_written_is_refused_by_hand_too() -> None:
    checkpoint = Graph(ExitNode(), state={"pairs": endless()}).create_checkpoint()

    with pytest.raises(SerializationError, match=r"graph_state\['pairs'\] can't be saved"):
        await checkpoint.save(InMemoryCheckpointBackend())


@dataclass(slots=True)
class Slotted:
    parts: list[Any]


@pytest.mark.parametrize(
    "make",
    [
        lambda: deque(range(10_000)),
        lambda: defaultdict(list, dict.fromkeys(range(10000), 1)),
        lambda: OrderedDict.fromkeys(range(10_000)),
        lambda: Slotted(list(range(10_000))),
    ],
)
def test_whatever_holds_values_is_weighed_by_them(make: Callable[[], Any]) -> None:
    assert encoding_cost([make()], limit=2_000) > 2_000


@pytest.mark.usefixtures("sooner")
@pytest.mark.parametrize("wrap", [lambda inner: deque([inner, inner]), lambda inner: Slotted([inner, inner])])
def test_what_would_never_end_is_refused_whatever_holds_it(wrap: Callable[[Any], Any]) -> None:
    value: Any = 1
    for _ in range(40):
        value = wrap(value)

    with pytest.raises(SerializationError, match="again and again"):
        TreeWriter().tree(value)
