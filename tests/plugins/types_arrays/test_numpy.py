"""NumPy arrays of any dtype, shape and layout come back exactly, in memory of their own, and are cheap to keep."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spark.errors import DeserializationError, SerializationError
from spark.graphs import ExitNode, Graph, NodeContext, Task, node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, GraphCheckpoint
from spark.graphs.checkpoint.serialization.reader import TreeReader
from spark.graphs.checkpoint.storage import RecordCodec
from spark.graphs.values.snapshots import snapshot
from spark_testing.suites.blob_memory import BlobMemory
from tests.plugins.types_arrays.exact import is_same_array, is_same_dtype

CODEC = RecordCodec()
dtypes = hnp.scalar_dtypes() | hnp.array_dtypes(hnp.scalar_dtypes(), max_size=3) | hnp.nested_dtypes(max_leaves=4)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def restored(value: Any) -> Any:
    return TreeReader().value(CODEC.tree(value))


@given(hnp.arrays(dtype=dtypes.filter(lambda dtype: dtype.itemsize > 0), shape=shapes))
@settings(max_examples=60, deadline=None)
def test_any_array_comes_back(array: np.ndarray[Any, Any]) -> None:
    back = restored(array)

    assert back.shape == array.shape
    assert is_same_dtype(back.dtype, array.dtype)
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_any_view_comes_back(data: st.DataObject) -> None:
    """Strided, reversed, transposed, broadcast, in Fortran's order."""
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    array = np.arange(np.prod(shape)).reshape(shape, order=data.draw(st.sampled_from("CF")))
    view = array[data.draw(hnp.basic_indices(shape, allow_newaxis=True))]
    view = view.transpose(data.draw(st.permutations(range(view.ndim)))) if isinstance(view, np.ndarray) else view

    back, copied = restored(view), snapshot(view)
    assert is_same_array(view, back)
    if isinstance(view, np.ndarray):
        assert is_same_array(view, copied)
        assert not np.shares_memory(view, copied)


@given(dtypes.filter(lambda dtype: dtype.itemsize > 0))
@settings(max_examples=50, deadline=None)
def test_any_dtype_comes_back(dtype: np.dtype[Any]) -> None:
    assert is_same_dtype(restored(dtype), dtype)


@pytest.mark.parametrize("code", ["f2", "f8", "g", "c16", "?", "u1", "i8", ">f4", "M8[ms]", "m8[15us]", "U3", "S3"])
def test_a_large_array_is_its_own_bytes_beside_the_record(code: str) -> None:
    array = np.zeros(20_000, code)
    kept: list[Any] = []

    def keep(pieces: Any) -> list[int]:
        kept.append(pieces)
        return [0, pieces.size]

    from spark.graphs.checkpoint.serialization.writer import TreeWriter

    TreeWriter(keep=keep).tree(array)
    ((view,),) = [pieces.views for pieces in kept]
    assert np.shares_memory(np.frombuffer(view, np.uint8), array)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_array_in_any_order_is_not_copied(order: Any) -> None:
    array = np.zeros((200, 300), order=order)
    views: list[memoryview] = []
    from spark.graphs.checkpoint.serialization.writer import TreeWriter

    TreeWriter(keep=lambda pieces: views.extend(pieces.views) or [0, 1]).tree([array])

    assert np.shares_memory(np.frombuffer(views[0], np.uint8), array)


def test_an_array_that_nobody_can_change_is_shared() -> None:
    constant = np.frombuffer(bytes(80_000))
    hidden = np.zeros(10)
    view = hidden.view()
    view.flags.writeable = False
    CODEC.tree(constant)

    assert snapshot(constant) is constant
    assert not np.shares_memory(snapshot(view), hidden)


def test_what_is_set_is_a_snapshot_and_what_is_read_a_copy() -> None:
    @node
    async def change(context: NodeContext) -> None:
        array = np.zeros(3)
        await context.graph_state.set("array", array)
        array += 1
        read = await context.graph_state.get("array")
        read += 2
        assert (await context.graph_state.get("array")).tolist() == [0, 0, 0]

    run(Graph(change, id="g", checkpoint_config=CheckpointConfig(backend=BlobMemory(), trigger_on_iteration=1)))


def test_an_array_that_did_not_change_is_stored_once() -> None:
    steady = np.arange(50_000.0)
    backend = BlobMemory()

    @node
    async def loop(context: NodeContext) -> Any:
        step = await context.graph_state.get("step", 0) + 1
        await context.graph_state.set("step", step)
        await context.graph_state.set("changing", np.full(2_000, step))
        return {"more": step < 4}

    loop.on(more=True) >> loop
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
    run(Graph(loop, id="g", state={"steady": steady}, checkpoint_config=config), Task(inputs={"steady": steady}))

    assert max(backend.written[1:]) < 30_000 < 2 * steady.nbytes < backend.written[0]


async def test_arrays_come_back_in_state_inputs_and_outputs() -> None:
    backend = BlobMemory()
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
    arrays = {name: np.full(5_000, number) for number, name in enumerate(("state", "inputs", "outputs"))}

    @node
    async def first(context: NodeContext) -> Any:
        return {"outputs": arrays["outputs"]}

    first >> ExitNode()
    await Graph(first, id="g", state={"state": arrays["state"]}, checkpoint_config=config).run(
        Task(inputs={"inputs": arrays["inputs"]})
    )
    checkpoint: GraphCheckpoint | None = await CheckpointManager(backend).load_checkpoint("ckpt_g_000001")
    assert checkpoint is not None
    assert checkpoint.frontier is not None
    (content,) = checkpoint.frontier["contents"].values()

    found = {"state": checkpoint.graph_state["state"], "inputs": checkpoint.config["inputs"]["inputs"], **content}
    assert all(is_same_array(arrays[name], found[name]) for name in arrays)
    record = await backend.get("g", 1)
    assert record is not None
    assert len(record.payload) < 4_000


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"deep": [np.array([{}])]}, r"state\['deep'\]\[0\] can't be saved: its elements are Python objects"),
        (np.array([None, 1]), "state can't be saved: its elements are Python objects"),
        (np.zeros(1, np.dtype("f8", metadata={"a": 1})), "with metadata"),
        (np.rec.array([(1,)], dtype=[("a", "i4")]), "recarray is not supported"),
    ],
)
def test_what_would_not_come_back_exactly_is_refused_with_the_path(value: Any, reason: str) -> None:
    with pytest.raises(SerializationError, match=reason):
        CODEC.tree(value, "state")


@pytest.mark.parametrize(
    "spoil",
    [
        {"shape": [2**40]},
        {"shape": [-1]},
        {"shape": [1.0]},
        {"shape": "x"},
        {"shape": [2**70, 0]},
        {"dtype": "O"},
        {"dtype": "<f8,<f8"},
        {"dtype": "|O8"},
        {"dtype": ["fields", [["a", "O", 0]], 8, False]},
        {"dtype": ["fields", [["a", "<f8", 2**31]], 8, False]},
        {"dtype": ["array", "<f8", [2**31]]},
        {"dtype": "|V0", "shape": [2**60], "bytes": {"$memoryview": ""}},
        {"dtype": "<U0", "shape": [2**60], "bytes": {"$memoryview": ""}},
        {"dtype": ["array", "<f8", [1]]},
        {"dtype": ["$long", "<f16", 1]},
        {"dtype": ["$long", "<f8", 63]},
        {"bytes": {"$memoryview": ""}},
        {"bytes": "x"},
    ],
    ids=str,
)
def test_an_array_that_lies_about_itself_is_refused(spoil: dict[str, Any]) -> None:
    data = {"dtype": "<f8", "shape": [2], "bytes": {"$memoryview": "AAAAAAAAAAAAAAAAAAAAAA=="}}

    with pytest.raises(DeserializationError, match="numpy:ndarray can't be rebuilt"):
        TreeReader().value({"$type": ["numpy:ndarray", data | spoil]})


def test_numpy_s_bundle_imports_no_other_library() -> None:
    code = """
import sys, numpy
from spark.graphs.checkpoint.storage import RecordCodec
RecordCodec().tree([numpy.zeros(3), numpy.float64(1)])
print({"pandas", "pyarrow", "torch"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=200)

    assert done.stdout == "set()\n"


def run(graph: Graph, task: Task | None = None) -> None:
    import asyncio

    asyncio.run(graph.run(task) if task else graph.run())


@pytest.mark.parametrize(("part", "size", "kinds"), [("mask", 2, "??"), ("fill", (), ["i1", "f8"])])
def test_parts_of_a_masked_array_that_have_other_fields_are_refused(part: str, size: Any, kinds: Any) -> None:
    """NumPy would convert them, and write beyond the end of the memory that it has."""
    intact = np.ma.array(np.zeros(2, [("a", "i1"), ("b", "f8", (2, 2))]), mask=True)
    tree: Any = CODEC.tree(intact)
    tree["$type"][1][part] = CODEC.tree(np.zeros(size, [("a", kinds[0]), ("b", kinds[1], (2, 0))]))

    assert is_same_array(restored(intact), intact)
    with pytest.raises(DeserializationError, match="field"):
        TreeReader().value(tree)
