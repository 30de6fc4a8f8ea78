"""Collections that the worker graph changes a little in each round, and what they must be after so many: told independently.

Each of the functions without a state is a model: it makes the whole collection from the number of rounds alone. Together they
bring about all that happens to chunks: items are added, replaced, removed and put in between, chunks are merged, cleaned and
dropped, removed keys are remembered and set again.
"""

from __future__ import annotations

from typing import Any, Final

from spark.graphs import NodeContext

LOG_LONGEST: Final = 160
LOG_CUT: Final = 60
"""So many entries go from the beginning when the log has reached its length."""
BOOK: Final = 90
"""Keys; in each round one is set, and in every third another one is deleted."""
AGENDA: Final = 110
"""Items of a plain list, which is set as a whole: one changes, one is missing, and some stand before the first."""
DAYS: Final = 60
"""Keys of a diary in a node's own state."""
ITEMS: Final = 40
"""Of each map."""


def at_first() -> dict[str, Any]:
    """All of them before the first round."""
    return {"log": log_after(0), "book": book_after(0), "agenda": agenda_after(0)}


async def change(context: NodeContext, rounds: int) -> None:
    """Do what belongs into the round after so many."""
    state = context.graph_state
    if _is_cut(rounds):
        await state.set("log", await state.slice("log", LOG_CUT))
    await state.append("log", _entry("log", rounds))
    await state.set_item("book", f"page {rounds % BOOK}", _entry("book", rounds))
    if rounds % 3 == 0:
        await state.delete_item("book", f"page {(rounds + BOOK // 2) % BOOK}")
    await state.set("agenda", agenda_after(rounds + 1))
    context.state.set_item("diary", f"day {rounds % DAYS}", _entry("diary", rounds))


def log_after(rounds: int) -> list[str]:
    """A list to which entries are appended, and which is cut when it is long. It begins nearly so."""
    cuts = 0 if rounds <= _FIRST_CUT else (rounds - 1 - _FIRST_CUT) // LOG_CUT + 1
    return [_entry("log", each) for each in range(cuts * LOG_CUT - _BEFORE, rounds)]


def book_after(rounds: int) -> dict[str, str]:
    """A mapping of which single items are set and deleted, in the order in which they were set for the first time."""
    book: dict[str, tuple[int, str]] = {}
    for page in range(BOOK):
        last = (rounds - 1 - page) // BOOK * BOOK + page if rounds > page else page - BOOK
        if not _is_deleted(page, rounds, last):
            book[f"page {page}"] = (_since(page, last), _entry("book", last))
    return {page: entry for page, (_, entry) in sorted(book.items(), key=lambda item: item[1][0])}


def agenda_after(rounds: int) -> list[str]:
    """A list that is made anew in each round, nearly as it was."""
    first = [_entry("earlier", each) for each in range(rounds // 20 % 5, 0, -1)]
    gap = rounds // 7 % AGENDA
    return first + [
        _entry(f"item {each}", (rounds + AGENDA - 1 - each) // AGENDA) for each in range(AGENDA) if each != gap
    ]


def diary_after(rounds: int) -> dict[str, str]:
    """A mapping in a node's own state, of which each round sets one item."""
    return {
        f"day {each % DAYS}": _entry("diary", each + (rounds - 1 - each) // DAYS * DAYS)
        for each in range(min(rounds, DAYS))
    }


def items_of(rounds: int) -> list[dict[str, Any]]:
    """The list that a map of this round runs over."""
    return [{"weight": rounds + each, "text": _entry("item", each)} for each in range(ITEMS)]


def weighed(item: dict[str, Any]) -> dict[str, Any]:
    """What comes of one item."""
    return {"weight": 2 * item["weight"], "text": item["text"]}


_BEFORE: Final = LOG_LONGEST - 40
_FIRST_CUT: Final = 40


def _is_cut(rounds: int) -> bool:
    return rounds >= _FIRST_CUT and (rounds - _FIRST_CUT) % LOG_CUT == 0


def _is_deleted(page: int, rounds: int, last: int) -> bool:
    """Whether a page that was set in this round was deleted since."""
    deleted = last + BOOK - BOOK // 2
    return 0 <= deleted < rounds and deleted % 3 == 0


def _since(page: int, last: int) -> int:
    """The round in which a page got its place: it keeps that until it is deleted."""
    while last >= 0 and not _is_deleted(page, last, last - BOOK):
        last -= BOOK
    return last


def _entry(name: str, number: int) -> str:
    return f"{name} {number} ".ljust(200, ".")
