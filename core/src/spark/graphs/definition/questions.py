"""Asking a person: a step waits for the answer, which may be given days later and by another process."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from spark.errors import GraphDefinitionError
from spark.graphs.definition.step_journal import StepJournal
from spark.graphs.state.journal import Entry, is_closed
from spark.graphs.values.snapshots import snapshot
from spark.wording import shortened

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

_LONGEST: Final = 2_000
"""Characters of what was wrong with an answer."""
_TYPES: Final = (
    "Give a type that pydantic.TypeAdapter takes, such as bool, a BaseModel, a dataclass or Literal['yes', 'no']; "
    "whoever asks for the question gets its JSON schema."
)


async def ask(journal: StepJournal, name: str, payload: Any, *, key: str | None, schema: Any) -> Any:
    """The answer to a question, as the caller's own copy. Without one, the step is suspended.

    :param name: the key of its entry.
    :param key: what the node calls it.
    :param schema: what ``pydantic.TypeAdapter`` takes; None takes any answer.
    """
    adapter = _adapter(schema) if schema is not None else None
    entry = journal.entry(name) or _question(journal, name, payload, key=key, adapter=adapter)
    if is_closed(entry):
        answer, wrong = _validated(snapshot(entry["value"]), adapter)
        if not wrong:
            return answer
        entry = _asked_again(entry, wrong)
    return await journal.wait(name, entry)


def checked_key(key: Any) -> str:
    """The key of a question, or ``""`` when it has none."""
    if key is None:
        return ""
    if type(key) is not str or not key:
        raise TypeError(f"context.interrupt(key={key!r}): the key of a question is a text, such as 'approve', or None.")
    return key


def _validated(answer: Any, adapter: TypeAdapter[Any] | None) -> tuple[Any, str]:
    """What the answer is as the question wants it, and what is wrong with it, if anything is."""
    if adapter is None:
        return answer, ""
    from pydantic import ValidationError

    try:
        return adapter.validate_python(answer), ""
    except ValidationError as error:
        return None, _what_is_wrong(error)


def _question(
    journal: StepJournal, name: str, payload: Any, *, key: str | None, adapter: TypeAdapter[Any] | None
) -> Entry:
    step = journal.step
    asked = f"{step.scope.run_id}/{step.token.lineage:x}/{name}"
    entry: dict[str, Any] = {
        "id": blake2b(asked.encode(errors="surrogatepass"), digest_size=8).hexdigest(),
        "payload": journal.kept(payload, path="the payload of an interrupt"),
        "since": journal.now().isoformat(),
    }
    if key is not None:
        entry["key"] = key
    if step.token.item is not None:
        entry["path"] = [*step.token.item.path()]
    if adapter is not None and (schema := _json_schema(adapter)) is not None:
        entry["schema"] = schema
    return entry


def _asked_again(entry: Entry, wrong: str) -> Entry:
    """The question of which an answer was refused."""
    left = {name: value for name, value in entry.items() if name != "value"}
    return {**left, "refused": wrong, "tries": entry.get("tries", 0) + 1}


def _adapter(schema: Any) -> TypeAdapter[Any]:
    from pydantic import PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter  # slow: only for those who use it

    if isinstance(schema, str | Mapping):  # which TypeAdapter takes for something else
        kind = "text" if isinstance(schema, str) else "a JSON schema"
        raise GraphDefinitionError(
            f"context.interrupt(schema={shortened(repr(schema), 200)}): this is {kind}. {_TYPES}"
        )
    try:
        adapter = TypeAdapter(schema)
        adapter.rebuild()  # raises where a name in the type leads nowhere
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise GraphDefinitionError(
            f"context.interrupt(schema={schema!r}): pydantic can't validate this ({shortened(str(error.message), 200)}). {_TYPES}"
        ) from error
    return adapter


def _json_schema(adapter: TypeAdapter[Any]) -> dict[str, Any] | None:
    """The JSON schema, for those who show the question; None where the type has none."""
    from pydantic.errors import PydanticInvalidForJsonSchema

    try:
        return adapter.json_schema()
    except PydanticInvalidForJsonSchema:
        return None


def _what_is_wrong(error: ValidationError) -> str:
    """In one line, without the values of the answer."""
    wrong = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" if each["loc"] else each["msg"] for each in wrong]
    return shortened("; ".join(told), _LONGEST)
