"""Where each node of a graph runs, for one run: worked out from what the nodes and the graph say."""

from __future__ import annotations

import os
from threading import Lock
from typing import Final
from weakref import WeakKeyDictionary

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.concurrency.blocking import Threads
from spark.graphs.definition.nodes import ExitNode, JoinNode
from spark.graphs.definition.plan import NodePlan
from spark.graphs.definition.policies import UNSET, StepPolicy
from spark.graphs.definition.topology import Topology
from spark.graphs.engine.remote import RemoteNode
from spark.graphs.executors.choosing import chosen_place
from spark.graphs.executors.contract import Executor, NodePlace
from spark.graphs.executors.local import LoopExecutor, ThreadExecutor
from spark.graphs.executors.references import reference_to
from spark.graphs.executors.room import room_of
from spark.graphs.executors.values import ValueCodec, codec_data

_OURS: Final = (ExitNode.process, JoinNode.process)
"""What does nothing worth sending anywhere."""


class Placement:
    """Where the nodes of one run are executed that say so, or whose graph says so.

    :param codec: of the graph; None where it makes no checkpoints.
    :raises GraphDefinitionError: a node can't run where it is to, or what was given is no executor.
    :raises PluginError: nothing has a name that was given.
    """

    def __init__(self, topology: Topology, default: StepPolicy, *, codec: RecordCodec | None) -> None:
        self.pools: dict[str, Threads | None] = {}
        """The keys of plain nodes to their threads; None for the event loop."""
        self.remote: dict[str, RemoteNode] = {}
        """The keys of nodes to what has them executed elsewhere."""
        self._codec = codec or RecordCodec()
        self._is_checked = codec is not None
        self._used: set[NodePlace] = set()
        for plan in topology.plans.values():
            own = plan.policy.executor
            if own is not UNSET and own is not None:
                self._place(plan, chosen_place(own, where=f"node {plan.key!r}"), is_own=True)
            elif (
                own is UNSET
                and default.executor is not UNSET
                and getattr(type(plan.node), "process", None) not in _OURS
            ):
                self._place(plan, chosen_place(default.executor, where="the graph"), is_own=False)

    def open(self) -> None:
        """A run begins."""
        for place in self._used:
            _lease(place)

    def close(self) -> None:
        """It has ended."""
        used, self._used = self._used, set()
        for place in used:
            _release(place)

    def _place(self, plan: NodePlan, place: NodePlace, *, is_own: bool) -> None:
        if isinstance(place, ThreadExecutor):
            if not plan.is_async:
                self.pools[plan.key] = place
                self._used.add(place)
            elif is_own:
                raise GraphDefinitionError(
                    f"Node {plan.key!r} is async, so it runs in the event loop and not in threads. Leave out executor=, or make "
                    "its process a plain function."
                )
        elif isinstance(place, LoopExecutor):
            if not plan.is_async:
                self.pools[plan.key] = None
        elif isinstance(place, Executor):
            self.remote[plan.key] = self._remote_node(plan, place)
            self._used.add(place)
        else:
            raise GraphDefinitionError(
                f"Node {plan.key!r} can't run in a {type(place).__name__}: it is neither an Executor nor one of the core's own."
            )

    def _remote_node(self, plan: NodePlan, executor: Executor) -> RemoteNode:
        codec = ValueCodec(self._codec)
        if executor.packs_code:
            reference = reference_to(plan.node, codec, pack=executor.pack)
        else:
            reference = plan.reference = plan.reference or reference_to(plan.node, codec)
        return RemoteNode(
            executor,
            reference,
            room=room_of(executor),
            codec=codec,
            codec_data=codec_data(self._codec),
            is_checked=self._is_checked,
        )


_LEASES: Final[WeakKeyDictionary[NodePlace, int]] = WeakKeyDictionary()
_LOCK = Lock()


def _lease(place: NodePlace) -> None:
    with _LOCK:
        _LEASES[place] = _LEASES.get(place, 0) + 1


def _release(place: NodePlace) -> None:
    with _LOCK:
        left = _LEASES[place] = _LEASES.get(place, 1) - 1
    if left <= 0:
        place.idle()


def _forget_all() -> None:
    """This process was forked: the runs are in the other one, and perhaps the thread that holds the lock."""
    global _LOCK
    _LOCK = Lock()
    _LEASES.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
