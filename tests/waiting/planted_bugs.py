"""Bugs planted in what waits and tries again: a proof that accepts one of them proves nothing."""

from __future__ import annotations

from typing import Final

from tests.support.planting import Bug

_FRONTIER: Final = "spark.graphs.state.frontier"
_PENDING: Final = "spark.graphs.state.pending"
_POSITION: Final = "spark.graphs.engine.position"
_INBOX: Final = "spark.graphs.engine.waiting.inbox"
_ENDING: Final = "spark.graphs.engine.ending"
_CALLS: Final = "spark.graphs.definition.calls"

BUGS: Final = (
    Bug(
        "the journal of a step is kept when it has committed",
        _FRONTIER,
        "        if self.journal.entries:\n            self.journal.drop(token.id)\n        item, scope",
        "        item, scope",
    ),
    Bug(
        "answers are not durable before the run goes on",
        _ENDING,
        'await self._save_or_raise("answered")',
        "pass",
    ),
    Bug(
        "failures are counted in memory only",
        _PENDING,
        "        token.failures += 1\n        self._tokens.changed(token)",
        "        token.failures += 1",
    ),
    Bug(
        "attempts are given anew when the run fails",
        _POSITION,
        "        self.frontier.count_failure(step.token)\n        self.frontier.note(step.token, RETRY, entry)",
        "        self.frontier.note(step.token, RETRY, entry)",
    ),
    Bug(
        "a message that was received is not recorded",
        _INBOX,
        "            self._frontier.received.add(letter.sequence, seen=self._seen, up_to=self._looked_to or 0)\n",
        "",
    ),
    Bug(
        "what was received is not in checkpoints",
        _FRONTIER,
        "        if self._received:\n            told",
        "        if False:\n            told",
    ),
    Bug("messages are handed out the last one first", _INBOX, "letters.popleft()", "letters.pop()"),
    Bug(
        "a message that is sent again is received again",
        "spark.graphs.checkpoint.derived.inbox",
        "            if (await backend.query(query)).infos:\n".replace("            ", "                ", 1),
        "                if False:\n",
    ),
    Bug(
        "a call is recorded after it has returned",
        _POSITION,
        "        if self._position.record(token, key, entry):\n            await self._run.persist()",
        "        self._position.record(token, key, entry)",
    ),
    Bug(
        "a call shares a checkpoint that was captured before its record",
        "spark.graphs.engine.autosave",
        "        self._is_busy, self._may_share = True, False\n        try:",
        "        self._is_busy = True\n        try:",  # it is only said when the task has ended
    ),
    Bug(
        "an error that is recorded is called again",
        _CALLS,
        '                failure, entry["error"] = error, error_to_repeat(error)',
        "                raise error",
    ),
    Bug(
        "a retry forgets durable calls",
        _POSITION,
        "        self._suspend(step, Suspended({RETRY: wait}))",
        "        self.frontier.journal.drop(step.token.id)\n        self._suspend(step, Suspended({RETRY: wait}))",
    ),
    Bug(
        "a step that waits drops its calls that are under way",
        "spark.graphs.definition.step_journal",
        "        while self._in_flight:\n            await self._idle.wait()",
        "        self._in_flight = 0",
    ),
    Bug(
        "a suspended item of a map is lost",
        _PENDING,
        "        self._store_by_itself(token)\n        if self.journal.wait",
        "        if self.journal.wait",
    ),
    Bug(
        "an item of a map that waits is begun twice",
        "spark.graphs.state.groups",
        ' and ("." not in id or id in suspended)',
        ' and "." not in id',
    ),
    Bug(
        "a sleep begins anew after a kill",
        "spark.graphs.definition.timers",
        "    if entry is None:",
        "    if entry is None or is_open(entry):",
    ),
    Bug(
        "what a step wrote before it waited is kept",
        "spark.graphs.engine.step_runner",
        "            return await _outcome_of(context._journal, error)",
        "            if context._graph_writes is not None:\n"
        "                await step.scope.commit(step.token, context._graph_writes, None)\n"
        "            return await _outcome_of(context._journal, error)",
    ),
    Bug(
        "a step that waits is saved when a trigger says so",
        _POSITION,
        "        self.frontier.suspend(step.token, outcome.waits)\n        self.is_urgent = True",
        "        self.frontier.suspend(step.token, outcome.waits)",
    ),
    Bug("an answer that is wrong is taken", "spark.graphs.definition.questions", "if not wrong:", "if True:"),
    Bug(
        "what was committed on the way is committed again at the end",
        _POSITION,
        "        if graph_writes is not None:\n            graph_writes.restart()\n",
        "",
    ),
    Bug(
        "what is committed on the way is not durable",
        _POSITION,
        "        if self._position.commit_part(token, graph_writes, node_writes):\n            await self._run.persist()",
        "        self._position.commit_part(token, graph_writes, node_writes)",
    ),
    Bug("a drained run is not saved", _ENDING, '        await self._save_or_raise("drained")\n', ""),
    Bug(
        "steps get no time to finish when the run is drained",
        _ENDING,
        "        await self._let_running_finish(until=self._drain_until)\n        await self._stop",
        "        await self._stop",
    ),
    Bug(
        "a step whose error is handled is not counted",
        _POSITION,
        '"inputs": step.token.inputs}, handlers)\n        self._continue_after(step)',
        '"inputs": step.token.inputs}, handlers)',
    ),
    Bug(
        "a handled error leaves the journal behind in a map",
        _FRONTIER,
        "        del self.running[token.id]\n        self.journal.drop(token.id)\n        if item.scope is None:",
        "        del self.running[token.id]\n        if item.scope is None:",
    ),
)
"""Each changes one line, or a few."""


def bug(name: str) -> Bug:
    """The one with this name."""
    return next(each for each in BUGS if each.name == name)
