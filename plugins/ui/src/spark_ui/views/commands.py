"""The ``spark`` commands that do what a page does, ready for a shell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from spark.hooks import redact

Edits: TypeAlias = Mapping[str, Any]
"""What ``CheckpointManager.edit`` takes: ``set``, ``append``, ``delete``, ``as_node``, ``output``, ``reason``."""


class Commands:
    """The commands for one graph of one store.

    :param url: the store's; what is secret in it is left out. One that has none is called ``URL``.
    """

    def __init__(self, url: str, graph_id: str) -> None:
        self._store = ["--url", redact(url) if ":" in url else "URL"]
        self._graph = graph_id

    def resume(self) -> str:
        """Resumes the run, once ``MODULE:GRAPH`` is replaced by the program's own."""
        return shlex.join(["spark", "run", "MODULE:GRAPH", "--resume", *self._store])

    def answer(self, answers: Mapping[str, Any]) -> str:
        """Answers questions."""
        return self._words("answer", self._graph, *(f"{id}={_json(answer)}" for id, answer in answers.items()))

    def answer_template(self, id: str) -> str:
        """Answers a question, once ``JSON`` is replaced by the answer."""
        return self._words("answer", self._graph, f"{id}=JSON")

    def send_template(self, name: str) -> str:
        """Sends a signal, once ``JSON`` is replaced by its value."""
        return self._words("send", self._graph, name, "JSON")

    def send(self, name: str, value: Any, *, key: str = "") -> str:
        """Sends a signal."""
        options = ["--key", key] if key else []
        return self._words("send", self._graph, name, _json(value), options=options)

    def show(self, checkpoint_id: str) -> str:
        """Shows a checkpoint."""
        return self._words("checkpoints show", checkpoint_id)

    def diff(self, before: str, after: str) -> str:
        """Shows what differs between two checkpoints."""
        return self._words("checkpoints diff", before, after)

    def edit(self, edits: Edits) -> str:
        """Changes the state that the next resume continues from."""
        return self._words("edit", self._graph, options=_options_of(edits))

    def edit_template(self) -> str:
        """Sets a key of the state, once ``KEY`` and ``JSON`` are replaced."""
        return self._words("edit", self._graph, options=["--set", "KEY=JSON"])

    def fork(self, checkpoint_id: str, graph_id: str, edits: Edits) -> str:
        """Begins another history with a checkpoint; without a graph id a branch of the same one."""
        to = ["--to", graph_id] if graph_id else []
        return self._words("fork", checkpoint_id, options=[*to, *_options_of(edits)])

    def drain(self, reason: str) -> str:
        """Asks the run to stop at a boundary."""
        return self._words("drain", self._graph, options=["--reason", reason] if reason else [])

    def delete(self, checkpoint_id: str) -> str:
        """Deletes a checkpoint."""
        return self._words("checkpoints delete", checkpoint_id)

    def forget(self) -> str:
        """Removes every trace of the graph."""
        return self._words("checkpoints forget", self._graph)

    def _words(self, verb: str, *arguments: str, options: Sequence[str] = ()) -> str:
        options = [*self._store, *options]
        is_like_option = any(argument.startswith("-") for argument in arguments)
        words = [*options, "--", *arguments] if is_like_option else [*arguments, *options]
        return shlex.join(["spark", *verb.split(), *words])


def _options_of(edits: Edits) -> list[str]:
    sets = [word for key, value in edits.get("set", {}).items() for word in ("--set", f"{key}={_json(value)}")]
    appended = [(key, item) for key, items in edits.get("append", {}).items() for item in items]
    appends = [word for key, item in appended for word in ("--append", f"{key}={_json(item)}")]
    deletes = [word for key in edits.get("delete", ()) for word in ("--delete", key)]
    node = ["--as-node", edits["as_node"]] if edits.get("as_node") is not None else []
    output = ["--output", _json(edits["output"])] if edits.get("output") is not None else []
    return [*sets, *appends, *deletes, *node, *output, *(["--reason", edits["reason"]] if edits.get("reason") else [])]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
