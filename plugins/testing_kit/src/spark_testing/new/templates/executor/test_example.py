"""The executor keeps the contract of executors, and refuses options that make no sense."""

from __future__ import annotations

import pytest
from spark_executor_example.executor import ExampleExecutor

from spark.errors import GraphDefinitionError
from spark.graphs import Graph, Node
from spark_testing import ExecutorConformance


class TestExample(ExecutorConformance):
    in_processes = False  # plain nodes can't be stopped, then, and workers not be lost

    def make_executor(self) -> ExampleExecutor:
        return ExampleExecutor(2)


class Answers(Node):
    def process(self) -> int:
        return 42


async def test_it_is_chosen_by_its_name() -> None:
    message = await Graph(Answers(), executor={"example": {"workers": 1}}).run()

    assert message.content == 42


def test_no_workers_are_refused() -> None:
    with pytest.raises(GraphDefinitionError, match="at least 1"):
        Graph(Answers(), executor={"example": {"workers": 0}})
