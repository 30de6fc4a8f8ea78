"""The suite that a bundle of types proves itself by."""

from __future__ import annotations

import json
import os
import pickle
import re
import resource
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random
from time import process_time
from types import SimpleNamespace
from typing import Any, ClassVar, Final

import pytest

from spark.errors import SerializationError, SparkError
from spark.graphs import ExitNode, Graph
from spark.graphs.checkpoint import CheckpointConfig, SavedType, Types
from spark.graphs.checkpoint.storage import SECTIONS, CheckpointBackend, Record, RecordCodec
from spark.hooks import TypesSpec, class_of, hookimpl, provider_of, register
from spark_testing.records import make_record
from spark_testing.suites.blob_memory import BlobMemory, PlainMemory
from spark_testing.suites.conformance import Conformance

_MOST_SECONDS: Final = 5
_MOST_MEMORY: Final = 400_000
"""In kilobytes."""
_HOSTILE: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    0,
    2**29,
    2**40,
    2**62,
    1e308,
    "",
    "x",
    "os:system",
    "O",
    [],
    [[]],
    {},
    [2**31, 2**31],
)
_NAMES: Final = re.compile(r'\{"\$type": \["([^"]+)"')
_forbidden: list[str] | None = None
"""What was done meanwhile that nothing in a store may cause; None while nobody watches."""


class TypesConformance(Conformance):
    """What every bundle of types must do. Subclass it as ``Test…`` with ``spec`` and the fixture ``values``."""

    spec: ClassVar[TypesSpec]
    """What the plugin's hook returns for the bundle."""
    untried: ClassVar[frozenset[str]] = frozenset()
    """The stored names of classes of which ``values`` has none, for a reason that you know."""
    hostile_trees: ClassVar[int] = 30
    """How many spoilt trees of each value are read."""

    @pytest.fixture
    def values(self) -> list[Any]:
        """Values of every class in the bundle: empty, small, large, odd. Each must come back exactly."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture 'values'.")

    @pytest.fixture
    def refused(self) -> list[Any]:
        """Values that look as if they could be saved, and can't."""
        return []

    def is_same(self, one: Any, other: Any) -> bool:
        """Whether a value came back exactly; for classes whose ``==`` is not enough, or no yes or no."""
        return type(one) is type(other) and bool(one == other)

    @pytest.fixture(autouse=True)
    def _provided(self) -> Iterator[None]:
        """The bundle is in use, even where its distribution is not installed."""
        with ExitStack() as registered:
            if provider_of(("types of module", self.spec.modules[0])) is None:
                registered.enter_context(register(_plugin_of(self.spec), name=f"suite-{self.spec.name}"))
            yield

    def test_its_library_is_not_imported_before_it_is_needed(self) -> None:
        """Installed plugins are looked at in every program, even where nobody uses the library."""
        module = self.spec.target.partition(":")[0]
        code = f"import sys, {module}; print(*{set(self.spec.modules)!r} & set(sys.modules))"
        path = os.pathsep.join(filter(None, sys.path))
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert not done.stdout.strip(), (
            f"Importing {module} imports {done.stdout.strip()}: import the library in types(), or in a module that only types() "
            "imports."
        )

    def test_stored_names_lead_back_to_the_bundle(self) -> None:
        """A reader knows nothing but the name."""
        names = [each.name for each in self._types()]
        for each in self._types():
            module, colon, rest = each.name.partition(":")
            assert colon, f"The stored name {each.name!r} must be written as 'module:name'."
            assert rest, f"The stored name {each.name!r} must be written as 'module:name'."
            assert module.partition(".")[0] in self.spec.modules, (
                f"The stored name {each.name!r} must begin with one of the modules of the spec, {self.spec.modules}: a reader "
                "finds the bundle by it."
            )
            assert each.cls.__module__.partition(".")[0] in self.spec.modules, (
                f"{each.cls} is in none of the modules of the spec, {self.spec.modules}: a writer finds the bundle by them."
            )
            assert names.count(each.name) == 1, f"Two classes have the stored name {each.name!r}."

    @pytest.mark.parametrize("store", [PlainMemory, BlobMemory])
    @pytest.mark.asyncio
    async def test_values_come_back_exactly(self, values: list[Any], store: type[CheckpointBackend]) -> None:
        """Alone and nested, whether buffers stand in the payload or beside it."""
        state = {f"value {number}": [value, {"nested": (value,)}] for number, value in enumerate(values)}
        backend = store()
        await _graph(backend, state=state).run()
        restored = _graph(backend)
        await restored.run(resume=True)

        for number, value in enumerate(values):
            first, inner = await restored.get_state(f"value {number}")
            for back in (first, inner["nested"][0]):
                assert self.is_same(value, back), f"{_shown(value)} came back as {_shown(back)}"

    def test_every_class_is_tried(self, values: list[Any]) -> None:
        tried = {name for value in values for name in _NAMES.findall(json.dumps(RecordCodec().tree(value)))}

        missing = {each.name for each in self._types()} - tried - self.untried
        assert not missing, f"The fixture 'values' has no value of {', '.join(sorted(missing))}."

    def test_a_copy_is_exact(self, values: list[Any]) -> None:
        """It is what ``get`` of the state returns, and what ``set`` keeps."""
        copiers = {each.cls: each.copy for each in self._types() if each.copy is not None}
        for value in values:
            if copier := copiers.get(type(value)):
                copied = copier(value)
                assert self.is_same(value, copied), f"copy() made {_shown(copied)} of {_shown(value)}"

    def test_a_size_is_a_number(self, values: list[Any]) -> None:
        sizes = {each.cls: each.nbytes for each in self._types() if each.nbytes is not None}
        for value in values:
            if size := sizes.get(type(value)):
                assert type(size(value)) is int, f"nbytes() must return an int for {_shown(value)}."
                assert size(value) >= 0, f"nbytes() must not be negative, as it is for {_shown(value)}."

    def test_what_it_can_not_save_is_refused_with_the_path(self, refused: list[Any]) -> None:
        codec = RecordCodec()
        for value in refused:
            with pytest.raises(SerializationError) as caught:
                pytest.fail(f"{_shown(value)} was saved as {codec.tree([{'here': value}], 'state')!r:.200}")
            assert str(caught.value).startswith("state[0]['here']"), (
                f"The error must begin with the path to the value: {caught.value}"
            )

    def test_nothing_is_pickled(self, values: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("to_data() used pickle: its bytes run code when they are loaded.")

        for name in ("dumps", "dump", "Pickler"):
            monkeypatch.setattr(pickle, name, refuse)
        trees = [RecordCodec().tree(value) for value in values]
        with _watching() as done:
            read = [_read(tree) for tree in trees]

        assert all(self.is_same(*pair) for pair in zip(values, read, strict=True)), "Not every value came back exactly."
        assert not done, f"Loading did what nothing in a store may cause: {done}"

    def test_hostile_trees_end_in_an_error_or_a_value(self, values: list[Any]) -> None:
        """Anybody who can write to the store can write anything under a name that the bundle reads: no code of theirs runs, and
        nothing is made that is larger than what is stored."""
        seed = Random().randrange(2**32)
        random = Random(seed)
        before = _peak_memory()
        for value in values:
            tree = RecordCodec().tree(value)
            for spoilt in _spoilt(tree, random, count=self.hostile_trees):
                began = process_time()
                with _watching() as done:
                    _read(spoilt)
                where = f"with Random({seed}): {spoilt!r:.300}"
                assert not done, f"Loading did what nothing in a store may cause, {done}, {where}"
                assert process_time() - began < _MOST_SECONDS, f"from_data() took too long {where}"
                grown = _peak_memory() - before
                assert grown < _MOST_MEMORY, f"from_data() made {grown:,} KB {where}"

    def _types(self) -> list[SavedType]:
        bundle: type[Types] = class_of(("types", self.spec.name))
        return list(bundle().types())


def _peak_memory() -> int:
    """In kilobytes. On Linux, ``ru_maxrss`` would count the memory of whatever started this process, too."""
    with suppress(OSError, IndexError):
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _plugin_of(spec: TypesSpec) -> Any:
    @hookimpl
    def spark_types() -> list[TypesSpec]:
        return [spec]

    return SimpleNamespace(spark_types=spark_types, __name__="suite")


def _graph(backend: CheckpointBackend, **options: Any) -> Graph:
    return Graph(start=ExitNode(), id="graph", checkpoint_config=CheckpointConfig(backend=backend), **options)


def _read(tree: Any) -> Any:
    """The value of a tree in a record that is intact; None where reading fails as it should."""
    sections: dict[str, Any] = {name: None if section.may_be_none else {} for name, section in SECTIONS.items()}
    content = sections | {"graph_state": {"value": tree}}
    made = make_record("g", 1, payload=json.dumps(content).encode())
    header = replace(made.header, checksum="")
    header.checksum = f"sha256:{sha256(header.canonical() + made.payload).hexdigest()}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return RecordCodec().decode(Record(header, made.payload)).graph_state["value"]
        except SparkError:
            return None


def _spoilt(tree: Any, random: Random, *, count: int) -> Iterator[Any]:
    """Copies of a tree with one or two parts that are something else; the names of classes stay."""
    for _ in range(count):
        copied = json.loads(json.dumps(tree))
        places = list(_places(copied))
        if not places:
            return
        for container, key in random.sample(places, k=min(len(places), random.choice((1, 1, 2)))):
            container[key] = random.choice(_HOSTILE)
        yield copied


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key, part in list(
        tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    ):
        is_name = isinstance(tree, list) and key == 0 and isinstance(part, str) and ":" in part
        if key != "$type" and not is_name:
            yield tree, key
        yield from _places(part)


@contextmanager
def _watching() -> Iterator[list[str]]:
    """What happens meanwhile of all that nothing in a store may cause."""
    global _forbidden
    if not _watches:
        sys.addaudithook(_note)  # which stays for as long as the process does
        _watches.append(True)
    found: list[str] = []
    _forbidden = found
    try:
        yield found
    finally:
        _forbidden = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _forbidden is not None and event in _FORBIDDEN:
        _forbidden.append(f"{event} {arguments!r:.100}")


_watches: Final[list[bool]] = []
_FORBIDDEN: Final = frozenset(
    {
        "pickle.find_class",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
        "subprocess.Popen",
        "socket.connect",
        "os.remove",
    }
)


def _shown(value: Any) -> str:
    return f"the {type(value).__qualname__} {value!r:.200}"
