"""Answers to the questions of a run: which one each belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spark.errors import RunError
from spark.graphs.state.frontier import Frontier
from spark.graphs.state.journal import closed
from spark.graphs.values.snapshots import Check, snapshot


def give_answers(frontier: Frontier, answers: Mapping[str, Any], *, check: Check | None) -> None:
    """Put answers into the journal, so that the steps that asked may go on.

    :param answers: interrupt id to answer.
    :raises RunError: one of them answers no open question. Nothing is changed then.
    :raises SerializationError: one can't be saved.
    """
    asked = {
        entry["id"]: (token, key, entry)
        for token in frontier.suspended.tokens
        for key, entry in frontier.journal.open_entries(token)
        if "id" in entry
    }
    unknown = [id for id in answers if id not in asked]
    if unknown:
        raise RunError(
            f"run(resume={{{unknown[0]!r}: …}}): no question with this id is open; it may have been answered. Open are "
            f"{', '.join(map(repr, asked)) or 'none'}."
        )
    kept = {id: snapshot(value, path=f"the answer to {id!r}", check=check) for id, value in answers.items()}
    for id, value in kept.items():
        token, key, entry = asked[id]
        frontier.journal.put(token, key, closed(entry, value=value))
        frontier.resume(token)
