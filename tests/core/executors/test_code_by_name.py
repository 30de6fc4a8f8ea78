"""Code travels by its name only where a worker finds the same by it; else the graph says so when it is built."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import pytest

from spark.errors import GraphDefinitionError, SerializationError
from spark.graphs import Graph, Node, NodeContext, node
from tests.support.pickled_executor import PickledExecutor


def tenfold(function: Callable[[Any], int]) -> Callable[[Any], int]:
    @wraps(function)
    def decorated(given: Any) -> int:
        return 10 * function(given)

    return decorated


def increment(count: int) -> int:
    return count + 1


increment_tenfold = tenfold(increment)  # under the name of another one


def one(context: NodeContext) -> int:
    return 1


def tagged(tag: str, context: NodeContext) -> str:
    return tag


class Answer:
    def __init__(self, answer: str) -> None:
        self.answer = answer

    def __call__(self, context: NodeContext) -> str:
        return self.answer

    def method(self, context: NodeContext) -> str:
        return self.answer


class Updates(Node):
    async def process(self, context: NodeContext) -> None:
        await context.graph_state.update("count", increment_tenfold, 0)


class UpdatesBy(Node):
    function: Any = None

    async def process(self, context: NodeContext) -> None:
        await context.graph_state.update("count", type(self).function, 0)


of_partial = node(partial(tagged, "a"), name="of a partial")
of_lambda = node(lambda context: 1, name="of a lambda")
of_object = node(Answer("a"), name="of an object")
first_method = node(Answer("a").method, name="the first of two")
last_method = node(Answer("b").method, name="the last of two")
decorated = node(tenfold(one), name="decorated")


class Replaced(Node):
    def process(self) -> int:
        return 1


replaced = Replaced()


class Replaced(Node):  # type: ignore[no-redef]
    def process(self) -> int:
        return 2


@pytest.mark.parametrize("start", [of_partial, of_object, first_method, replaced], ids=lambda node: str(node.label()))
def test_a_node_under_whose_name_there_is_another_is_refused(start: Node) -> None:
    with PickledExecutor() as executor, pytest.raises(GraphDefinitionError, match="something else is there"):
        Graph(start, executor=executor)


def test_a_lambda_is_refused_that_is_a_node() -> None:
    with PickledExecutor() as executor, pytest.raises(GraphDefinitionError, match="is a lambda"):
        Graph(of_lambda, executor=executor)


def test_a_decorated_function_is_refused_that_no_module_keeps() -> None:
    with PickledExecutor() as executor, pytest.raises(GraphDefinitionError, match="something else is there"):
        Graph(node(tenfold(one)), executor=executor)


@pytest.mark.parametrize(("start", "answer"), [(last_method, "b"), (Replaced(), 2)])
async def test_what_is_found_is_executed(start: Node, answer: Any) -> None:
    with PickledExecutor() as executor:
        assert (await Graph(start, executor=executor).run()).content == answer


@pytest.mark.parametrize("function", [lambda count: count, partial(lambda more, count: count, 1), Answer("a")])
async def test_an_update_by_what_has_no_name_says_what_to_do(function: Callable[[Any], Any]) -> None:
    UpdatesBy.function = staticmethod(function)
    with PickledExecutor() as executor, pytest.raises(GraphDefinitionError, match=r"functools\.partial; or use append"):
        await Graph(UpdatesBy(), executor=executor).run()


async def test_what_a_function_is_bound_to_must_be_a_value_that_can_be_sent() -> None:
    UpdatesBy.function = Answer("a").method
    with (
        PickledExecutor() as executor,
        pytest.raises(SerializationError, match="output and writes of node 'UpdatesBy'"),
    ):
        await Graph(UpdatesBy(), executor=executor).run()


async def test_an_update_by_a_function_under_whose_name_there_is_another_is_refused() -> None:
    with PickledExecutor() as executor, pytest.raises(GraphDefinitionError, match="Write it at the top of a module"):
        await Graph(Updates(), executor=executor).run()
