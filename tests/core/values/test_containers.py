"""The engine's own containers save work, and nobody but the engine ever meets them."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spark.errors import SerializationError
from spark.graphs import ExitNode, Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import (
    CheckpointConfig,
    CheckpointManager,
    CheckpointSerializer,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
)
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.json_format import JsonFormat
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.storage import Format
from spark.graphs.state.transactions import StateStore
from spark.graphs.state.updates import DELETED
from spark.graphs.values.containers import PlainDict, ordinary
from spark.graphs.values.item_mapping import Captured
from spark_format_pickle import PickleFormat
from tests.support.variants import in_full, tries

OWN: Final = (PlainDict, Captured)
CODEC = RecordCodec(JsonFormat())


def captured_from(**values: Any) -> Captured:
    return StateStore("graph_state", values).capture()


# for others, they are dicts


@pytest.mark.parametrize("container", [PlainDict(a=1), captured_from(a=[1])], ids=repr)
@pytest.mark.parametrize(
    "way",
    [
        copy.copy,
        copy.deepcopy,
        ordinary,
        *(lambda value, p=protocol: pickle.loads(pickle.dumps(value, p)) for protocol in range(6)),
    ],
)
def test_a_copy_is_an_ordinary_dict(container: Any, way: Callable[[Any], Any]) -> None:
    other = way(container)

    assert type(other) is dict
    assert other == container


def test_a_pickle_of_one_names_no_class_of_the_engine() -> None:
    """It must load in a release whose engine is built differently."""
    assert b"spark" not in pickle.dumps([PlainDict(a=1), captured_from(a=1)])


class Fan(Node):
    async def process(self, context: NodeContext) -> Any:
        await context.graph_state.set("seen", [1, {"a": (2,)}])
        context.state["own"] = 1
        return {"a": [1]}


class Meet(JoinNode):
    async def process(self, context: NodeContext) -> Any:
        return context.inputs


def fan_out() -> Node:
    start = Fan()
    start >> [Fan(name="left"), Fan(name="right")] >> Meet() >> ExitNode()
    return start


class Watching(CheckpointSerializer):
    """Notes the type of everything that it is offered."""

    def __init__(self) -> None:
        self.seen: set[type] = set()

    def serialize(self, obj: Any) -> Any:
        self.seen.add(type(obj))
        return obj


class TreeFormat(Format):
    """A format of somebody else's, which takes a plain tree and notes the types in it."""

    name = "tree"

    def __init__(self) -> None:
        self.seen: set[type] = set()

    def dumps(self, tree: Any) -> bytes:
        self._walk(tree)
        return pickle.dumps(tree)

    def loads(self, data: bytes) -> Any:
        return pickle.loads(data)

    def _walk(self, tree: Any) -> None:
        self.seen.add(type(tree))
        for inner in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
            self._walk(inner)


class ObjectFormat(TreeFormat):
    """One that takes objects as they are."""

    name = "objects"
    takes_objects = True


async def run_saved(backend: InMemoryCheckpointBackend) -> GraphCheckpoint:
    """Run a graph with work that waits, also at a join, and load what was saved while something was still to be done."""
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
    await Graph(start=fan_out(), id="g", checkpoint_config=config).run()
    manager = CheckpointManager(backend)
    return await manager.load_checkpoint("ckpt_g_000002")


@pytest.mark.parametrize("make", [JsonFormat, TreeFormat, ObjectFormat, lambda: PickleFormat(signing_key="k")])
async def test_a_serializer_is_offered_ordinary_lists_and_dicts(make: Callable[[], Format]) -> None:
    watching = Watching()

    await run_saved(InMemoryCheckpointBackend(format=make(), serializer=watching))

    assert watching.seen >= {list, str, int}
    assert not watching.seen & {*OWN}


@pytest.mark.parametrize("make", [TreeFormat, ObjectFormat])
async def test_a_format_is_given_ordinary_lists_and_dicts(make: type[TreeFormat]) -> None:
    format = make()

    await run_saved(InMemoryCheckpointBackend(format=format))

    assert format.seen >= {dict, list, str, int}
    assert not format.seen & {*OWN}


async def test_every_format_brings_back_the_same_checkpoint() -> None:
    loaded = [
        await run_saved(InMemoryCheckpointBackend(format=format))
        for format in (JsonFormat(), PickleFormat(signing_key="k"), TreeFormat(), ObjectFormat())
    ]

    assert loaded[0].frontier is not None
    assert len(loaded[0].frontier["tokens"]) > 1
    for checkpoint in loaded:
        assert checkpoint.frontier == loaded[0].frontier
        assert (checkpoint.graph_state, checkpoint.node_states) == (loaded[0].graph_state, loaded[0].node_states)
        assert type(checkpoint.frontier["tokens"]) is dict
        assert {type(own) for own in checkpoint.node_states.values()} == {dict}


async def test_a_node_may_delete_a_key_that_is_not_there_while_every_step_is_saved() -> None:
    class Deleting(Node):
        async def process(self, context: NodeContext) -> None:
            assert not await context.graph_state.delete("missing")

    start = Fan()
    start >> Deleting() >> Deleting(name="again") >> ExitNode()
    backend = InMemoryCheckpointBackend()

    await Graph(start=start, id="g", checkpoint_config=CheckpointConfig(backend=backend, trigger_on_iteration=1)).run()

    assert (await CheckpointManager(backend).load_checkpoint("ckpt_g_000002")).graph_state == {"seen": [1, {"a": (2,)}]}


# what is written does not depend on what was remembered


UNSAVEABLE: Final = object()
SHARED: Final = [["0"], ["1"], {"a": ["2"]}]
"""Values that come back as the very same objects."""

keys = st.sampled_from(["a", "b", "c", "é", "$x"])
values = st.one_of(
    st.sampled_from(SHARED),
    st.integers(0, 2).map(lambda number: [number]),
    st.integers(0, 2),
    st.just(True),
    st.just(DELETED),
    st.just(DELETED),
    st.just(UNSAVEABLE),
)
changes = st.dictionaries(keys, values, max_size=3)
steps = st.lists(
    st.tuples(
        changes,
        changes,
        st.sampled_from(["save", "save", "save", "skip a capture", "go on", "save an older one", "save as a dict"]),
        st.integers(0, 9),
    ),
    max_size=12,
)


def make_checkpoint(graph_state: dict[str, Any], node_states: dict[str, dict[str, Any]]) -> GraphCheckpoint:
    return GraphCheckpoint(
        checkpoint_id="ckpt_g_000001",
        graph_id="g",
        timestamp=datetime(2024, 5, 1, tzinfo=UTC),
        graph_state=graph_state,
        node_states=node_states,
        execution_metadata={},
    )


def save(graph: dict[str, Any], node: dict[str, Any], *, cache: EncodingCache | None) -> Record | None:
    """The record, or None when something in it can't be saved."""
    try:
        return CODEC.encode(make_checkpoint(graph, {"n": node}), sequence=1, manual=False, nonce="n", cache=cache)
    except SerializationError:
        return None


def shown(record: Record | None) -> str:
    """What it holds, in order: of keys that are not ASCII, JSON knows two spellings."""
    return "" if record is None else json.dumps(json.loads(record.payload))


@in_full
@settings(max_examples=tries(150), deadline=None)
@given(steps)
@example([({"a": 1}, {}, "save", 0), ({"missing": DELETED}, {}, "save", 0)])
@example(
    [
        ({"a": [1], "b": 0}, {}, "save", 0),
        ({"a": [2], "b": UNSAVEABLE}, {}, "save", 0),
        ({}, {}, "save an older one", 0),
    ]
)
@example([({"a": [1]}, {}, "save", 0), ({"a": [2]}, {}, "skip a capture", 0), ({"b": 1, "a": [1]}, {}, "save", 0)])
@example([({"a": 1, "b": 2}, {}, "save", 0), ({"a": DELETED}, {}, "go on", 0), ({"a": 1}, {}, "save", 0)])
@example([({"a": 1, "b": [1]}, {}, "save", 0), ({"a": True, "b": [True]}, {}, "save", 0)])
def test_a_cache_that_is_told_of_changes_writes_what_one_without_memory_would(
    history: list[tuple[dict[str, Any], dict[str, Any], str, int]],
) -> None:
    """Were this wrong, a checkpoint would hold old values, and nothing would tell."""
    graph, node, cache = StateStore("graph_state"), StateStore("node_states['n']"), EncodingCache()
    expected: dict[str, Any] = {}
    captures: list[tuple[Captured, Captured, dict[str, Any]]] = []
    for graph_changes, node_changes, act, which in history:
        graph.apply(graph_changes, writer="n")
        node.apply(node_changes, writer="n")
        for key, value in graph_changes.items():
            expected.pop(key, None) if value is DELETED else expected.update({key: value})
        if act == "go on":
            continue
        captures.append((graph.capture(), node.capture(), dict(expected)))
        if act == "skip a capture":
            continue
        graph_now, node_now, values_now = captures[which % len(captures) if act == "save an older one" else -1]
        given_graph = dict(graph_now) if act == "save as a dict" else graph_now

        saved = save(given_graph, node_now, cache=cache)

        if act != "save an older one":  # of that, keys that were removed since have lost their place
            assert shown(saved) == shown(save(dict(graph_now), dict(node_now), cache=None))
        assert graph_now == values_now
        assert saved is None or CODEC.decode(saved).graph_state == values_now
