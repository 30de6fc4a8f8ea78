"""The tokens of a run and what they carry, as checkpoints hold them."""

from __future__ import annotations

from typing import Any

from spark.graphs.state.token import Token
from spark.graphs.values.containers import PlainDict
from spark.graphs.values.item_mapping import Captured
from spark.graphs.values.tracked import TrackedMapping


class TokenTable(TrackedMapping[Token]):
    """Tokens by id, in the order of their ids. Their contents, which several may share, are a mapping beside them."""

    __slots__ = ("_contents", "_uses")

    def __init__(self) -> None:
        super().__init__(lambda token: PlainDict(token.to_data()))
        self._contents = TrackedMapping[Any]()
        """The inputs of all tokens by the id of the content, as of the last capture."""
        self._uses: dict[str, int] = {}
        """Content id to the number of tokens that name it, as of the last capture."""

    def changed(self, token: Token) -> None:
        """A token was changed in place."""
        self.put(token.id, token)

    def capture_all(self) -> tuple[Captured, Captured]:
        """The data of all tokens and the contents that they name, both by id."""
        before, tokens = self.captured, self.capture()
        if tokens is not before:
            self._count_uses(before or Captured({}), tokens)
        return tokens, self._contents.capture()

    def _count_uses(self, before: Captured, tokens: Captured) -> None:
        """Put the contents that tokens name since the capture before, and remove those that none names any more."""
        uses, changes = self._uses, tokens.changes_since(before.moment)
        new, removed = (changes.put, changes.removed) if changes is not None else (tokens.keys(), ())
        for id in new:
            if id not in before:
                content = self.values[id].content
                if content not in uses:
                    self._contents.put(content, self.values[id].inputs)
                uses[content] = uses.get(content, 0) + 1
        for id in removed:
            content = before[id]["content"]
            uses[content] -= 1
            if not uses[content]:
                del uses[content]
                self._contents.remove(content)
