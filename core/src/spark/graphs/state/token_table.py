"""The tokens of a run and what they carry, as checkpoints hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from spark.graphs.state.token import Token, stored_fields
from spark.graphs.values.containers import PlainDict
from spark.graphs.values.item_mapping import Captured, Changes
from spark.graphs.values.tracked import TrackedMapping

FrozenTokens: TypeAlias = "Captured | list[tuple[str, tuple[Any, ...], str, Any]]"
"""Many tokens; or of each of a few the id, the stored values, the id of its content, and that."""

_MANY: Final = 16
"""From so many tokens on it costs less to know what changed than to look at each."""


class TokenTable(TrackedMapping[Token]):
    """Tokens by id, in the order of their ids. Their contents, which several may share, are a mapping beside them."""

    __slots__ = ("_contents", "_named", "_result_count", "_uses", "_values_of")

    def __init__(self) -> None:
        self._values_of = stored_fields(Token).values_of
        super().__init__(self._values_of, shown=_shown)
        self._contents: TrackedMapping[Any] = TrackedMapping()
        """The inputs of all tokens by the id of the content, as of the last capture."""
        self._named: dict[str, str] = {}
        """Token id to the id of its content, as of the last capture."""
        self._uses: dict[str, int] = {}
        """Content id to the number of tokens that name it, as of the last capture."""
        self._result_count = 0
        """How many results of items of maps are among the contents."""

    def changed(self, token: Token) -> None:
        """A token was changed in place."""
        self.put(token.id, token)

    def put_result(self, id: str, result: Any) -> None:
        """Keep what an item of a map has led to among the contents, under the item's id."""
        self._result_count += 1
        self._contents.put(id, result)

    def take_result(self, id: str) -> Any:
        """Remove such a result; an empty one if there is none."""
        result = self._contents.values.get(id)
        if result is None:
            return {}
        self._result_count -= 1
        self._contents.remove(id)
        return result

    def freeze(self) -> tuple[FrozenTokens, Captured | None]:
        """What stands for all tokens, and for the contents that they name: ``thawed`` tells which. Neither ever changes.

        Where there are many tokens, both are ``Captured`` and say what changed.
        """
        if len(self.values) >= _MANY or self._result_count:
            return self._freeze_many()
        if self.captured is not None:
            self.stop_tracking()
            self._contents = TrackedMapping()
            self._named.clear()
            self._uses.clear()
        values_of = self._values_of
        return [(token.id, values_of(token), token.content, token.inputs) for token in self.values.values()], None

    def _freeze_many(self) -> tuple[Captured, Captured]:
        before, tokens = self.captured, self.capture()
        if tokens is not before:
            self._count_uses(tokens.changes_since(before.moment) if before is not None else None)
        return tokens, self._contents.capture()

    def _count_uses(self, changes: Changes | None) -> None:
        """Put the contents that tokens name since the capture before, and remove those that none names any more.

        :param changes: None for all tokens.
        """
        named, uses = self._named, self._uses
        new, removed = changes if changes is not None else (self.values, ())
        for id in new:
            if id not in named:
                content = named[id] = self.values[id].content
                if content not in uses:
                    self._contents.put(content, self.values[id].inputs)
                uses[content] = uses.get(content, 0) + 1
        for id in removed:
            content = named.pop(id)
            uses[content] -= 1
            if not uses[content]:
                del uses[content]
                self._contents.remove(content)


def thawed(tokens: FrozenTokens, contents: Captured | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The data of all tokens and the contents that they name, both by id."""
    if contents is not None:
        return tokens, contents  # type: ignore[return-value]  # they are many
    stored, data, inputs = stored_fields(Token), PlainDict(), dict[str, Any]()
    for id, values, content, own in tokens:
        data[id] = stored.to_data(values)
        inputs.setdefault(content, own)  # the list of a map before an item of it
    return data, inputs


def _shown(values: tuple[Any, ...]) -> PlainDict:
    return PlainDict(stored_fields(Token).to_data(values))
