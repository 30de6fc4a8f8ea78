"""What can be done to a run: what each needs to be told, the command that does the same, and how it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from spark.errors import CheckpointConflictError
from spark.graphs.checkpoint import CheckpointManager, HistoryEntry
from spark_ui.addresses import number_of, run_path
from spark_ui.changing.flow import ROOT, Change
from spark_ui.forms.fields import ONE_LINE
from spark_ui.forms.schema import Schema
from spark_ui.pages.figures import counted
from spark_ui.views.commands import Commands, Edits
from spark_ui.views.journal import Question

_REASON: Final = {
    "type": "string",
    "title": "Reason",
    "description": "Recorded in the history.",
    "maxLength": 500,
}
_SIGNAL: Final[Schema] = {
    "type": "object",
    "required": ["name", "value"],
    "properties": {
        "name": {
            "type": "string",
            "title": "Name",
            "minLength": 1,
            "maxLength": 100,
            "description": "The name that the step waits for: context.wait_for(NAME).",
        },
        "value": {"title": "Value", "description": "As JSON."},
        "key": {
            "type": "string",
            "title": "Key",
            "maxLength": 200,
            "description": "If a signal with this name and key was sent before, it is not sent again. Leave it empty for none.",
        },
    },
}
_CHANGED: Final[Schema] = {
    "type": "object",
    "required": ["do", "key"],
    "properties": {
        "do": {"enum": ["set", "append", "delete"], "title": "What to do", "default": "set"},
        "key": {"type": "string", "format": ONE_LINE, "minLength": 1, "title": "Key of the state"},
        "value": {
            "title": "Value, or the item to append",
            "description": 'As JSON: "a text", 42, [1, 2], {"a": true}. Leave it empty to delete the key.',
        },
    },
}


def answer(
    manager: CheckpointManager,
    commands: Commands,
    graph_id: str,
    question: Question,
    answered: set[tuple[str, str, str]],
) -> Change:
    """Answer a question that the run has asked.

    :param answered: the questions that were answered already, to which this one is added.
    """
    asked = graph_id, question.id, question.refused

    async def do(value: Any, hidden: Mapping[str, str]) -> str:
        if asked in answered:
            raise CheckpointConflictError(
                "This question was answered a moment ago, perhaps in another tab. The first answer counts; this one was not "
                "stored."
            )
        await manager.answer(graph_id, {question.id: value})
        answered.add(asked)
        return run_path(graph_id)

    return Change(
        name="answer",
        title="Answer a question",
        about=f"Node {question.node} asks. A run in progress takes the answer and continues; "
        f"otherwise it is kept for the next resume.",
        verb="Answer",
        graph_id=graph_id,
        schema=question.schema if question.schema is not None else {},
        command=lambda value: commands.answer({question.id: value}),
        do=do,
        template=commands.answer_template(question.id),
        hidden={"question": question.id},
        payload=question.payload,
        may_be_json=question.schema is not None,
    )


def send(manager: CheckpointManager, commands: Commands, graph_id: str, name: str) -> Change:
    """Send a signal."""
    properties = _SIGNAL["properties"]
    schema = (
        {**_SIGNAL, "properties": {**properties, "name": {**properties["name"], "default": name}}} if name else _SIGNAL
    )

    async def do(value: Any, hidden: Mapping[str, str]) -> str:
        await manager.send(graph_id, value["name"], value["value"], key=value.get("key"))
        return run_path(graph_id)

    return Change(
        name="send",
        title="Send a signal",
        about="A step that waits for it by its name gets the value, now or when the graph runs.",
        verb="Send",
        graph_id=graph_id,
        schema=schema,
        command=lambda value: commands.send(value["name"], value["value"], key=value.get("key", "")),
        do=do,
        template=commands.send_template(name or "NAME"),
        hidden={},
    )


def edit(
    manager: CheckpointManager, commands: Commands, graph_id: str, latest: HistoryEntry, nodes: Sequence[str]
) -> Change:
    """Edit the state that the next resume continues from."""

    async def do(value: Any, hidden: Mapping[str, str]) -> str:
        expected = hidden["based_on"]
        number = number_of(expected)
        await manager.edit(graph_id, expected=expected if number is None else number, **edits_of(value))
        return run_path(graph_id)

    return Change(
        name="edit",
        title="Edit the state",
        about="A new checkpoint is made of the latest one, and the next resume continues from it. What "
        "you don't touch stays as it is stored.",
        verb="Save the edit",
        graph_id=graph_id,
        schema=_edit_schema(nodes, changes=1),
        command=lambda value: commands.edit(edits_of(value)),
        do=do,
        template=commands.edit_template(),
        hidden={"based_on": str(latest.sequence)},
        check=_wrong_in_edits,
    )


def fork(
    manager: CheckpointManager, commands: Commands, graph_id: str, entry: HistoryEntry, nodes: Sequence[str]
) -> Change:
    """Begin another history with a checkpoint."""
    own: dict[str, Any] = {
        "graph_id": {
            "type": "string",
            "title": "Graph id of the fork",
            "maxLength": 200,
            "description": f"A new one, such as {graph_id[:180]}-fork. "
            "Leave it empty for a branch: the next resume of this graph continues from there.",
        }
    }
    schema = _edit_schema(nodes)
    checkpoint_id = entry.checkpoint_id or ""

    async def do(value: Any, hidden: Mapping[str, str]) -> str:
        await manager.fork(checkpoint_id, value.get("graph_id") or None, **edits_of(value))
        return run_path(value.get("graph_id") or graph_id)

    return Change(
        name="fork",
        title=f"Fork from #{entry.sequence}",
        about="Another history begins with this checkpoint, and what you change in it. What is stored stays as it is.",
        verb="Fork",
        graph_id=graph_id,
        schema={**schema, "properties": {**own, **schema["properties"]}},
        command=lambda value: commands.fork(checkpoint_id, value.get("graph_id", ""), edits_of(value)),
        do=do,
        template=commands.fork(checkpoint_id, "NEW_GRAPH_ID", {}),
        hidden={"at": str(entry.sequence)},
        check=_wrong_in_edits,
    )


def drain(manager: CheckpointManager, commands: Commands, graph_id: str) -> Change:
    """Ask the run to stop at a boundary."""

    async def do(value: Any, hidden: Mapping[str, str]) -> str:
        await manager.drain(graph_id, value.get("reason", ""))
        return run_path(graph_id)

    return Change(
        name="drain",
        title="Drain the run",
        about="The run, in whichever process it is, starts nothing new, lets running steps finish, "
        "saves, and stops. It can be resumed.",
        verb="Drain",
        graph_id=graph_id,
        schema={"type": "object", "properties": {"reason": _REASON}},
        command=lambda value: commands.drain(value.get("reason", "")),
        do=do,
        template=commands.drain(""),
        hidden={},
    )


def delete(manager: CheckpointManager, commands: Commands, graph_id: str, entry: HistoryEntry) -> Change:
    """Delete one checkpoint."""
    checkpoint_id = entry.checkpoint_id or ""

    async def do(value: Any, hidden: Mapping[str, str]) -> str:
        await manager.delete_checkpoint(checkpoint_id)
        return run_path(graph_id)

    return Change(
        name="delete",
        title=f"Delete checkpoint #{entry.sequence}",
        about=f"Checkpoint {checkpoint_id} is deleted. The others of this history stay, and none gets its "
        f"number again. This can't be undone.",
        verb="Delete it",
        graph_id=graph_id,
        schema=None,
        command=lambda value: commands.delete(checkpoint_id),
        do=do,
        template=commands.delete(checkpoint_id),
        hidden={"at": str(entry.sequence)},
        is_dangerous=True,
    )


def forget(manager: CheckpointManager, commands: Commands, graph_id: str, history: Sequence[HistoryEntry]) -> Change:
    """Remove every trace of the graph.

    :param history: as it is now; one that has grown since the page was opened is not removed.
    """
    latest = str(history[-1].sequence)

    async def do(value: Any, hidden: Mapping[str, str]) -> str:
        if hidden["based_on"] != latest:
            raise CheckpointConflictError(f"Its latest checkpoint is #{latest} now. Nothing was removed.")
        await manager.forget(graph_id)
        return run_path(graph_id)

    return Change(
        name="forget",
        title="Forget the graph",
        about=f"Every trace of this graph is removed: {counted(len(history), 'checkpoint')}, large values, messages, and "
        f"the graph id itself. The graph must not be running. This can't be undone.",
        verb="Forget it",
        graph_id=graph_id,
        schema=None,
        command=lambda value: commands.forget(),
        do=do,
        template=commands.forget(),
        hidden={"based_on": latest},
        is_dangerous=True,
    )


def edits_of(value: Mapping[str, Any]) -> Edits:
    """What a form says, as ``CheckpointManager.edit`` takes it."""
    edits: dict[str, Any] = {"set": {}, "append": {}, "delete": []}
    for each in value.get("changes", ()):
        if each["do"] == "set":
            edits["set"][each["key"]] = each.get("value")
        elif each["do"] == "append":
            edits["append"].setdefault(each["key"], []).append(each.get("value"))
        else:
            edits["delete"].append(each["key"])
    given = {name: value[name] for name in ("as_node", "output", "reason") if value.get(name) not in (None, "")}
    return {**{name: each for name, each in edits.items() if each}, **given}


def _wrong_in_edits(value: Mapping[str, Any]) -> dict[str, str]:
    """What no edit can be made of: a value that is missing, or not wanted; a key that is changed in two ways."""
    wrong: dict[str, str] = {}
    above: dict[str, str] = {}
    for place, each in enumerate(value.get("changes", ())):
        name, do, key = f"{ROOT}/changes/{place}", each["do"], each["key"]
        if ("value" in each) == (do == "delete"):
            wrong[f"{name}/value"] = "Leave it empty to delete the key." if "value" in each else "This is needed."
        if key in above and not above[key] == do == "append":
            wrong[f"{name}/key"] = "This key is changed above as well. Change it once."
        above[key] = do
    return wrong


def _edit_schema(nodes: Sequence[str], *, changes: int = 0) -> dict[str, Any]:
    as_node: dict[str, Any] = {"enum": [*nodes]} if nodes else {"type": "string"}
    as_node |= {
        "title": "As a step of node",
        "description": "The edit counts as a step of this node, and its edges fire. "
        "Leave it empty to change only the state.",
    }
    return {
        "type": "object",
        "properties": {
            "changes": {"type": "array", "title": "Changes of the state", "items": _CHANGED, "default": [{}] * changes},
            "as_node": as_node,
            "output": {"title": "What that node returned", "description": "As JSON. It decides which edges fire."},
            "reason": _REASON,
        },
    }
