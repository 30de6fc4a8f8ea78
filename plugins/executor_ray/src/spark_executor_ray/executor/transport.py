"""Steps, results and messages as Ray carries them: bytes, and beside them the large buffers, which Ray does not copy again.

Named tuples travel as plain ones, which are pickled faster and in fewer bytes.
"""

from __future__ import annotations

import pickle
from pickle import PickleBuffer
from typing import Any, Final, NamedTuple

from spark.graphs.executors import NodeReference, Sent, StepInput, StepResult

_LARGE: Final = 100 * 1024
"""Bytes: what is smaller, Ray sends along; the rest goes through its object store."""
_NODE: Final = StepInput._fields.index("node")
_ARGUMENTS: Final = NodeReference._fields.index("arguments")
_GIVEN: Final = StepInput._fields.index("given")
_CONTENT: Final = StepResult._fields.index("content")


class Address(NamedTuple):
    """Where a step sends its messages."""

    mailbox: str
    """The name of the actor."""
    step: int


def packed_step(step: StepInput, address: Address) -> Any:
    """A step, and where it sends its messages: bytes, or a pair of them and of buffers."""
    node: list[Any] = [*step.node]
    fields: list[Any] = [*step]
    if step.node.arguments is not None:
        node[_ARGUMENTS] = _carried(step.node.arguments)
    fields[_NODE], fields[_GIVEN] = node, _carried(step.given)
    return _dumped((fields, tuple(address)))


def unpacked_step(carried: Any) -> tuple[StepInput, Address]:
    """What was packed. Its buffers are those that Ray delivers, often a part of shared memory, which nobody can write to."""
    fields, address = _loaded(carried)
    node = fields[_NODE]
    if node[_ARGUMENTS] is not None:
        node[_ARGUMENTS] = Sent(*node[_ARGUMENTS])
    fields[_NODE], fields[_GIVEN] = NodeReference(*node), Sent(*fields[_GIVEN])
    return StepInput(*fields), Address(*address)


def packed_result(result: StepResult, told: int) -> Any:
    """A result, and how many messages its step has sent."""
    fields: list[Any] = [*result]
    if result.content is not None:
        fields[_CONTENT] = _carried(result.content)
    return _dumped((fields, told))


def unpacked_result(carried: Any) -> tuple[StepResult, int]:
    """What was packed."""
    fields, told = _loaded(carried)
    if fields[_CONTENT] is not None:
        fields[_CONTENT] = Sent(*fields[_CONTENT])
    return StepResult(*fields), told


def packed_message(message: tuple[Any, ...]) -> Any:
    """A message, or a reply."""
    return _dumped(tuple(Sent(*_carried(part)) if isinstance(part, Sent) else part for part in message))


def unpacked_message(carried: Any) -> Any:
    """What was packed."""
    return _loaded(carried)


def is_large(carried: Any) -> bool:
    """Whether Ray puts it into its object store."""
    if isinstance(carried, bytes):
        return len(carried) > _LARGE
    data, buffers = carried
    size: int = len(data) + sum(each.raw().nbytes for each in buffers)
    return size > _LARGE


def _carried(sent: Sent) -> tuple[bytes, list[PickleBuffer] | tuple[()]]:
    """A value with buffers that pickle leaves beside its bytes."""
    return sent.payload, [PickleBuffer(each) for each in sent.buffers] if sent.buffers else ()


def _dumped(value: tuple[Any, ...]) -> Any:
    buffers: list[PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return data if not buffers else (data, buffers)


def _loaded(carried: Any) -> Any:
    if isinstance(carried, bytes):
        return pickle.loads(carried)
    data, buffers = carried
    return pickle.loads(data, buffers=buffers)
