"""Which runs a reader wants to see, and in which order: what the address of the runs page says, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from spark.graphs.checkpoint import RunInfo
from spark_ui.pages.paging import Page, page_number, page_of
from spark_ui.pages.standing import KINDS, Standing, rank, standing_of

PAGE: Final = 100
"""Rows on one page."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run, and what is known of it besides."""

    run: RunInfo
    standing: Standing
    checkpoints: int | None = None
    """How many there are; None while that is not known."""
    bytes: int | None = None
    """What it takes up, large values included; None while that is not known."""
    origin: str | None = None
    """The graph id that it was forked from."""


def _newest(row: Row) -> float:
    return row.run.since.timestamp() if row.run.since is not None else 0.0


_KEYS: Final[Mapping[str, Callable[[Row], Any]]] = {
    "status": lambda row: (rank(row.standing.kind), -_newest(row)),
    "id": lambda row: row.run.graph_id,
    "node": lambda row: (row.run.node is None, row.run.node or ""),
    "age": lambda row: -_newest(row),
    "steps": lambda row: -row.run.iteration,
    "checkpoints": lambda row: -(row.checkpoints or 0),
    "size": lambda row: -(row.bytes or 0),
}
"""By what rows can be sorted, each in the direction that people ask for first."""
SORTS: Final = tuple(_KEYS)
BY_SIZE: Final = ("checkpoints", "size")
"""Those for which the sizes of all graphs must be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """What a reader asked for."""

    text: str = ""
    kinds: tuple[str, ...] = ()
    """Only these; without any, all."""
    sort: str = "status"
    is_reversed: bool = False
    page: int = 1

    @classmethod
    def of(cls, parameters: QueryParams) -> Self:
        """What an address says. What it says wrongly is left out."""
        sort = parameters.get("sort", "")
        return cls(
            text=parameters.get("q", "").strip(),
            kinds=tuple(kind for kind in KINDS if kind in parameters.getlist("status")),
            sort=sort.removeprefix("-") if sort.removeprefix("-") in SORTS else "status",
            is_reversed=sort.startswith("-"),
            page=page_number(parameters.get("page", "")),
        )

    def address(self, **changes: Any) -> str:
        """The address of the page with these fields changed, from its first page."""
        asked = replace(self, **changes)
        said: list[tuple[str, Any]] = [("q", asked.text)] if asked.text else []
        said += [("status", kind) for kind in asked.kinds]
        if (asked.sort, asked.is_reversed) != ("status", False):
            said.append(("sort", f"{'-' * asked.is_reversed}{asked.sort}"))
        return f"/?{urlencode(said, errors='replace')}" if said else "/"

    def pages(self) -> str:
        """The address of a page of the same, but for its number."""
        first = self.address()
        return f"{first}{'&' if '?' in first else '?'}page="

    def sorted_by(self, sort: str) -> str:
        """The address of the same, sorted by this; the other way round where it is already."""
        return self.address(sort=sort, is_reversed=sort == self.sort and not self.is_reversed)

    def only(self, kind: str) -> str:
        """The address of the same, with runs of this kind only; with all where that is so already."""
        return self.address(kinds=() if self.kinds == (kind,) else (kind,))


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for a query."""

    page: Page[Row]
    counts: Mapping[str, int]
    """How many runs with the wanted text are of which kind."""


def matching(runs: Iterable[RunInfo], query: RunQuery, *, now: datetime) -> list[Row]:
    """The runs with the wanted text, whatever their kind."""
    text = query.text.casefold()
    wanted = (run for run in runs if not text or text in _searched(run))
    return [Row(run, standing_of(run, now=now)) for run in wanted]


def found(rows: Sequence[Row], query: RunQuery) -> Found:
    """One page of the rows that are wanted, sorted; of equal ones, by graph id."""
    counts = Counter(row.standing.kind for row in rows)
    wanted = [row for row in rows if not query.kinds or row.standing.kind in query.kinds]
    wanted.sort(key=_KEYS[query.sort], reverse=query.is_reversed)
    kinds = {kind: counts[kind] for kind in sorted(counts, key=rank)}
    return Found(page_of(wanted, query.page, size=PAGE), kinds)


def _searched(run: RunInfo) -> str:
    return "\n".join(filter(None, (run.graph_id, run.node, run.error, run.owner))).casefold()
