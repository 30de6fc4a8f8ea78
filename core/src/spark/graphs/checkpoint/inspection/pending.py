"""Pending work in words: which nodes are to be executed, and what they wait for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from spark.graphs.checkpoint.inspection.comparing import MISSING, compare
from spark.graphs.checkpoint.inspection.difference import Difference
from spark.graphs.checkpoint.pending import JournalEntry, contents_in, entries_in, tokens_in
from spark.graphs.state.journal import CALL, QUESTION, RETRY, SIGNAL, SLEEP, is_closed, is_open
from spark.graphs.values.paths import show

_TOKENS: Final = "tokens"
_FACTS: Final = ("source", "failures", "over", "scope")
"""What of a token tells people something, besides its node and its inputs."""
_AROUND: Final = ("tokens", "contents", "journal", "next_token", "inbox", "received")
"""Told with the tokens, or of use to the library alone."""


def compare_pending(path: str, before: Any, after: Any) -> Iterator[Difference]:
    """What differs between two frontiers: tokens that came or are gone, what those that stay wait for, and the result.

    A frontier that no run of this library wrote is compared as it is.
    """
    try:
        tokens = described(before), described(after)
    except (AttributeError, LookupError, TypeError, ValueError):
        yield from compare(path, before, after)
        return
    for id in sorted({*tokens[0], *tokens[1]}, key=lambda id: (len(id), id)):
        yield from compare(f"{path}[{_TOKENS!r}][{id!r}]", *(each.get(id, MISSING) for each in tokens))
    rest = [{key: value for key, value in (each or {}).items() if key not in _AROUND} for each in (before, after)]
    for key in {**rest[0], **rest[1]}:
        yield from compare(f"{path}[{key!r}]", *(each.get(key, MISSING) for each in rest))


def described(frontier: Any) -> dict[str, dict[str, Any]]:
    """The tokens of a frontier by their ids, each with its ``node``, ``inputs``, and in words what it ``waits_for``.

    That of a map has the number of ``items_done``.

    :raises AttributeError, LookupError, TypeError, ValueError: no run of this library would write this.
    """
    if frontier is None:
        return {}
    tokens, contents, entries = tokens_in(frontier), contents_in(frontier), entries_in(frontier)
    if len(tokens) < len(frontier[_TOKENS]):
        raise ValueError("some of its tokens are not valid")
    done = Counter(id.partition(".")[0] for id in contents if "." in id)
    return {
        id: _described(token, contents[str(token["content"])], entries.get(id, []), done=done[id])
        for id, token in tokens.items()
    }


def _described(token: Mapping[str, Any], inputs: Any, entries: Sequence[JournalEntry], *, done: int) -> dict[str, Any]:
    facts = {"node": token["node"], **{name: token[name] for name in _FACTS if token.get(name)}, "inputs": inputs}
    if token.get("over"):
        facts["items_done"] = done
    waits = [wait_in_words(entry) for entry in entries if is_open(entry.data)]
    told = {
        _whole_key(entry): entry.data.get("value", entry.data.get("error"))
        for entry in entries
        if is_closed(entry.data)
    }
    return facts | ({"waits_for": waits} if waits else {}) | ({"recorded": told} if told else {})


def wait_in_words(waited: JournalEntry) -> str:
    """What a step waits for, as its journal says."""
    kind, entry, due = waited.kind, waited.data, waited.data.get("due")
    until = f" until {due}" if due else ""
    if kind == QUESTION:
        return f"an answer to {show(entry['payload'])} (question {entry['id']!r}){until}"
    if kind == SIGNAL:
        return f"the signal {entry['signal']!r}{until}"
    if kind == SLEEP:
        return f"the time {due}"
    if kind == RETRY:
        return f"the next attempt at {due}"
    return f"the durable call {waited.key!r}{until}" if kind == CALL else f"{_whole_key(waited)}{until}"


def _whole_key(entry: JournalEntry) -> str:
    return f"{entry.kind}:{entry.key}" if entry.key else entry.kind
