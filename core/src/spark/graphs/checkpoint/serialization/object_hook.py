"""A user's serializer applied to objects that go to their format as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from spark.errors import DeserializationError
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer, is_hook
from spark.graphs.checkpoint.serialization.unsaveable import Unsaveable, describe
from spark.graphs.checkpoint.serialization.writer import MAX_DEPTH
from spark.graphs.values.containers import ordinary
from spark.graphs.values.paths import key_step, show

_SEQUENCES: Final = frozenset({list, tuple, set, frozenset})


class ObjectHook:
    """``serialize`` on the way down and ``deserialize`` on the way up, through built-in containers."""

    def __init__(self, serializer: CheckpointSerializer | None) -> None:
        self._serializer = serializer if is_hook(serializer) else None

    def lower(self, values: Mapping[str, Any], path: str) -> dict[str, Any]:
        """A mapping with every object in its values replaced by what ``serialize`` returns.

        :raises SerializationError: ``serialize`` raised, or a container contains itself.
        """
        if self._serializer is None:
            return dict(values)
        try:
            return {key: self._below(value, values, key_step(key), 1) for key, value in values.items()}
        except Unsaveable as problem:
            raise problem.to_error(path) from problem.__cause__

    def value(self, value: Any, path: str) -> Any:
        """The same for one value.

        :raises SerializationError: as ``lower``.
        """
        if self._serializer is None:
            return value
        try:
            return self._down(value, 1)
        except Unsaveable as problem:
            raise problem.to_error(path) from problem.__cause__

    def lift(self, values: dict[str, Any], path: str) -> dict[str, Any]:
        """A mapping with every value in it replaced by what ``deserialize`` returns, children first.

        :raises DeserializationError: ``deserialize`` raised.
        """
        if self._serializer is None:
            return values
        return {
            key: self._up(value, self._serializer.deserialize, path + key_step(key)) for key, value in values.items()
        }

    def _below(self, value: Any, container: object, step: str, depth: int) -> Any:
        try:
            return self._down(value, depth)
        except Unsaveable as problem:
            problem.trail.append((container, step))
            raise

    def _down(self, value: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise Unsaveable(f"it is nested deeper than {MAX_DEPTH} levels. Store it flatter.", too_deep=True)
        assert self._serializer is not None
        try:
            value = self._serializer.serialize(ordinary(value))
        except Exception as error:
            raise Unsaveable(f"serialize() of the serializer raised {describe(error)}.") from error
        below = depth + 1
        if type(value) is dict:
            return {
                self._below(key, value, f"{{key {show(key)}}}", below): self._below(item, value, key_step(key), below)
                for key, item in value.items()
            }
        if type(value) in _SEQUENCES:
            return type(value)(self._below(item, value, f"[{i}]", below) for i, item in enumerate(value))
        return value

    def _up(self, value: Any, deserialize: Callable[[Any], Any], path: str) -> Any:
        if type(value) is dict:
            value = {
                self._up(key, deserialize, path): self._up(item, deserialize, path + key_step(key))
                for key, item in value.items()
            }
        elif type(value) in _SEQUENCES:
            value = type(value)(self._up(item, deserialize, f"{path}[{i}]") for i, item in enumerate(value))
        try:
            return deserialize(value)
        except Exception as error:
            raise DeserializationError(
                f"{path} can't be rebuilt: deserialize() of the serializer raised {describe(error)}."
            ) from error
