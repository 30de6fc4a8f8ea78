"""The suite that a format proves itself by."""

from __future__ import annotations

import json
import math
import os
import pickle
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from time import process_time
from typing import Any, ClassVar, Final

import pytest

from spark.errors import PluginNotFoundError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import Format, format_class
from spark_testing.suites.blob_memory import BlobMemory
from spark_testing.suites.conformance import Conformance

TREES: Final[list[Any]] = [
    None,
    True,
    False,
    0,
    -(2**63) + 1,
    2**63 - 1,
    0.0,
    -0.0,
    1.0,
    5e-324,
    -1.7976931348623157e308,
    "",
    "\0",
    "\"'\\/\n\r\t\u2028",
    "é e\u0301 日本語 🙈",
    "x" * 100_000,
    [],
    {},
    [[], {}, [[]], {"": {}}],
    {"": 1, "a.b": 2, "\0": 3, "1": 4, "é": 5, "__type__": "x", "$ref": "#"},
    [True, 1, 1.0, "1", None, False, 0, 0.0, ""],
    list(range(10_000)),
]
"""Plain trees that formats get wrong."""
_DEEP: Final = 100
_MOST_SECONDS: Final = 2
_TOUCHES: Final = 6
_MANY_KEYS: Final = {f"key {number} $": [number, {"é": None}] for number in range(5000)}


class Exploit:
    """Says whether it was unpickled."""

    ran = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (Exploit, "ran", True)


class Add(Node):
    """Adds to what is in the state until it is enough."""

    async def process(self, context: NodeContext) -> Any:
        trees = await context.graph_state.get("trees", [])
        await context.graph_state.set("trees", [*trees, TREES[len(trees)]])
        return {"done": len(trees) + 1 == len(TREES)}


class FormatConformance(Conformance):
    """What every format must do. Subclass it as ``Test…`` with the fixture ``format``; say what the format is."""

    safe_to_load: ClassVar[bool] = True
    """What the format declares."""
    random_trees: ClassVar[int] = 100
    """How many random trees are written and read back."""

    @pytest.fixture
    def format(self) -> Format:
        """A new format."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture 'format'.")

    def test_gives_back_every_plain_tree(self, format: Format) -> None:
        """Not only equal: ``1``, ``1.0`` and ``True`` are three values, and a tree keeps the order of its keys."""
        for tree in TREES:
            assert _is_same(format.loads(format.dumps(tree)), tree), f"{repr(tree)[:200]} does not come back as it was."

    def test_gives_back_random_trees(self, format: Format) -> None:
        """A failure names the seed that makes the same trees again."""
        seed = Random().randrange(2**32)
        random = Random(seed)
        for _ in range(self.random_trees):
            tree = _random_tree(random, depth=4)
            assert _is_same(format.loads(format.dumps(tree)), tree), (
                f"A tree made with Random({seed}) does not come back."
            )

    def test_gives_back_deep_trees(self, format: Format) -> None:
        tree: Any = "bottom"
        for _ in range(_DEEP):
            tree = {"a": [tree]} if isinstance(tree, str | list) else [tree]

        assert _is_same(format.loads(format.dumps(tree)), tree), "A tree of a hundred levels must come back as it was."

    def test_gives_back_bytes_if_it_takes_them(self, format: Format) -> None:
        if format.takes_bytes:
            tree = {"bytes": [b"", b"\0", b"\xff$", b"text", os.urandom(300), b"x" * 70_000], "text": "text"}
            assert _is_same(format.loads(format.dumps(tree)), tree), (
                "takes_bytes is True, so bytes in a tree must come back as bytes, and not as text."
            )

    def test_knows_how_many_values_it_would_load(self, format: Format) -> None:
        """What is compressed may stand for very many, and is refused before they are made."""
        if format.takes_objects:
            return
        random = Random(5)
        for tree in (*TREES, *(_random_tree(random, depth=4) for _ in range(self.random_trees))):
            data = format.dumps(tree)
            assert _members(tree) <= format.count(data) <= len(data), (
                f"count() must say how many values loads() makes at most; of {_members(tree):,} it says {format.count(data):,}."
            )

    def test_calls_only_plain_what_has_no_tags(self, format: Format) -> None:
        """What is called plain is not looked at, so a value behind a tag would come back as a dict."""
        tag = {"$tuple": [1]}
        for tree in (tag, [tag], {"a": tag}, {"a": [0, {"b": tag, "c": 1}]}, {"a": {"$blob": ["x" * 300, "$", 1]}}):
            assert not format.is_plain(format.dumps(tree)), (
                "is_plain() must be False where a dict in the tree has a single key that begins with a dollar sign."
            )

    def test_what_it_can_not_write_raises(self, format: Format) -> None:
        """Never something else instead: what can't be saved has to fail before anything is written."""
        if not format.takes_objects:
            for value in (object(), lambda: 1):
                with pytest.raises(Exception):  # noqa: B017 - whatever the format's library raises
                    format.dumps({"a": [value]})

    def test_cut_or_foreign_bytes_raise_or_give_a_tree(self, format: Format) -> None:
        """They never end the process, hang or run code; the core's checksum has refused them before."""
        if not format.safe_to_load:
            return
        written = format.dumps({"a": [1, "two", 3.0, None], "b": {"c": "d" * 50}})
        random = Random(7)
        for data in (b"", written[:-1], written[: len(written) // 2], *(random.randbytes(60) for _ in range(50))):
            try:
                tree = format.loads(data)
            except Exception:
                continue
            _exact(tree)

    def test_hostile_bytes_end_in_an_error_or_a_plain_tree(self, format: Format) -> None:
        """Whoever can write to the store can also make a checksum: lengths that are not there, and levels without end."""
        if not format.safe_to_load:
            return
        written = format.dumps({"a": [1, "two", 3.0, None, [[]]], "b": {"c": "d" * 50}})
        spoilt = [written + written, *_levels_without_end(format)]
        for place in range(len(written)):
            spoilt += [
                written[:place] + bad + written[place + 1 :] for bad in (b"\0", b"\x7f", b"\xff", b"\xdd\x7f" * 9)
            ]
        for data in spoilt:
            tracemalloc.start()
            began, tree = process_time(), None
            with suppress(Exception):
                tree = format.loads(data)
            seconds, peak = process_time() - began, tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert seconds < _MOST_SECONDS, f"loads() took {seconds:.1f} s for {len(data):,} bytes: {data[:100]!r}"
            assert peak < 16_000_000 + 1_000 * len(data), f"loads() took {peak:,} bytes of memory for {data[:100]!r}"
            assert _is_plain_tree(tree, takes_bytes=format.takes_bytes), (
                f"loads() made something else than a plain tree of {data[:100]!r}"
            )

    def test_is_as_safe_to_load_as_it_says(self, format: Format) -> None:
        Exploit.ran = False
        with suppress(Exception):
            format.loads(pickle.dumps(Exploit()))

        assert format.safe_to_load is self.safe_to_load, (
            "The suite's safe_to_load and that of the format must say the same."
        )
        assert not (self.safe_to_load and Exploit.ran), (
            "The format says that it is safe to load, and ran code from the bytes that it was given."
        )

    def test_is_text_only_if_it_is_json(self, format: Format) -> None:
        if format.text:
            tree = {"a": [1, 2.5, "é", None, True]}
            assert json.loads(format.dumps(tree).decode("utf-8")) == tree, (
                "A format whose text is True must write JSON in UTF-8 that any reader of JSON understands."
            )

    def test_composes_what_it_would_write_at_once(self, format: Format) -> None:
        """Members that did not change are not encoded again; the payload must be the same to whoever reads it."""
        if not format.composes:
            return
        trees: dict[str, Any] = {
            "first": {"a": 1},
            "second é": [1, 2],
            "third": {},
            "$tag": None,
            '"\\\n': -0.0,
            "": "x" * 300,
        }
        many = {f"key {number}": number for number in range(70_000)}
        mappings: list[dict[str, Any]] = [{}, {"one": []}, trees, {"within": trees}, many]
        for mapping in mappings:
            assert _is_same(format.loads(_composed(format, mapping)), mapping), (
                "opening(count), key(name) and the bytes of the value of each member with the separator between them, and "
                f"closing must load as the mapping that they are made of; this one has {len(mapping)} members."
            )

    def test_its_signature_is_of_these_very_bytes(self, format: Format) -> None:
        signature = format.sign(b"header and payload")

        assert format.verify(b"header and payload", signature), (
            "verify() must accept the signature that sign() made over the same bytes."
        )
        if signature:
            assert not format.verify(b"header and Payload", signature), "verify() accepts a signature of other bytes."
            assert not format.verify(b"header and payload", ""), (
                "The format signs, and verify() accepts an empty signature."
            )
            assert not format.verify(b"header and payload", "not hex é"), (
                "The format signs, and verify() accepts text that is not a signature: it must return False, and not raise."
            )

    def test_has_a_name_and_a_suffix(self, format: Format) -> None:
        assert format.name.isidentifier(), (
            "The name of a format must be an identifier: configurations and records hold it."
        )
        assert format.suffix, "A format needs a suffix for files."
        assert "." not in format.suffix[:1], "The suffix of a format must not begin with a dot."

    def test_its_name_leads_to_its_class_where_it_is_installed(self, format: Format) -> None:
        try:
            installed = format_class(format.name)
        except PluginNotFoundError:
            return

        assert issubclass(type(format), installed), "The installed format of this name is of another class."

    @pytest.mark.asyncio
    async def test_a_graph_goes_on_from_what_it_wrote(self, format: Format) -> None:
        """As the core uses it: sections composed, unchanged ones kept, and read again in another graph."""
        backend = InMemoryCheckpointBackend(format=format)
        graph = _adding(backend)
        await graph.run()
        restored = _adding(backend)
        await restored.run(resume=True)

        assert _is_same(await restored.get_state("trees"), TREES), (
            "A graph that was restored from what the format wrote must have the state it had, types and order included."
        )

    @pytest.mark.asyncio
    async def test_a_run_with_many_keys_comes_back(self, format: Format) -> None:
        """Where it composes, in chunks, of which each checkpoint writes those that changed."""
        backend = BlobMemory(format=format)
        await _touching(backend).run()
        restored = _touching(backend)
        await restored.run(resume=True)

        state = {key: await restored.get_state(key) for key in _MANY_KEYS}
        expected = _MANY_KEYS | {f"key {number} $": number for number in range(1, _TOUCHES + 1)}
        assert _is_same(state, expected), "A run with many keys must come back with each of them, and in their order."
        assert _is_same(await restored.get_state("bytes"), b"\0$\xff"), "Bytes in the state must come back."
        if format.composes:
            assert backend.written[-1] < max(backend.written) / 2, (
                "The last checkpoint wrote as much as the whole state, of which one key changed: "
                "what opening(), key() and closing make must be what dumps() makes of a mapping."
            )


def _adding(backend: InMemoryCheckpointBackend) -> Graph:
    add = Add()
    add.on(done=False) >> add
    return Graph(start=add, id="adding", checkpoint_config=CheckpointConfig(backend=backend, trigger_on_iteration=1))


class Touch(Node):
    """Changes one of very many keys at each step."""

    async def process(self, context: NodeContext) -> Any:
        done = await context.graph_state.get("done", 0) + 1
        await context.graph_state.set("done", done)
        await context.graph_state.set(f"key {done} $", done)
        return {"done": done == _TOUCHES}


def _touching(backend: BlobMemory) -> Graph:
    touch = Touch()
    touch.on(done=False) >> touch
    config = CheckpointConfig(backend=backend, trigger_on_iteration=1)
    state = _MANY_KEYS | {"bytes": b"\0$\xff"}
    return Graph(start=touch, id="touching", state=state, checkpoint_config=config)


def _levels_without_end(format: Format) -> Iterator[bytes]:
    """What begins level after level, as the format writes one; and the same with an end."""
    for wrap in (lambda tree: [tree], lambda tree: {"a": tree}):
        inner, outer = format.dumps(7), format.dumps(wrap(7))
        before, found, after = outer.partition(inner)
        if found:
            yield before * 50_000
            yield before * 50_000 + inner + after * 50_000


def _is_plain_tree(tree: Any, *, takes_bytes: bool) -> bool:
    leaves = {type(None), bool, int, float, str, *([bytes] if takes_bytes else [])}
    pending = [tree]
    while pending:
        part = pending.pop()
        if type(part) is dict and all(type(key) is str for key in part):
            pending += part.values()
        elif type(part) is list:
            pending += part
        elif type(part) not in leaves:
            return False
    return True


def _members(tree: Any) -> int:
    """How many items of lists and members of dicts there are in it."""
    if isinstance(tree, dict | list):
        return len(tree) + sum(map(_members, tree.values() if isinstance(tree, dict) else tree))
    return 0


def _composed(format: Format, mapping: dict[str, Any]) -> bytes:
    members = (format.key(name) + format.dumps(tree) for name, tree in mapping.items())
    return format.opening(len(mapping)) + format.separator.join(members) + format.closing


def _is_same(tree: Any, expected: Any) -> bool:
    """Compared before it is asserted: of trees with many values, pytest would make a diff for minutes."""
    same: bool = _exact(tree) == _exact(expected)
    return same


def _exact(tree: Any) -> Any:
    """The tree with the type of each value, the sign of each zero and the order of its keys."""
    if isinstance(tree, dict):
        return [(key, _exact(value)) for key, value in tree.items()]
    if isinstance(tree, list):
        return ["list", *map(_exact, tree)]
    return type(tree), tree, math.copysign(1, tree) if isinstance(tree, float) else 0


def _random_tree(random: Random, *, depth: int) -> Any:
    kind = random.randrange(8 if depth else 6)
    if kind >= 6:
        children = [_random_tree(random, depth=depth - 1) for _ in range(random.randrange(4))]
        return children if kind == 6 else {_random_text(random): child for child in children}
    number = random.randrange(-(2**63) + 1, 2**63)
    return (None, random.random() < 0.5, number, random.gauss(0, 1e6), _random_text(random), number % 100)[kind]


def _random_text(random: Random) -> str:
    return "".join(
        chr(random.choice((random.randrange(128), random.randrange(0x100, 0xD800)))) for _ in range(random.randrange(9))
    )
