"""The tokens of a run and what they carry, as checkpoints hold them."""

from __future__ import annotations

from typing import Any, Final

from spark.graphs.state.token import Token
from spark.graphs.values.containers import PlainDict
from spark.graphs.values.item_mapping import Captured, Changes
from spark.graphs.values.tracked import TrackedMapping

_MANY: Final = 16
"""From so many tokens on it costs less to know what changed than to look at each."""


class TokenTable(TrackedMapping[Token]):
    """Tokens by id, in the order of their ids. Their contents, which several may share, are a mapping beside them."""

    __slots__ = ("_contents", "_few", "_named", "_result_count", "_uses")

    def __init__(self) -> None:
        super().__init__(lambda token: token.to_data(PlainDict))
        self._contents = TrackedMapping[Any]()
        """The inputs of all tokens by the id of the content, as of the last capture."""
        self._named: dict[str, str] = {}
        """Token id to the id of its content, as of the last capture."""
        self._uses: dict[str, int] = {}
        """Content id to the number of tokens that name it, as of the last capture."""
        self._few: dict[str, Any] = {}
        """The data of tokens when there were few, as of that capture; a token that is not changed in place keeps its data."""
        self._result_count = 0
        """How many results of items of maps are among the contents."""

    def changed(self, token: Token) -> None:
        """A token was changed in place."""
        self._few = {}
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

    def capture_all(self) -> tuple[dict[str, Any] | Captured, dict[str, Any] | Captured]:
        """The data of all tokens and the contents that they name, both by id. Never change what is in there.

        Where there are many tokens, both are ``Captured`` and say what changed.
        """
        if len(self.values) >= _MANY or self._result_count:
            return self._capture_many()
        if self.captured is not None:
            self.stop_tracking()
            self._contents = TrackedMapping()
            self._named.clear()
            self._uses.clear()
        before, tokens = self._few, PlainDict()
        contents: dict[str, Any] = {}
        for id, token in self.values.items():
            tokens[id] = before.get(id) or token.to_data()
            contents.setdefault(token.content, token.inputs)  # the list of a map before an item of it
        self._few = tokens
        return tokens, contents

    def _capture_many(self) -> tuple[Captured, Captured]:
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
