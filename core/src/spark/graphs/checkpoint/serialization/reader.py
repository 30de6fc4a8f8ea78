"""Plain tree → objects: the inverse of ``writer``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from spark.errors import CheckpointDamagedError, DeserializationError, SparkError
from spark.graphs.checkpoint.records.buffers import BUFFERED, StoredBuffers
from spark.graphs.checkpoint.records.limits import DEFAULT_LIMITS, SHORTAGES, ReadLimits, collides, shortage
from spark.graphs.checkpoint.serialization.buffers import BUFFER_READERS, read_buffered
from spark.graphs.checkpoint.serialization.classes.plain_classes import read_dataclass, read_enum, read_named_tuple
from spark.graphs.checkpoint.serialization.classes.pydantic_models import read_generic, read_model
from spark.graphs.checkpoint.serialization.classes.registered_types import registered_name
from spark.graphs.checkpoint.serialization.classes.type_names import TypeNames
from spark.graphs.checkpoint.serialization.collections import COLLECTION_READERS
from spark.graphs.checkpoint.serialization.moments import MOMENT_READERS, read_zone, read_zoned
from spark.graphs.checkpoint.serialization.scalars import SCALAR_READERS
from spark.graphs.checkpoint.serialization.serializer import CheckpointSerializer, is_hook
from spark.graphs.checkpoint.serialization.unsaveable import describe
from spark.graphs.values.paths import attribute_step, key_step, show

_CONTAINERS: Final[dict[str, Callable[[list[Any]], Any]]] = {"$tuple": tuple, "$set": set, "$frozenset": frozenset}


_SCALARS: Final = SCALAR_READERS | MOMENT_READERS


class TreeReader:
    """Turns the plain trees of one checkpoint back into objects. Nothing is imported; of the classes that it finds no code runs
    but what the program registered.

    :param names: finds classes; of another reader for the same checkpoint.
    """

    def __init__(
        self,
        serializer: CheckpointSerializer | None = None,
        *,
        names: TypeNames | None = None,
        limits: ReadLimits = DEFAULT_LIMITS,
    ) -> None:
        self._limits = limits
        self.names = names or TypeNames()
        self._deserialize = serializer.deserialize if serializer and is_hook(serializer) else None
        self.has_hook = self._deserialize is not None
        """A serializer is asked about every value."""
        self.buffers = StoredBuffers(())
        """The large buffers of the value that is being read."""

    def value(self, tree: Any, path: str = "") -> Any:
        """The value that a plain tree, which ``path`` leads to, was made from.

        :raises DeserializationError: a type is not known to this program, or can't be rebuilt by it.
        :raises CheckpointDamagedError: no value can have had this tree.
        """
        return self._report(self.read, tree, path)

    def mapping(self, tree: Any, path: str = "") -> dict[Any, Any]:
        """What ``TreeWriter.mapping`` was given."""
        return self._report(self.read_mapping, tree, path)  # type: ignore[no-any-return]

    def read(self, tree: Any) -> Any:
        """The value of a plain tree; errors do not say where it stands yet."""
        kind = type(tree)
        if kind is str or kind is int or kind is float or tree is None or kind is bool:
            value = tree
        elif kind is list:
            value = self.read_items(tree)
        elif kind is bytes:
            value = tree
        elif kind is not dict:
            raise TypeError(f"a plain tree can't contain a {kind.__name__}")
        elif is_tag(tree):
            ((tag, content),) = tree.items()
            value = self._read_tag(tag, content)
        else:
            value = self._read_object(tree)
        if self._deserialize is None or (
            kind is dict and tree.keys() == {BUFFERED}
        ):  # which was offered without its tag
            return value
        return self._rebuilt(value)

    def read_items(self, trees: Any) -> list[Any]:
        """The values of a list of trees."""
        if type(trees) is not list:
            raise TypeError(f"a list was expected, not {type(trees).__name__}")
        values: list[Any] = []
        try:
            for tree in trees:
                values.append(self.read(tree))  # noqa: PERF401 - its length is the index when an item fails
        except Exception as error:
            raise _Unreadable.at(error, f"[{len(values)}]") from error
        return values

    def read_named(self, trees: Any, *, step: Callable[[str], str] = key_step) -> dict[str, Any]:
        """The values of trees by their names."""
        if type(trees) is not dict:
            raise TypeError(f"an object was expected, not {type(trees).__name__}")
        values = {}
        name = ""
        try:
            for name, tree in trees.items():
                values[name] = self.read(tree)
        except Exception as error:
            raise _Unreadable.at(error, step(name)) from error
        return values

    def _read_object(self, tree: dict[str, Any]) -> dict[Any, Any]:
        values = self.read_named(tree)
        return values if self._deserialize is None else {self._rebuilt(key): value for key, value in values.items()}

    def read_dict(self, tree: Any) -> dict[Any, Any]:
        """The dict that ``write_dict`` was given."""
        if type(tree) is dict and is_tag(tree):
            ((tag, content),) = tree.items()
            if tag != "$dict":
                raise TypeError(f"a dict was expected, not a {tag}")
            return self._read_pairs(content, key_reader=self.read)
        return self._read_object(tree)

    def without_hook(self) -> TreeReader:
        """One for what was written without asking the serializer."""
        if self._deserialize is None:
            return self
        reader = TreeReader(names=self.names, limits=self._limits)
        reader.buffers = self.buffers
        return reader

    def read_mapping(self, tree: Any) -> dict[Any, Any]:
        """The mapping that ``write_mapping`` was given."""
        if type(tree) is dict and tree.keys() == {"$dict"}:
            return self._read_pairs(tree["$dict"], key_reader=self.without_hook().read)
        if type(tree) is dict and is_tag(tree):
            raise TypeError(f"a mapping was expected, not a {next(iter(tree))}")
        return self.read_named(tree)

    def _read_tag(self, tag: str, content: Any) -> Any:
        if make := _CONTAINERS.get(tag):
            items = self.read_items(content)
            if tag != "$tuple":
                self._check_keys(items)
            return make(items)
        if scalar := _SCALARS.get(tag):
            return scalar(content)
        if tag == "$dict":
            return self._read_pairs(content, key_reader=self.read)
        if tag == "$type":
            return self._read_registered(content)
        if read := _READERS.get(tag):
            return read(self, content)
        raise DeserializationError(
            f"The tag {tag!r} is not known to this release. Read it with the release that wrote it, or a newer one."
        )

    def _read_pairs(self, pairs: Any, *, key_reader: Callable[[Any], Any]) -> dict[Any, Any]:
        keys, values = [], []
        step = ""
        try:
            for key_tree, value_tree in pairs:
                step = "{key}"
                key = key_reader(key_tree)
                hash(key)
                step = key_step(key)
                keys.append(key)
                values.append(self.read(value_tree))
        except Exception as error:
            raise _Unreadable.at(error, step) from error
        self._check_keys(keys)
        return dict(zip(keys, values, strict=True))

    def _check_keys(self, keys: list[Any]) -> None:
        most = self._limits.max_equal_hashes
        if collides(keys, most):
            raise DeserializationError(
                f"More than {most} of its {len(keys)} keys have the same hash, so that it would take very long to build them "
                "together. If you trust its writer, raise the backend's limit: limits=ReadLimits(max_equal_hashes=…)."
            )

    def _read_registered(self, content: Any) -> Any:
        name, data_tree = content
        registered = registered_name(name)
        if registered is None:
            raise DeserializationError(
                f"The type {name!r} is not registered in this program. Import the module that defines it, "
                "with @register_type on the class, before loading. If it was moved or renamed, call "
                f"rename_type({name!r}, …) with its present class."
            )
        data = self._read_data(data_tree)
        try:
            return registered.from_data(data)
        except SparkError:
            raise
        except Exception as error:
            raise DeserializationError(f"{name} can't be rebuilt from {show(data)}: {describe(error)}.") from error

    def _read_data(self, tree: Any) -> Any:
        is_named = type(tree) is dict and not is_tag(tree)
        return self.read_named(tree, step=attribute_step) if is_named else self.read(tree)

    def _rebuilt(self, value: Any) -> Any:
        assert self._deserialize is not None
        try:
            return self._deserialize(value)
        except Exception as error:
            raise DeserializationError(
                f"deserialize() of the serializer raised {describe(error)} for {show(value)}."
            ) from error

    def _report(self, read: Callable[[Any], Any], tree: Any, path: str) -> Any:
        try:
            return read(tree)
        except Exception as error:
            problem = _Unreadable.at(error, path)
            raise problem.to_error() from problem.cause


_READERS: Final[dict[str, Callable[[TreeReader, Any], Any]]] = {
    **BUFFER_READERS,
    **COLLECTION_READERS,
    BUFFERED: read_buffered,
    "$model": read_model,
    "$generic": read_generic,
    "$enum": read_enum,
    "$namedtuple": read_named_tuple,
    "$dataclass": read_dataclass,
    "$zone": read_zone,
    "$zoned": read_zoned,
}

KNOWN_TAGS: Final = frozenset({*_SCALARS, *_READERS})
"""Besides those of containers and registered types."""


class _Unreadable(Exception):
    """A failure on its way up, collecting the path to where it happened."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.path = ""

    @classmethod
    def at(cls, error: Exception, step: str) -> _Unreadable:
        problem = error if isinstance(error, _Unreadable) else cls(error)
        problem.path = step + problem.path
        return problem

    def to_error(self) -> DeserializationError | CheckpointDamagedError:
        where = self.path or "The value"
        if isinstance(self.cause, DeserializationError):
            return DeserializationError(f"{where} can't be rebuilt: {self.cause}")
        if isinstance(self.cause, SHORTAGES):
            return DeserializationError(f"{where} can't be rebuilt: {shortage(self.cause)}")
        return CheckpointDamagedError(f"{where} is not what a checkpoint should hold there: {describe(self.cause)}.")


def is_tag(tree: dict[str, Any]) -> bool:
    """Whether an object of a plain tree stands for something else."""
    return len(tree) == 1 and next(iter(tree)).startswith("$")
