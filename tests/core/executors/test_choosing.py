"""Where nodes run is chosen by an object, by name with options, or by a name that the settings give a meaning."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, NodeError, PluginNotFoundError, SparkWarning
from spark.graphs import Graph, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend
from spark.graphs.executors import LoopExecutor, ThreadExecutor, close_executors
from spark.hooks import ExecutorSpec, hookimpl, register
from spark_testing.suites.executors import nodes
from tests.support.pickled_executor import PickledExecutor


class Here(Node):
    def process(self) -> str:
        return threading.current_thread().name


class AsksPlainly(Node):
    def process(self, context: NodeContext) -> None:
        context.run("pay", nodes.pay, "file")


class Async(Node):
    async def process(self) -> str:
        return threading.current_thread().name


async def where(start: Node, **arguments: Any) -> Any:
    return (await Graph(start, **arguments).run()).content


class TestInThisProcess:
    async def test_without_a_choice_plain_nodes_run_in_threads_and_async_ones_in_the_loop(self) -> None:
        assert (await where(Here())).startswith("spark-node")
        assert await where(Async()) == threading.current_thread().name

    @pytest.mark.parametrize("given", ["loop", {"loop": {}}, LoopExecutor()])
    async def test_a_plain_node_runs_in_the_event_loop(self, given: Any) -> None:
        assert await where(Here(executor=given)) == threading.current_thread().name
        assert await where(Here(), executor=given) == threading.current_thread().name

    async def test_there_it_can_not_await_either(self) -> None:
        with pytest.raises(NodeError, match="plain function"):
            await where(AsksPlainly(), executor="loop")

    async def test_threads_have_a_name_and_a_size(self) -> None:
        barrier = threading.Barrier(2, timeout=60)

        class Meets(Node):
            def process(self) -> str:
                barrier.wait()
                return threading.current_thread().name

        start = Async()
        start >> [Meets(name="a"), Meets(name="b")] >> JoinNode()
        names = await where(start, executor={"threads": {"size": 2, "label": "parsing"}})
        close_executors()

        assert sorted(names["results"]) == ["parsing_0", "parsing_1"]

    async def test_the_node_s_own_choice_wins(self) -> None:
        assert (await where(Here(executor={"threads": {"label": "own"}}), executor="loop")).startswith("own")
        close_executors()

    async def test_a_graph_s_threads_leave_async_nodes_where_they_are(self) -> None:
        assert await where(Async(), executor="threads") == threading.current_thread().name

    def test_an_async_node_can_not_be_sent_into_threads(self) -> None:
        with pytest.raises(GraphDefinitionError, match="'Async' is async, so it runs in the event loop"):
            Graph(Async(executor="threads"))

    async def test_threads_end_with_the_last_run_that_uses_them(self) -> None:
        pool = ThreadExecutor(2, label="short")
        await where(Here(), executor=pool)
        for thread in threading.enumerate():
            if thread.name.startswith("short"):
                thread.join(60)

        assert not [thread for thread in threading.enumerate() if thread.name.startswith("short")]

    @pytest.mark.parametrize("size", [0, True, 1.5])
    def test_a_size_is_a_number_of_threads(self, size: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="whole number of at least 1"):
            ThreadExecutor(size)


class Plugin:
    @hookimpl
    def spark_executors(self) -> list[ExecutorSpec]:
        return [ExecutorSpec(name="pickled", target="tests.support.pickled_executor:PickledExecutor")]


class TestByName:
    async def test_a_plugin_s_executor_is_shared_by_all_that_name_it(self) -> None:
        with register(Plugin(), name="pickled"):
            assert (await where(Here(), executor="pickled")).startswith("pickled")
            assert (await where(Here(), executor={"pickled": {"threads": 1}})) == "pickled_0"
            close_executors()

    @pytest.mark.parametrize("given", [3, [], {}, ThreadExecutor, ""])
    def test_what_is_none_is_refused(self, given: Any) -> None:
        with pytest.raises(GraphDefinitionError, match="Give the name of an installed executor"):
            Graph(Here(), executor=given or 0)

    def test_an_unknown_name_says_what_to_do(self) -> None:
        with pytest.raises(PluginNotFoundError, match=r'table \[executors\], for instance parsing = "process"'):
            Graph(Here(executor="parsing"))

    def test_options_are_checked(self) -> None:
        with pytest.raises(GraphDefinitionError, match="sise"):
            Graph(Here(executor={"threads": {"sise": 3}}))

    def test_a_node_that_a_worker_could_not_import_is_refused_when_the_graph_is_built(self) -> None:
        class Local(Node):
            async def process(self) -> None: ...

        with PickledExecutor() as executor, pytest.raises(GraphDefinitionError, match="defined within a function"):
            Graph(Local(), executor=executor)

    def test_a_node_with_arguments_that_can_not_be_sent_is_refused(self) -> None:
        with (
            PickledExecutor() as executor,
            pytest.raises(GraphDefinitionError, match=r"can't be sent to a worker: \(argument 1\) can't be saved"),
        ):
            Graph(nodes.Made(threading.Lock(), name="m"), executor=executor)  # type: ignore[arg-type]


class TestSettings:
    @pytest.mark.parametrize("line", ['parsing = "loop"', "parsing = { loop = {} }", "[executors.parsing.loop]"])
    async def test_a_name_of_one_s_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
        text = line if line.startswith("[") else f"[executors]\n{line}"
        (tmp_path / "spark.toml").write_text(text + "\n")
        monkeypatch.chdir(tmp_path)

        assert await where(Here(executor="parsing")) == threading.current_thread().name

    async def test_the_environment_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "pyproject.toml").write_text('[tool.spark.executors]\nby-hand = "threads"\n')
        monkeypatch.chdir(tmp_path)
        assert (await where(Here(executor="by-hand"))).startswith("spark-node")
        monkeypatch.setenv("SPARK_EXECUTOR_BY_HAND", "loop")

        assert await where(Here(executor="by-hand")) == threading.current_thread().name

    async def test_options_come_from_the_table_of_the_plugin(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "spark.toml").write_text('[plugins.threads]\nlabel = "from-a-file"\n')
        monkeypatch.chdir(tmp_path)

        assert (await where(Here(), executor="threads")).startswith("from-a-file")
        close_executors()

    def test_what_is_wrong_there_is_said_with_its_place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "spark.toml").write_text("[executors]\nparsing = { threads = { size = 0 } }\n")
        monkeypatch.chdir(tmp_path)

        with pytest.raises(GraphDefinitionError, match=r"spark\.toml:\[executors\] parsing"):
            Graph(Here(executor="parsing"))


class TestRestored:
    async def test_what_was_chosen_by_name_is_recorded_and_chosen_again(self) -> None:
        checkpoint = await stored(Here(executor="loop"))
        restored = Graph.from_checkpoint(checkpoint)

        assert checkpoint.topology["nodes"][0]["executor"] == "loop"
        assert (await restored.run()).content == threading.current_thread().name

    async def test_an_object_is_not_and_that_is_said(self) -> None:
        checkpoint = await stored(Here(executor=LoopExecutor()))

        assert checkpoint.topology["nodes"][0]["executor"] == "code"
        with pytest.warns(SparkWarning, match="its executor= is an object of the program"):
            restored = Graph.from_checkpoint(checkpoint)
        assert (await restored.run()).content.startswith("spark-node")


async def stored(start: Node) -> Any:
    """A checkpoint in which the start is pending, of a graph that is gone."""
    store = InMemoryCheckpointBackend()
    await Graph(start, id="g", checkpoint_config=CheckpointConfig(backend=store, trigger_on_start=True)).run()
    gc.collect()
    manager = CheckpointManager(store)
    first = min(await manager.list_checkpoints("g"), key=lambda info: info.sequence)
    return await manager.load_checkpoint(first.checkpoint_id)
