"""Questions about many graphs and many records: which graph ids there are, their latest headers, records by sequence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import ClassVar, Final

import pytest

from spark.graphs.checkpoint.storage import CheckpointBackend
from spark_testing.records import HOSTILE_IDS, NOON, make_record
from spark_testing.suites.backends.store import GivenStore, OpenAnother, Spoil
from spark_testing.suites.backends.writers import Second

_PREFIXES: Final = (
    *("", "a", "a/", "a%", "A", "é", "e", "x" * 150, "x" * 199, "é" * 150, "🙈", "\uff01", ".", " ", "ckpt_", "ids"),
    *("%", "_", "*", "?", "[a]", "'", "\\", "\x00", "\ud83d", "\U0010ffff", "nobody", "x" * 500),
)
"""Beginnings of ids, and what a careless store takes for a pattern or can't spell."""
_AT_ONCE: Final = 50
_ORDERED: Final = ("Z", "a", "a b", "a-b", "a.b", "a/b", "ab", "z", "é", "\uff01", "🙈")
"""In the order of code points. In UTF-16, the last two are the other way round."""


class AskingMany(GivenStore):
    """Questions about many graphs and many records: which graph ids there are, their latest headers, records by sequence."""

    many_graphs: ClassVar[int] = 1_000
    """How many graphs are made to be listed page by page; at least 20."""

    # graph_ids

    async def test_graph_ids_are_in_the_order_of_code_points(self, backend: CheckpointBackend) -> None:
        assert await backend.graph_ids() == [], "graph_ids() of an empty store must be empty."
        await _put_each(backend, reversed(_ORDERED))
        await backend.put(make_record("a", 2))

        assert await backend.graph_ids() == list(_ORDERED), (
            "graph_ids() must name each graph once, in the order of code points."
        )

    async def test_graph_ids_are_found_by_their_beginning_and_from_a_cursor_on(
        self, backend: CheckpointBackend
    ) -> None:
        """A prefix is only text, whatever a store would make of it; and so is a cursor, which need not be an id."""
        ids = sorted({*HOSTILE_IDS, *_ORDERED})
        await _put_each(backend, ids)

        for prefix in _PREFIXES:
            beginning = [graph_id for graph_id in ids if graph_id.startswith(prefix)]
            assert await backend.graph_ids(prefix) == beginning, (
                f"graph_ids({prefix!r}) must name the graphs whose ids begin with exactly that."
            )
            after = [graph_id for graph_id in ids if graph_id > prefix]
            assert await backend.graph_ids(after=prefix) == after, (
                f"graph_ids(after={prefix!r}) must name the graphs whose ids come after that, by code points."
            )
        for limit in (0, 1, 2):
            assert (
                await backend.graph_ids("a", after="a", limit=limit)
                == [graph_id for graph_id in ids if graph_id.startswith("a") and graph_id > "a"][:limit]
            ), f"graph_ids(limit={limit}) must name at most that many graphs, the first ones."

    async def test_only_graphs_with_records_have_their_ids_listed(self, backend: CheckpointBackend) -> None:
        for graph_id in ("deleted", "forgotten", "partly"):
            for sequence in (1, 2):
                await backend.put(make_record(graph_id, sequence))
        await backend.delete_many("deleted", [1, 2])
        await backend.delete("partly", 2)
        await backend.forget("forgotten")

        assert await backend.graph_ids() == ["partly"], (
            "Two graphs lost all of their records, one has one left: graph_ids() must name that one only."
        )

    async def test_a_graph_of_which_everything_is_damaged_is_named(
        self, backend: CheckpointBackend, open_another: OpenAnother | None, spoil: Spoil | None
    ) -> None:
        if open_another is None or spoil is None:
            return
        await _put_each(backend, ("g", "h"))
        spoil("g", 1)

        async with open_another() as reader:
            named, damaged = await reader.graph_ids(), (await reader.list()).damaged

        is_unknown = any(each.graph_id is None for each in damaged)
        assert named == ["g", "h"] or (named == ["h"] and is_unknown), (
            "The only record of graph 'g' is damaged: graph_ids() must name it, unless list() can't tell whose it is."
        )

    async def test_many_graphs_are_walked_through_page_by_page(self, backend: CheckpointBackend) -> None:
        """And their latest headers asked for in one go."""
        ids = [f"user {number % 4}/thread {number:04d}" for number in range(self.many_graphs)]
        nonces = await _put_each(backend, ids)
        wanted = sorted(graph_id for graph_id in ids if graph_id.startswith("user 2/"))

        pages, after, size = [], None, self.many_graphs // 20
        while page := await backend.graph_ids("user 2/", after=after, limit=size):
            pages.append(page)
            after = page[-1]
            assert len(pages) <= len(wanted), "pages of graph_ids() never end; each must begin after its cursor"

        assert [graph_id for page in pages for graph_id in page] == wanted, (
            "graph_ids() with a prefix, page by page: together the pages must name each graph once, in order."
        )
        assert {len(page) for page in pages[:-1]} <= {size}, "a page of graph_ids() that is not the last has to be full"
        latest = await backend.latest_headers([*ids, "nobody"])
        assert {graph_id: header.nonce for graph_id, header in latest.headers.items()} == nonces, (
            f"latest_headers() of {self.many_graphs} graphs must give the header of each."
        )

    async def test_graphs_that_stay_are_named_once_while_others_come_and_go(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        staying, passing = (
            [f"g {number:02d}" for number in range(0, 20, 2)],
            [f"g {number:02d}" for number in range(1, 20, 2)],
        )
        await _put_each(backend, staying)

        async def come_and_go(writer: CheckpointBackend) -> None:
            for graph_id in passing:
                await writer.put(make_record(graph_id, 1))
                await writer.delete(graph_id, 1)

        async with Second(backend, open_another) as second:
            writing = asyncio.create_task(come_and_go(backend))
            seen: list[str] = []
            while page := await second.graph_ids("g ", after=seen[-1] if seen else None, limit=3):
                seen += page
                await asyncio.sleep(0)
            await writing

            assert [graph_id for graph_id in seen if graph_id not in passing] == staying, (
                "While other graphs came and went, the pages of graph_ids() must name each graph that stayed once, in order."
            )
            await backend.put(make_record("g new", 1))
            assert await second.graph_ids() == [*staying, "g new"], (
                "Other graphs came and went, and one came to stay: graph_ids() must name those that stayed, and this one."
            )

    # latest_headers

    async def test_gives_the_latest_headers_of_many_graphs(self, backend: CheckpointBackend) -> None:
        """Those of the highest sequences, whatever the clock says, and whoever made them."""
        for sequence in (1, 3, 2):
            await backend.put(make_record("g", sequence, timestamp=NOON - timedelta(days=sequence)))
        for sequence in (1, 2):
            await backend.put(make_record("by hand", sequence, checkpoint_id=f"mine {sequence}"))
            await backend.put(make_record("deleted", sequence))
        await backend.delete_many("deleted", [1, 2])
        expected = {"g": await backend.get("g", 3), "by hand": await backend.get("by hand", 2)}

        latest = await backend.latest_headers(["nobody", "g", "deleted", "by hand", "g", "\ud83d"])

        assert latest.headers == {graph_id: record and record.header for graph_id, record in expected.items()}, (
            "latest_headers() must give the whole header of the record with the highest sequence of each graph, and leave out "
            "the graphs that have no records."
        )
        assert latest.damaged == [], "Nothing is damaged, and latest_headers() reports damage."
        assert (await backend.latest_headers([])).headers == {}, "latest_headers() of no graphs must be empty."

    async def test_a_damaged_latest_record_is_reported_and_hides_no_other_graph(
        self, backend: CheckpointBackend, open_another: OpenAnother | None, spoil: Spoil | None
    ) -> None:
        """An older record in its place would be a guess."""
        if open_another is None or spoil is None:
            return
        for graph_id in ("f", "g", "h"):
            for sequence in (1, 2):
                await backend.put(make_record(graph_id, sequence))
        spoil("g", 2)

        async with open_another() as reader:
            latest = await reader.latest_headers(["f", "g", "h"])

        named = {graph_id: header.sequence for graph_id, header in latest.headers.items()}
        damaged = [(each.graph_id, each.sequence or 2) for each in latest.damaged]
        assert {graph_id: named.get(graph_id) for graph_id in ("f", "h")} == {"f": 2, "h": 2}, (
            "The latest record of graph 'g' is damaged: latest_headers() must still give those of the other graphs."
        )
        assert ("g" in named, damaged) in ((False, [("g", 2)]), (True, [])), (
            "The latest record of graph 'g' is damaged: latest_headers() must report it, or give its header where that is "
            "kept apart and intact."
        )
        assert named.get("g", 2) == 2, (
            "The latest record of graph 'g' is damaged, and an older header is given instead."
        )
        assert all(each.place and each.reason for each in latest.damaged), "no place or reason is given"

    # latest_runs

    async def test_gives_the_latest_headers_that_runs_have_made(self, backend: CheckpointBackend) -> None:
        """What was made by hand is passed over, unless there is nothing else."""
        for graph_id, reason in (("a", "waiting"), ("b", "failed"), ("c", "completed")):
            await backend.put(make_record(graph_id, 1, metadata={"reason": "trigger"}))
            await backend.put(make_record(graph_id, 2, metadata={"reason": reason}))
        for sequence in (3, 4):
            await backend.put(
                make_record("b", sequence, checkpoint_id=f"mine {sequence}", metadata={"reason": "waiting"})
            )
        await backend.put(make_record("by hand", 1, checkpoint_id="mine"))

        found = await backend.latest_runs()
        assert [(graph_id, header.sequence) for graph_id, header in found.headers.items()] == [
            ("a", 2),
            ("b", 2),
            ("by hand", 1),
            ("c", 2),
        ], (
            "latest_runs() must give, in the order of ids, the header of each graph's latest record that was not made by hand, "
            "and of a graph without such a record, its latest."
        )
        for graph_id, header in found.headers.items():
            record = await backend.get(graph_id, header.sequence)
            assert record is not None, "latest_runs() must name records that are there."
            assert header == record.header, "latest_runs() must give whole headers."
        assert found.damaged == [], "Nothing is damaged, and latest_runs() reports damage."

    async def test_latest_runs_are_narrowed_and_paged(self, backend: CheckpointBackend) -> None:
        """An older record with the reason that is asked for is not the latest one."""
        reasons = {"a": "waiting", "b/1": "failed", "b/2": "waiting", "b_3": "failed", "c": "x%"}
        for graph_id, reason in reasons.items():
            await backend.put(make_record(graph_id, 1, metadata={"reason": "waiting"}))
            await backend.put(make_record(graph_id, 2, metadata={"reason": reason, "other": "failed"}))

        for asked, wanted in (
            ({"reasons": ["waiting"]}, ["a", "b/2"]),
            ({"reasons": ["failed", "x%", "nothing"]}, ["b/1", "b_3", "c"]),
            ({"reasons": []}, []),
            ({"reasons": ["failed"], "limit": 1}, ["b/1"]),
            ({"reasons": ["failed"], "after": "b/1"}, ["b_3"]),
            ({"limit": 2}, ["a", "b/1"]),
            ({"prefix": "b/"}, ["b/1", "b/2"]),
            ({"prefix": "b", "after": "b/1", "limit": 1}, ["b/2"]),
            ({"prefix": "nobody"}, []),
        ):
            found = await backend.latest_runs(**asked)
            assert [*found.headers] == wanted, f"latest_runs() of {asked}: it must give those of {wanted}."

    # get_many

    async def test_reads_many_records_by_rising_sequence(self, backend: CheckpointBackend) -> None:
        """Each as it was put, whatever is asked for besides."""
        for sequence in (1, 2, 3, 5, 8):
            await backend.put(make_record("g", sequence, checkpoint_id="by hand" if sequence == 3 else None))
            await backend.put(make_record("h", sequence))
        await backend.delete("g", 2)
        there = {sequence: await backend.get("g", sequence) for sequence in (1, 3, 5, 8)}

        for sequences in ([8, 1, 5, 1, 4, 3, 2, 0, -1, 2**62, 10**30], (3,), (), [2], [9]):
            found = await backend.get_many("g", sequences)
            wanted = sorted(sequence for sequence in there if sequence in sequences)
            assert list(found.records) == wanted, (
                f"get_many() of the sequences {sequences}: those that are there must come, by rising sequence."
            )
            assert found.records == {sequence: there[sequence] for sequence in wanted}, (
                "get_many() must give each record as get() gives it."
            )
            assert found.damaged == [], "Nothing is damaged, and get_many() reports damage."
        assert (await backend.get_many("unknown", [1, 2])).records == {}, (
            "get_many() of a graph that is not there must be empty."
        )

    async def test_a_range_of_records_may_be_of_any_length(self, backend: CheckpointBackend) -> None:
        """What exists is read; the sequences between are not asked for one by one."""
        for sequence in (1, 2, 7, 10**11):
            await backend.put(make_record("g", sequence))
        await backend.put(make_record("h", 3))

        for sequences, wanted in (
            (range(2**70), [1, 2, 7, 10**11]),
            (range(-(2**70), 2**70, 2), [2, 10**11]),
            (range(10**18, 0, -1), [1, 2, 7, 10**11]),
            (range(2, 8), [2, 7]),
            (range(2, 7), [2]),
            (range(3, 7), []),
            (range(5, 5), []),
            (range(8, 2**40), [10**11]),
        ):
            found = await backend.get_many("g", sequences)
            assert list(found.records) == wanted, (
                f"get_many() of {sequences}: of 1, 2, 7 and 10**11 it must give {wanted}."
            )
        assert (await backend.get_many("unknown", range(2**70))).records == {}, (
            "get_many() of a range in a graph that is not there must be empty."
        )

    @pytest.mark.parametrize("sequences", [(3, 1, 2), range(2**70)], ids=["given", "range"])
    async def test_a_damaged_record_among_many_is_reported_and_hides_no_other(
        self,
        backend: CheckpointBackend,
        open_another: OpenAnother | None,
        spoil: Spoil | None,
        sequences: Sequence[int],
    ) -> None:
        if open_another is None or spoil is None:
            return
        put = {sequence: make_record("g", sequence) for sequence in (1, 2, 3)}
        for record in put.values():
            await backend.put(record)
        spoil("g", 2)

        async with open_another() as reader:
            found = await reader.get_many("g", sequences)
            apart = await reader.get_many("g", [1, 3])

        damaged = [each.sequence for each in found.damaged]
        intact = [sequence for sequence, record in found.records.items() if record == put[sequence]]
        assert intact == [1, 3], "One of three records is damaged: get_many() must give the others."
        assert (damaged, list(found.records)) in (([2], [1, 3]), ([], [1, 2, 3])), (
            "One of three records is damaged: get_many() must report it, or give it where only its checksum tells."
        )
        assert all(each.graph_id == "g" and each.place and each.reason for each in found.damaged), (
            "A damaged record is reported without its graph, its place or what is wrong with it."
        )
        assert (list(apart.records), apart.damaged) == ([1, 3], []), "damage is reported that nobody asked about"

    async def test_many_records_are_read_while_others_save_and_delete(
        self, backend: CheckpointBackend, open_another: OpenAnother | None
    ) -> None:
        """A record that is deleted meanwhile is there or not, and never damaged."""
        records = {sequence: make_record("g", sequence) for sequence in range(1, 13)}
        for sequence in range(1, 9):
            await backend.put(records[sequence])

        async def save_and_delete() -> None:
            for sequence in range(9, 13):
                await backend.put(records[sequence])
                await backend.delete_many("g", [sequence - 8, sequence - 4])

        async with Second(backend, open_another) as reader:
            writing = asyncio.create_task(save_and_delete())
            while not writing.done():
                for sequences in (range(1, 2**40), list(records)):
                    found = await reader.get_many("g", sequences)
                    assert found.records == {sequence: records[sequence] for sequence in found.records}, (
                        "While others saved and deleted, get_many() gave a record that was never saved."
                    )
                    assert found.damaged == [], f"While others deleted, get_many() reports damage: {found.damaged}"
                await asyncio.sleep(0)
            await writing
            left = await reader.get_many("g", range(2**40))

        assert left.records == {sequence: records[sequence] for sequence in range(9, 13)}, (
            "Records 1 to 8 were deleted, and 9 to 12 saved: get_many() must give these."
        )


async def _put_each(backend: CheckpointBackend, graph_ids: Iterable[str]) -> dict[str, str]:
    """Put a record into each of these graphs; the nonces, by graph id."""
    records = [make_record(graph_id, 1) for graph_id in graph_ids]
    for begin in range(0, len(records), _AT_ONCE):
        await asyncio.gather(*map(backend.put, records[begin : begin + _AT_ONCE]))
    return {record.graph_id: record.header.nonce for record in records}
