"""What an author gives: the store, a way to look behind it, and a declaration of what it can do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, ClassVar, Final, TypeAlias

import pytest

from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.leaks import no_thread_left
from spark_testing.records import STORED_IDS
from spark_testing.suites.conformance import Conformance, is_of_the_kit

ReadRaw: TypeAlias = Callable[[str, int], bytes | None]
"""From (graph id, sequence) to all that is stored of the record, or None, past the backend."""
OpenAnother: TypeAlias = Callable[[], CheckpointBackend]
"""Makes another backend on the same store, in this process or in a child; whoever calls it closes what it returns."""
Spoil: TypeAlias = Callable[[str, int], None]
"""From (graph id, sequence): writes something else over the content that is stored there, past the backend."""

CAPABILITIES: Final = {
    "persistent": "another backend object on the same store finds what one has written",
    "processes": "so does another process, even if the writer was killed",
    "concurrent_processes": "of several processes that write at the same time, one wins each sequence",
    "keeps_blobs": "large values are stored beside the records that refer to them",
    "deletes_along": "put_and_delete removes records in the same act as it stores one",
}
"""What a backend may declare, and what each word means."""
_IMPLIES: Final = {"processes": "persistent", "concurrent_processes": "processes"}


class GivenStore(Conformance):
    """What an author overrides; everything else is tests."""

    capabilities: ClassVar[Collection[str]]
    """Those of ``CAPABILITIES`` that the backend has. Declared and found must agree."""
    hostile_ids: ClassVar[Sequence[str]] = STORED_IDS
    """The ids that are tried one by one. All are tried together in any case, so a slow store may name a few."""
    random_records: ClassVar[int] = 40
    """How many random records are stored and read back."""
    kills: ClassVar[int] = 3
    """How many writers are killed."""
    megabytes: ClassVar[int] = 10
    """How large the records are that others look for while they are written. The larger, the surer half of one is seen."""
    lasting_threads: ClassVar[Sequence[str]] = ()
    """How the names of threads begin that a library starts once in a process and keeps."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not is_of_the_kit(cls):
            _check_declared(cls)

    @pytest.fixture
    def backend(self) -> CheckpointBackend:
        """A new, empty backend; close it after the yield."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a fixture 'backend': a new, empty one, closed after it."
        )

    @pytest.fixture
    def read_raw(self) -> ReadRaw:
        """A function from (graph id, sequence) to all that is stored there, as bytes, or None. It bypasses the backend."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a fixture 'read_raw': it looks into the store directly."
        )

    @pytest.fixture
    def open_another(self) -> OpenAnother | None:
        """A function that makes another backend on the store of ``backend``. Only one that is not persistent has none."""
        self._need("open_another", "that makes another backend on the store of 'backend'")
        return None

    @pytest.fixture
    def spoil(self) -> Spoil | None:
        """A function that damages the record at (graph id, sequence). Only a backend that is not persistent has none."""
        self._need("spoil", "that writes something else over the content that is stored at (graph id, sequence)")
        return None

    @pytest.fixture
    def open_absent(self) -> OpenAnother | None:
        """A function that makes a backend with ``create=False`` where no store is, if the backend takes that."""
        return None

    def _need(self, fixture: str, promise: str) -> None:
        if "persistent" in self.capabilities:
            raise NotImplementedError(
                f"{type(self).__name__} declares 'persistent', so it needs a fixture '{fixture}': a function {promise}."
            )

    @pytest.fixture(autouse=True)
    def _no_thread_is_left(self) -> Iterator[None]:
        with no_thread_left(lasting=self.lasting_threads):
            yield


def _check_declared(cls: type[GivenStore]) -> None:
    declared = getattr(cls, "capabilities", None)
    if declared is None:
        raise TypeError(
            f"{cls.__qualname__} declares no capabilities. Give it a set, empty or of these: {_explained()}."
        )
    if isinstance(declared, str) or not CAPABILITIES.keys() >= set(declared):
        raise TypeError(f"{cls.__qualname__}.capabilities = {declared!r}: give a set of these: {_explained()}.")
    for word, implied in _IMPLIES.items():
        if word in declared and implied not in declared:
            raise TypeError(f"{cls.__qualname__}.capabilities: {word!r} implies {implied!r}; declare both.")


def _explained() -> str:
    return "; ".join(f"{word!r} ({meaning})" for word, meaning in CAPABILITIES.items())
