"""Finding a class by the name that stored data has for it, without importing or running anything."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from spark.graphs import ExitNode, FunctionNode, Graph, JoinNode, Message, Node, Progress
from spark.graphs.checkpoint import (
    Boundary,
    CheckpointConfig,
    CheckpointInfo,
    DamagedRecord,
    GraphCheckpoint,
    InMemoryCheckpointBackend,
    KeepLast,
    Listing,
    ReadLimits,
    Verification,
)
from spark.graphs.checkpoint.storage import BlobRef, CheckpointQuery, RecordHeader
from spark.graphs.tasks import Budget, Task, TaskType
from spark.graphs.values.loaded import class_name, find_loaded


class Base:
    class Inner:
        pass


class Child(Base):
    class Grandchild(Base):
        pass


Alias = Child


def test_a_class_is_found_by_its_own_name_also_when_nested_or_local() -> None:
    class Local(Base):
        pass

    for cls in (Child, Child.Grandchild, Local):
        assert find_loaded(Base, *class_name(cls).split(":")) is cls


def test_an_alias_in_its_module_keeps_an_old_name_working() -> None:
    assert find_loaded(Base, __name__, "Alias") is Child


@pytest.mark.parametrize(
    ("module", "qualname"),
    [
        ("os", "system"),
        ("no_such_module", "Child"),
        (__name__, "Base.Inner"),
        (__name__, "pytest"),
        ("", ""),
        ("os", ""),
    ],
)
def test_what_is_no_loaded_subclass_is_not_found(module: str, qualname: str) -> None:
    assert find_loaded(Base, module, qualname) is None
    assert "no_such_module" not in sys.modules


def test_the_newest_definition_wins() -> None:
    def define() -> type[Base]:
        class Again(Base):
            pass

        return Again

    _first, second = define(), define()

    assert find_loaded(Base, *class_name(second).split(":")) is second


def test_a_modules_getattr_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages import their parts there; what a stored name says must not set that off."""
    lazy = ModuleType("lazy_module")
    asked: list[str] = []
    lazy.__getattr__ = asked.append  # type: ignore[method-assign, assignment]
    monkeypatch.setitem(sys.modules, "lazy_module", lazy)

    assert find_loaded(Base, "lazy_module", "Thing") is None
    assert asked == []


def make_subclass(module: str, qualname: str) -> type[Base]:
    return type(qualname, (Base,), {"__module__": module, "__qualname__": qualname})


def test_a_script_that_is_run_and_one_that_is_imported_mean_the_same_class() -> None:
    as_script, imported = make_subclass("__main__", "InScript"), make_subclass("my_script", "Imported")

    assert find_loaded(Base, "my_script", "InScript") is as_script
    assert find_loaded(Base, "__main__", "Imported") is imported


def test_a_name_that_two_modules_could_mean_is_not_guessed() -> None:
    _one, _other = make_subclass("one", "Twice"), make_subclass("other", "Twice")

    assert find_loaded(Base, "__main__", "Twice") is None
    assert find_loaded(Base, "third", "Twice") is None


@pytest.mark.parametrize(
    ("stored", "cls"),
    [
        ("spark.graphs.nodes:Node", Node),
        ("spark.graphs.nodes:ExitNode", ExitNode),
        ("spark.graphs.nodes:JoinNode", JoinNode),
        ("spark.graphs.nodes:FunctionNode", FunctionNode),
        ("spark.graphs.message:Message", Message),
        ("spark.graphs.progress:Progress", Progress),
        ("spark.graphs.tasks:Task", Task),
        ("spark.graphs.tasks:TaskType", TaskType),
        ("spark.graphs.tasks:Budget", Budget),
        ("spark.graphs.checkpoint.model:GraphCheckpoint", GraphCheckpoint),
        ("spark.graphs.checkpoint.model:CheckpointInfo", CheckpointInfo),
        ("spark.graphs.checkpoint.config:CheckpointConfig", CheckpointConfig),
        ("spark.graphs.checkpoint.retention:KeepLast", KeepLast),
        ("spark.graphs.checkpoint.triggers:Boundary", Boundary),
        ("spark.graphs.checkpoint.listing:Listing", Listing),
        ("spark.graphs.checkpoint.listing:DamagedRecord", DamagedRecord),
        ("spark.graphs.checkpoint.limits:ReadLimits", ReadLimits),
        ("spark.graphs.checkpoint.verification:Verification", Verification),
        ("spark.graphs.checkpoint.blobs:BlobRef", BlobRef),
        ("spark.graphs.checkpoint.query:CheckpointQuery", CheckpointQuery),
        ("spark.graphs.checkpoint.record:RecordHeader", RecordHeader),
    ],
)
def test_what_is_stored_of_our_own_classes_does_not_change_when_they_move(stored: str, cls: type) -> None:
    assert class_name(cls) == stored
    assert find_loaded(object, *stored.split(":")) is cls


async def test_a_checkpoint_names_our_node_classes_as_ever_and_is_continued_with_them() -> None:
    join = JoinNode()
    join >> ExitNode()
    backend = InMemoryCheckpointBackend()
    graph = Graph(join, id="moved", checkpoint_config=CheckpointConfig(backend=backend))
    checkpoint = graph.create_checkpoint("before")
    await checkpoint.save(backend)
    assert checkpoint.topology is not None
    recorded = [node["class"] for node in checkpoint.topology["nodes"]]
    assert recorded == ["spark.graphs.nodes:JoinNode", "spark.graphs.nodes:ExitNode"]

    restored = Graph.from_checkpoint(checkpoint)
    assert (await restored.run()).status == "completed"
