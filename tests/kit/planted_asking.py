"""As ``planted_backends.py``: what may go wrong where many graphs or records are asked for in one go."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark.graphs.checkpoint.storage import LatestHeaders, Listing, Records

_IN_ORDER = "test_graph_ids_are_in_the_order_of_code_points"
_BY_PREFIX = "test_graph_ids_are_found_by_their_beginning_and_from_a_cursor_on"
_WITH_RECORDS = "test_only_graphs_with_records_have_their_ids_listed"
_PAGES = "test_many_graphs_are_walked_through_page_by_page"
_RUNS = "test_gives_the_latest_headers_that_runs_have_made"
_NARROWED = "test_latest_runs_are_narrowed_and_paged"
_LATEST = "test_gives_the_latest_headers_of_many_graphs"
_MANY = "test_reads_many_records_by_rising_sequence"
_RANGE = "test_a_range_of_records_may_be_of_any_length"
_MEASURED = "test_usage_adds_up_what_each_graph_takes_up"
_BESIDE = "test_many_records_are_read_while_others_save_and_delete"


class OrdersAsUtf16(InMemoryCheckpointBackend):
    """Compares ids as JavaScript does, and some databases."""

    found_by = _IN_ORDER

    async def graph_ids(self, prefix="", *, after=None, limit=None):
        return sorted(
            await super().graph_ids(prefix, after=after, limit=limit), key=lambda each: each.encode("utf-16-be")
        )


class NamesGraphsForEachRecord(InMemoryCheckpointBackend):
    """Has forgotten the DISTINCT."""

    found_by = _IN_ORDER

    async def graph_ids(self, prefix="", *, after=None, limit=None):
        infos = (await self.list()).infos
        named = [info.graph_id for info in infos if info.graph_id.startswith(prefix) and info.graph_id > (after or "")]
        return named[:limit]


class TakesAPrefixForAPattern(InMemoryCheckpointBackend):
    """Puts the prefix into a pattern as it is."""

    found_by = _BY_PREFIX

    async def graph_ids(self, prefix="", *, after=None, limit=None):
        found = await super().graph_ids(after=after)
        return [each for each in found if fnmatchcase(each, f"{prefix}*")][:limit]


class TakesPrefixesWithoutCase(InMemoryCheckpointBackend):
    """As SQLite's LIKE."""

    found_by = _BY_PREFIX

    async def graph_ids(self, prefix="", *, after=None, limit=None):
        found = await super().graph_ids(after=after)
        return [each for each in found if each.lower().startswith(prefix.lower())][:limit]


class BeginsAtTheCursor(InMemoryCheckpointBackend):
    """Begins a page with the last one of the page before."""

    found_by = _BY_PREFIX

    async def graph_ids(self, prefix="", *, after=None, limit=None):
        found = await super().graph_ids(prefix)
        return [each for each in found if after is None or each >= after][:limit]


class LimitsBeforeTheCursor(InMemoryCheckpointBackend):
    """Cuts off first, and then looks for where to begin."""

    found_by = _PAGES

    async def graph_ids(self, prefix="", *, after=None, limit=None):
        found = (await super().graph_ids(prefix))[:limit]
        return [each for each in found if after is None or each > after]


class NamesWhatIsDeleted(InMemoryCheckpointBackend):
    """Names a graph as long as it remembers its sequences."""

    found_by = _WITH_RECORDS

    async def graph_ids(self, prefix="", *, after=None, limit=None):
        named = sorted({*self._graphs, *self._deleted_up_to})
        return [each for each in named if each.startswith(prefix) and (after is None or each > after)][:limit]


class TrustsTheClockOfMany(InMemoryCheckpointBackend):
    """Takes the newest header of each graph for the latest."""

    found_by = _LATEST

    async def latest_headers(self, graph_ids):
        histories = {each: self._graphs[each].values() for each in graph_ids if self._graphs.get(each)}
        return LatestHeaders(
            {
                each: max((one.header for one in history), key=lambda one: one.timestamp)
                for each, history in histories.items()
            }
        )


class PassesOverManual(InMemoryCheckpointBackend):
    """Gives the latest automatic headers."""

    found_by = _LATEST

    async def latest_headers(self, graph_ids):
        automatic = {
            each: [one.header for one in self._graphs.get(each, {}).values() if not one.header.manual]
            for each in graph_ids
        }
        return LatestHeaders({each: headers[-1] for each, headers in automatic.items() if headers})


class TakesWhatWasMadeByHand(InMemoryCheckpointBackend):
    """Gives the latest header of each graph, whoever made it."""

    found_by = _RUNS

    async def latest_runs(self, prefix="", *, after=None, limit=None, reasons=None):
        found = await self.latest_headers(await self.graph_ids(prefix, after=after))
        kept = {
            id: header for id, header in found.headers.items() if not reasons or header.metadata["reason"] in reasons
        }
        return LatestHeaders(dict([*sorted(kept.items())][:limit]))


class FindsAnyRecordOfTheReason(InMemoryCheckpointBackend):
    """Looks for the reason first, and for the latest record then."""

    found_by = _NARROWED

    async def latest_runs(self, prefix="", *, after=None, limit=None, reasons=None):
        found = await super().latest_runs(prefix, after=after)
        for id in [*found.headers] if reasons is not None else ():
            fitting = [one.header for one in self._graphs[id].values() if one.header.metadata.get("reason") in reasons]
            found.headers.update({id: fitting[-1]} if fitting else {})
            if not fitting:
                del found.headers[id]
        return LatestHeaders(dict([*found.headers.items()][:limit]))


class AnswersInTheOrderAsked(InMemoryCheckpointBackend):
    """Gives records in the order in which they were asked for."""

    found_by = _MANY

    async def get_many(self, graph_id, sequences):
        found = (await super().get_many(graph_id, sequences)).records
        return Records({sequence: found[sequence] for sequence in sequences if sequence in found})


class ReadsOfAnyGraph(InMemoryCheckpointBackend):
    """Has forgotten to say of which graph."""

    found_by = _MANY

    async def get_many(self, graph_id, sequences):
        return await super().get_many("h", sequences)


class FailsForWhatIsMissing(InMemoryCheckpointBackend):
    """Takes for granted that whatever is asked for is there."""

    found_by = _MANY

    async def get_many(self, graph_id, sequences):
        if isinstance(sequences, range):
            return await super().get_many(graph_id, sequences)
        return Records({sequence: self._graphs[graph_id][sequence] for sequence in sorted({*sequences})})


class ReadsAFewOfARange(InMemoryCheckpointBackend):
    """Looks for the records of a range one by one, and gives up some time."""

    found_by = _RANGE

    async def get_many(self, graph_id, sequences):
        return await super().get_many(graph_id, sequences[:10_000])


class ReadsBetweenEnds(InMemoryCheckpointBackend):
    """Takes a range for all between its ends."""

    found_by = _RANGE

    async def get_many(self, graph_id, sequences):
        if isinstance(sequences, range) and sequences:
            sequences = range(min(sequences[0], sequences[-1]), max(sequences[0], sequences[-1]) + 1)
        return await super().get_many(graph_id, sequences)


class MeasuresRecordsOnly(InMemoryCheckpointBackend):
    """Adds up what it lists, and forgets what is kept beside that."""

    found_by = _MEASURED

    async def usage(self, graph_ids=None):
        found = await super().usage(graph_ids)
        sizes = {graph_id: sum(info.size for info in (await self.list(graph_id)).infos) for graph_id in found}
        return {graph_id: replace(usage, bytes=sizes[graph_id]) for graph_id, usage in found.items()}


class MeasuresAllWhereNoneIsAskedFor(InMemoryCheckpointBackend):
    """Takes no ids for no answer to which."""

    found_by = _MEASURED

    async def usage(self, graph_ids=None):
        return await super().usage(graph_ids or None)


class MeasuresOnce(InMemoryCheckpointBackend):
    """Remembers what it has measured."""

    found_by = "test_usage_follows_what_is_deleted"

    async def usage(self, graph_ids=None):
        for graph_id, usage in (await super().usage(graph_ids)).items():
            vars(self).setdefault("_measured", {}).setdefault(graph_id, usage)
        return {graph_id: each for graph_id, each in self._measured.items() if not graph_ids or graph_id in graph_ids}


class ListsWithoutMetadata(InMemoryCheckpointBackend):
    """Answers queries by itself, and knows nothing of ``with_metadata``."""

    found_by = "test_lines_have_their_metadata_where_it_is_asked_for"

    async def query(self, query):
        return Listing([replace(info, metadata={}) for info in (await super().query(query)).infos])


class ListsWithoutParents(InMemoryCheckpointBackend):
    """As it was before lines had parents: a history would be one line, whatever it branched from."""

    found_by = "test_lines_have_their_metadata_where_it_is_asked_for"

    async def query(self, query):
        return Listing([replace(info, parent=None) for info in (await super().query(query)).infos])
