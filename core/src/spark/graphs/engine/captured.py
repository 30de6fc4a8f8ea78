"""A position as a checkpoint needs it: captured at every boundary that is saved, and put into words when that is encoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spark.graphs.checkpoint.recording.capture import Capture
from spark.graphs.engine.spec import RunSpec
from spark.graphs.state.frontier import frontier_data
from spark.graphs.state.token_table import FrozenTokens
from spark.graphs.values.containers import PlainDict
from spark.graphs.values.item_mapping import Captured


class CapturedPosition(Capture):
    """A run at a boundary. In memory thousands of these are kept, so each is one object, and makes its sections when asked.

    It refers to nothing of the graph and its store, which may not outlive each other.

    :param frozen: the frontier.
    :param more: what else its metadata holds, if anything.
    """

    __slots__ = (
        "_config",
        "_contents",
        "_iteration",
        "_last_node",
        "_more",
        "_next_id",
        "_reason",
        "_result",
        "_run_id",
        "_tokens",
        "_told",
        "_topology",
        "graph_state",
        "node_states",
    )

    def __init__(
        self,
        spec: RunSpec,
        graph_state: Captured,
        node_states: Captured,
        frozen: tuple[int, FrozenTokens, Captured | None, dict[str, Captured] | None],
        *,
        result: Mapping[str, Any] | None,
        iteration: int,
        last_node: str | None,
        reason: str,
        more: Mapping[str, Any] | None,
    ) -> None:
        self.timestamp = None
        self.is_repeat = False
        self.mark = 0
        self.graph_state = graph_state
        self.node_states = node_states
        self._topology = spec.topology.shape
        self._config = spec.config
        self._run_id = spec.run_id
        self._next_id, self._tokens, self._contents, self._told = frozen
        self._result = result
        self._iteration = iteration
        self._last_node = last_node
        self._reason = reason
        self._more = more

    @property
    def sections(self) -> dict[str, Any]:
        return {
            "graph_state": self.graph_state,
            "node_states": self.node_states,
            "frontier": self._frontier(),
            "topology": self._topology.data,
            "config": self._config,
            "execution_metadata": self.metadata,
        }

    @property
    def metadata(self) -> dict[str, Any]:
        facts = PlainDict(
            iteration=self._iteration, last_node=self._last_node, run_id=self._run_id, reason=self._reason
        )
        return facts if self._more is None else {**facts, **self._more}

    @property
    def given(self) -> dict[str, Any]:
        frontier = self._frontier()
        del frontier["next_token"], frontier["tokens"]
        return {
            "graph_state": self.graph_state,
            "node_states": self.node_states,
            "frontier": frontier,
            "config": self._config,
            "execution_metadata": self.metadata,
        }

    def _frontier(self) -> dict[str, Any]:
        frontier = frontier_data(self._next_id, self._tokens, self._contents, self._told)
        return frontier if self._result is None else {**frontier, "result": self._result}
