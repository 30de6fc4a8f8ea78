"""The content of a checkpoint ↔ the payload of its record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from spark.errors import CheckpointDamagedError, SerializationError
from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.records.blobs import SMALLEST, BlobRef
from spark.graphs.checkpoint.records.chunks import ChunkedSection
from spark.graphs.checkpoint.records.formats import DeferredPayload, EncodedItems, Format
from spark.graphs.checkpoint.records.limits import DEFAULT_LIMITS, ReadLimits
from spark.graphs.checkpoint.serialization.cost import CostBudget
from spark.graphs.checkpoint.serialization.object_hook import ObjectHook
from spark.graphs.checkpoint.serialization.reader import TreeReader
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer
from spark.graphs.checkpoint.serialization.unsaveable import describe
from spark.graphs.checkpoint.serialization.writer import TreeWriter
from spark.graphs.values.containers import PlainList, ordinary
from spark.graphs.values.loaded import class_name
from spark.graphs.values.paths import find_unserializable

_SECTIONS: Final = ("graph_state", "node_states", "execution_metadata", "config", "topology", "frontier")
"""The parts of a checkpoint that map names to a user's values; the last two may be None."""
_FACTS: Final = ("timestamp", "origin")
"""What the header has no place for; written only where it says something."""

_NO_MEMBERS: Final = EncodedItems.of(())

KeepApart = Callable[[bytes], BlobRef]


class PayloadWriter:
    """Writes payloads in one format. It keeps nothing between calls but what is in the caller's cache."""

    def __init__(self, format: Format, serializer: CheckpointSerializer | None, limits: ReadLimits) -> None:
        self._format = format
        self._writer = TreeWriter(serializer, most_equal_hashes=limits.max_equal_hashes)
        self._facts_writer = TreeWriter()
        self._hook = ObjectHook(serializer)

    def write(
        self,
        checkpoint: GraphCheckpoint,
        *,
        cache: EncodingCache,
        cost_budget: CostBudget | None,
        keep_apart: KeepApart | None,
    ) -> bytes | DeferredPayload:
        """The payload, in pieces where the format composes: then of the two states only what the cache lacks is encoded.

        :param keep_apart: takes an encoded value that is large, and gives the reference that stands for it; None keeps all
            values in the payload, as do formats that don't compose.
        :raises CostExceededError: what has to be encoded is more than the cost budget allows, if one was given.
        :raises SerializationError: a value can't be saved; the error has the path to it.
        """
        if self._format.composes:
            cache.claim(self._format)
            return self._compose(checkpoint, cache, cost_budget, keep_apart)
        if cost_budget is not None:
            cost_budget.add((checkpoint.graph_state, checkpoint.node_states))
        return self._dump(self._objects(checkpoint) if self._format.takes_objects else self._tree(checkpoint))

    def tree(self, value: Any, path: str = "") -> Any:
        """The plain tree of a value, by itself."""
        return self._writer.tree(value, path)

    def check(self, value: Any, path: str) -> None:
        """Write a value by itself, for nobody."""
        self._dump(self._hook.value(value, path) if self._format.takes_objects else self.tree(value, path), path)

    def _compose(
        self,
        checkpoint: GraphCheckpoint,
        cache: EncodingCache,
        cost_budget: CostBudget | None,
        keep_apart: KeepApart | None,
    ) -> DeferredPayload:
        facts = _facts(checkpoint)
        return DeferredPayload(
            self._format,
            {
                "graph_state": self._members(cache, cost_budget, keep_apart, "graph_state", checkpoint.graph_state),
                "node_states": self._members(cache, cost_budget, keep_apart, "node_states", checkpoint.node_states),
                "execution_metadata": self._section("execution_metadata", checkpoint.execution_metadata),
                "config": cache.whole(
                    "config",
                    checkpoint.config,
                    lambda name, values: self._whole(cache, cost_budget, keep_apart, name, values),
                ),
                "topology": cache.whole("topology", checkpoint.topology, self._section),
                "frontier": self._frontier(checkpoint.frontier),
            }
            | {name: self._dump(self._facts_writer.tree(fact, name), name) for name, fact in facts.items()},
        )

    def _members(
        self,
        cache: EncodingCache,
        cost_budget: CostBudget | None,
        keep_apart: KeepApart | None,
        name: str,
        values: dict[str, Any],
    ) -> EncodedItems | bytes:
        def encode(key: str, value: Any) -> bytes:
            if cost_budget is not None:
                cost_budget.add(value)
            path = _path(name, key)
            data = self._dump(self._writer.tree(value, path), path)
            if keep_apart is not None:
                data = self._referred(cache, keep_apart, (name, key), data)
            return self._format.member(key, data)

        _check_section(name, values)
        if not values:  # as the node states of many a graph
            cache.drop(name)
            return _NO_MEMBERS
        section = cache.section(name, values, encode)
        if section is None:
            return self._section(name, values)
        if keep_apart is None or (parts := section.divided()) is None:
            return section.members.copy()
        return self._parts(parts, keep_apart)

    def _whole(
        self,
        cache: EncodingCache,
        cost_budget: CostBudget | None,
        keep_apart: KeepApart | None,
        name: str,
        values: dict[str, Any],
    ) -> EncodedItems | bytes:
        """A section that is encoded once: in one piece, unless there may be large values in it."""
        if cost_budget is not None:
            cost_budget.add(values)
        data = self._section(name, values)
        if keep_apart is not None and len(data) >= SMALLEST:
            return self._members(cache, None, keep_apart, name, values)
        cache.drop(name)
        return data

    def _parts(self, parts: ChunkedSection, keep_apart: KeepApart) -> bytes:
        def store(content: bytes) -> tuple[str, bytes]:
            ref = keep_apart(content)
            return ref.name, self._dump(ref.tree())

        return parts.compose(store, self._format.compose)

    def _referred(self, cache: EncodingCache, keep_apart: KeepApart, place: tuple[str, str], data: bytes) -> bytes:
        """What stands in the payload for an encoded value: itself, or a reference where it is large."""
        if len(data) < SMALLEST:
            cache.refer(place, None)
            return data
        ref = keep_apart(data)
        cache.refer(place, ref.name)
        return self._dump(ref.tree())

    def _frontier(self, frontier: dict[str, Any] | None) -> bytes:
        if type(frontier) is not dict or type(frontier.get("tokens")) is not PlainList or self._writer.has_hook:
            return self._section("frontier", frontier)
        # Made by the engine: only what nodes gave it has to be looked at.
        tree = {**frontier, "tokens": list(frontier["tokens"])}
        tree["contents"] = self._writer.tree(frontier["contents"], "frontier['contents']")
        if "result" in frontier:
            tree["result"] = self._writer.tree(frontier["result"], "frontier['result']")
        return self._dump(tree, "frontier")

    def _section(self, name: str, values: dict[str, Any] | None) -> bytes:
        return self._dump(self._section_tree(name, values), name)

    def _tree(self, checkpoint: GraphCheckpoint) -> dict[str, Any]:
        sections = {name: self._section_tree(name, getattr(checkpoint, name)) for name in _SECTIONS}
        return sections | {name: self._facts_writer.tree(fact, name) for name, fact in _facts(checkpoint).items()}

    def _section_tree(self, name: str, values: dict[str, Any] | None) -> Any:
        _check_section(name, values)
        return None if values is None else self._writer.mapping(values, name)

    def _objects(self, checkpoint: GraphCheckpoint) -> dict[str, Any]:
        objects = {name: getattr(checkpoint, name) for name in _SECTIONS} | _facts(checkpoint)
        for name in _SECTIONS:
            _check_section(name, objects[name])
            if objects[name] is not None:
                content = {key: ordinary(value) for key, value in objects[name].items()}
                objects[name] = self._hook.lower(content, name)
        return objects

    def _dump(self, tree: Any, path: str = "") -> bytes:
        try:
            return self._format.dumps(tree)
        except Exception as error:
            raise self._explain(tree, path, error) from error

    def _explain(self, tree: Any, path: str, error: Exception) -> SerializationError:
        steps, part = find_unserializable(tree, self._can_write)
        whole = path + steps if path else _section_path(steps)
        return SerializationError(
            f"{whole or 'The checkpoint'} can't be saved: the format {self._format.name!r} can't write a "
            f"{class_name(type(part))}: {describe(error)}. Convert it to plain values, or give the backend a "
            "serializer. Nothing was written.",
            path=whole,
        )

    def _can_write(self, value: Any) -> bool:
        try:
            self._format.dumps(value)
        except Exception:
            return False
        return True


class PayloadReader:
    """Reads payloads back into a checkpoint's content."""

    def __init__(self, serializer: CheckpointSerializer | None) -> None:
        self._serializer = serializer
        self._hook = ObjectHook(serializer)

    def read(
        self, format: Format, tree: Any, *, is_plain: bool = False, limits: ReadLimits = DEFAULT_LIMITS
    ) -> dict[str, Any]:
        """The content by the names of ``GraphCheckpoint``'s fields; of the facts only those that were written.

        :param tree: what the format loaded.
        :param is_plain: nothing in it stands for something else.
        :raises CheckpointDamagedError: it is no checkpoint.
        :raises DeserializationError: the type of a value is not known here, or a value is more than the limits allow.
        """
        if type(tree) is not dict or not tree.keys() >= {*_SECTIONS}:
            raise CheckpointDamagedError("its payload is not a checkpoint, or parts of it are missing")
        reader = TreeReader(self._serializer, limits=limits)
        read_section = self._section_reader(reader, format, is_plain=is_plain)
        content: dict[str, Any] = {}
        for name in _SECTIONS:
            is_absent = tree[name] is None and name in ("topology", "frontier")
            content[name] = None if is_absent else read_section(tree[name], name)
        return content | self._facts(reader.without_hook(), format, tree)

    def _section_reader(
        self, reader: TreeReader, format: Format, *, is_plain: bool
    ) -> Callable[[Any, str], dict[str, Any]]:
        if format.takes_objects:
            return self._lift
        return _as_it_is if is_plain and not reader.has_hook else reader.mapping

    def _facts(self, reader: TreeReader, format: Format, tree: dict[str, Any]) -> dict[str, Any]:
        written = [name for name in _FACTS if name in tree]
        facts: dict[str, Any] = {
            name: tree[name] if format.takes_objects else reader.value(tree[name], name) for name in written
        }
        if type(facts.get("timestamp", _MOMENT)) is not datetime or type(facts.get("origin", "")) is not str:
            raise CheckpointDamagedError("its timestamp or origin is not valid")
        return facts

    def _lift(self, values: Any, name: str) -> dict[str, Any]:
        return self._hook.lift(_as_it_is(values, name), name)


def _as_it_is(values: Any, name: str) -> dict[str, Any]:
    if type(values) is not dict:
        raise CheckpointDamagedError(f"its {name} is not a mapping")
    return values


_MOMENT: Final = datetime.fromtimestamp(0, UTC)


def _facts(checkpoint: GraphCheckpoint) -> dict[str, Any]:
    timestamp = checkpoint.timestamp
    is_in_header = type(timestamp) is datetime and timestamp.tzinfo is UTC
    facts: dict[str, Any] = {} if is_in_header else {"timestamp": timestamp}
    return facts if checkpoint.origin is None else facts | {"origin": checkpoint.origin}


def _check_section(name: str, values: object) -> None:
    if not isinstance(values, dict) and not (values is None and name in ("topology", "frontier")):
        raise SerializationError(f"{name} is a {type(values).__name__}, not a dict. Nothing was written.", path=name)


@lru_cache(maxsize=1024)
def _path(section: str, key: str) -> str:
    """What an error would call the value. The same few keys change in every checkpoint."""
    return f"{section}[{key!r}]"


def _section_path(steps: str) -> str:
    """``['graph_state'][…]`` of a whole checkpoint, as users know it: ``graph_state[…]``."""
    name = next((name for name in (*_SECTIONS, *_FACTS) if steps.startswith(f"['{name}']")), "")
    return name + steps[len(name) + 4 :] if name else steps
