"""How a run ended that did not fail: its result for scripts, its exit code, and the commands that continue it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from spark_cli.exit_codes import DRAINED, FINE, INTERRUPTED, WAITING
from spark_cli.terminal.output import shortened
from spark_cli.terminal.showing import counted, summary

if TYPE_CHECKING:
    from spark.graphs import Graph, Interrupt, Message


def code_of(message: Message) -> int:
    """The exit code."""
    return {"drained": DRAINED, "interrupted": INTERRUPTED, "waiting": WAITING}.get(message.status, FINE)


def result_of(graph: Graph, message: Message) -> dict[str, Any]:
    """What a script is told."""
    return {
        "graph_id": graph.graph_id,
        "run_id": message.run_id,
        "resumed": message.resumed,
        "status": message.status,
        "node": message.node,
        "content": message.content,
        **waits_of(message),
    }


def waits_of(message: Message) -> dict[str, Any]:
    """What an unfinished run waits for, as JSON can have it; nothing for one that is complete."""
    if message.status == "completed":
        return {}
    return {
        "due": message.due and message.due.isoformat(),
        "interrupts": [question_data(each) for each in message.interrupts],
    }


def question_data(question: Interrupt) -> dict[str, Any]:
    """All that is known of an open question, as each command prints it."""
    return {
        "id": question.id,
        "node": question.node,
        "key": question.key,
        "path": [*question.path],
        "since": question.since,
        "payload": question.payload,
        "schema": question.schema,
        "error": question.error,
    }


class WayOn:
    """How an unfinished run of a graph is continued.

    :param target: how the command named the graph.
    :param graph_id: the id that it named, or nothing.
    :param url: the store that it named, or nothing.
    """

    def __init__(self, graph: Graph, target: str, *, graph_id: str, url: str) -> None:
        self._graph = graph
        self._target = target
        self._graph_id = graph_id
        self._url = url

    def lines(self, message: Message) -> Iterator[str]:
        """What a person is told of such a run; nothing of one that is complete."""
        if message.status == "completed":
            return
        if message.status == "drained":
            yield "the run was stopped, and can be resumed."
        if message.interrupts:
            yield f"{counted(len(message.interrupts), 'open question')}:"
            for each in message.interrupts:
                yield shortened(f"    {each.id}  {each.node}  {summary(each.payload)}")
                if each.error:
                    yield shortened(f"        the last answer was refused: {each.error}")
        if message.due is not None:
            yield f"the run waits until {message.due:%Y-%m-%d %H:%M:%S} UTC."
        elif message.status == "waiting":
            yield "the run waits for a signal."
        if self.is_possible():
            yield from self._commands(message)
        else:
            yield "it can't be resumed, because nothing keeps its checkpoints: give --url, for instance sqlite:///runs.db."

    def is_possible(self) -> bool:
        """Whether another process can continue it."""
        store = self._graph.checkpoint_backend
        return store is not None and store.persistent

    def resume(self) -> str:
        """The command that resumes it."""
        return self._run("--resume")

    def _commands(self, message: Message) -> Iterator[str]:
        if message.interrupts:
            answers = [f"{each.id}=JSON" for each in message.interrupts]
            yield f"to answer and continue: {self._run(*(word for each in answers for word in ('--answer', each)))}"
            ids = [each.id for each in message.interrupts]
            yield f"to answer from elsewhere: {answer_command(self._graph.graph_id, ids, self._store())}"
        elif message.status == "waiting" and message.due is None:
            yield f"to send one: {command('send', self._graph.graph_id, 'NAME', 'JSON', url=self._store())}"
        if message.status != "interrupted":
            yield f"to resume it{' then' if message.status == 'waiting' else ''}: {self.resume()}"

    def _run(self, *options: str) -> str:
        chosen = ["--id", self._graph_id] if self._graph_id else []
        return command("run", self._target, *chosen, *options, url=self._url)

    def _store(self) -> str:
        """The URL of the store, for commands that don't know the graph."""
        config = self._graph.checkpoint_config
        own = config.backend if config is not None else None
        return self._url or (own if isinstance(own, str) else "")


def answer_command(graph_id: str, ids: Iterable[str], url: str) -> str:
    """The command that answers these questions from anywhere."""
    return command("answer", graph_id, *(f"{id}=JSON" for id in ids), url=url)


def command(*words: str, url: str) -> str:
    """A command to copy, for this store, whose secrets it does not tell."""
    from spark.hooks import redact

    return shlex.join(["spark", *words, *(["--url", redact(url)] if url else [])])
