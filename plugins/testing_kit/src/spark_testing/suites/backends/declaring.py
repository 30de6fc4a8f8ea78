"""Capabilities: what is declared and what is found agree."""

from __future__ import annotations

from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.children import Child, Tell
from spark_testing.records import BLOB, make_record
from spark_testing.suites.backends.store import CAPABILITIES, GivenStore, OpenAnother


class Declaring(GivenStore):
    """Capabilities: what is declared and what is found agree."""

    async def test_is_persistent_if_it_says_so(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        """``persistent`` decides, for instance, that a graph without an id is warned of."""
        record = make_record()
        await backend.put(record)
        found = None
        if open_another is not None:
            async with open_another() as another:
                found = await another.get("g", 1)

        assert backend.persistent is ("persistent" in self.capabilities), self._declared(
            "persistent", backend.persistent
        )
        assert (found == record) is ("persistent" in self.capabilities), self._declared("persistent", found == record)

    async def test_other_processes_see_it_if_it_says_so(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        if open_another is None:
            assert "processes" not in self.capabilities, "only with a fixture 'open_another' can that be tried"
            return

        async def work(tell: Tell) -> None:
            async with open_another() as another:
                await another.put(make_record())

        Child.start(work).wait()
        found = await backend.get("g", 1) is not None

        assert found is ("processes" in self.capabilities), self._declared("processes", found)

    async def test_keeps_large_values_if_it_says_so(self, backend: CheckpointBackend) -> None:
        await backend.put(make_record("g", 1, blobs={BLOB: b"x"} if backend.keeps_blobs else None))
        found = await backend.get_blobs("g", [BLOB]) == {BLOB: b"x"}

        assert found is ("keeps_blobs" in self.capabilities), self._declared("keeps_blobs", found)
        assert backend.keeps_blobs is found, "keeps_blobs says otherwise than the store"

    async def test_deletes_along_if_it_says_so(self, backend: CheckpointBackend) -> None:
        await backend.put(make_record("g", 1))
        found = list(await backend.put_and_delete(make_record("g", 2), [1])) == [1]

        assert found is ("deletes_along" in self.capabilities), self._declared("deletes_along", found)

    async def test_has_a_name_for_messages(self, backend: CheckpointBackend) -> None:
        assert backend.name, "A backend needs a name: messages say which one failed."
        assert isinstance(backend.name, str), "The name of a backend must be a text."

    def _declared(self, word: str, found: bool) -> str:
        said = "declares" if word in self.capabilities else "does not declare"
        return f"{type(self).__name__} {said} {word!r} ({CAPABILITIES[word]}); found: {found}"
