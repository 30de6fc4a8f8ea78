"""Answers to the questions of a stored run: which one each belongs to, checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spark.errors import RunError
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.resuming.comparison import differing_names
from spark.graphs.state.frontier import Frontier
from spark.graphs.state.journal import QUESTION, Entry, closed, is_closed
from spark.graphs.values.snapshots import Check, snapshot


def answered_entries(
    frontier: Mapping[str, Any], answers: Mapping[str, Any], *, codec: RecordCodec, check: Check | None
) -> dict[str, Entry]:
    """The entries of the journal that answers close, by their names there. An answer that was given before, closes none.

    :param frontier: that section of a checkpoint that was checked.
    :param answers: interrupt id to answer.
    :param check: whether a value can be saved where the checkpoints go.
    :raises RunError: an answer belongs to no question, or the question was answered otherwise before.
    :raises SerializationError: one can't be saved.
    """
    questions = {
        entry["id"]: (name, entry) for name, entry in frontier.get("journal", {}).items() if _is_question(name)
    }
    _check_known(answers, questions)
    found: dict[str, Entry] = {}
    for id, answer in answers.items():
        name, entry = questions[id]
        kept = snapshot(answer, path=f"the answer to {id!r}", check=check)
        if not is_closed(entry):
            found[name] = closed(entry, value=kept)
        elif differing_names({"": kept}, {"": entry.get("value")}, codec=codec):
            raise RunError(
                f"run(resume={{{id!r}: …}}): this question already has another answer, with which the run continues. "
                "To resume it, leave this answer out."
            )
    return found


def give_answers(frontier: Frontier, entries: Mapping[str, Entry]) -> None:
    """Put such entries into the journal, so that the steps which asked continue."""
    for name, entry in entries.items():
        token, _, key = name.partition("/")
        frontier.journal.put(token, key, entry)
        frontier.resume(token)


def _is_question(name: str) -> bool:
    return name.partition("/")[2].startswith(f"{QUESTION}:")


def _check_known(answers: Mapping[str, Any], questions: Mapping[str, tuple[str, Entry]]) -> None:
    unknown = next((id for id in answers if id not in questions), None)
    if unknown is None:
        return
    open = [id for id, (_, entry) in questions.items() if not is_closed(entry)]
    raise RunError(
        f"run(resume={{{unknown!r}: …}}): no question with this id is open. It may have been answered, or belong to another run. "
        + (f"Open are {', '.join(map(repr, open))}." if open else "None is open; to resume the run, run(resume=True).")
    )
