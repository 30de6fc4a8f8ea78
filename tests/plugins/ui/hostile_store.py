"""A store that somebody filled to harm whoever looks at it: in every text of it that a page may show."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from spark.errors import InvalidIdError, SparkError
from spark.graphs import Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend

HOSTILE: Final = [
    "<script>window.harmed = 1</script>",
    "</title><script>window.harmed = 1</script>",
    '"><img src=x onerror="window.harmed = 1">',
    "' onfocus='window.harmed=1' autofocus='",
    "javascript:window.harmed=1",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp;quot;",
    "../../../etc/passwd",
    "..",
    ".",
    "a/b//c?d=e&f#g",
    "%2f..%2F%00~2F~",
    "\\\\server\\share",
    "rates\u202egnp.exe\u2066",
    "null\x00byte",
    "line\nbreak\r\nSet-Cookie: harmed=1",
    "lone \ud800 surrogate",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "e\u0301\U0001f469\u200d\U0001f680",
    "x" * 200,
    "\x1b[31mred\x07",
]


class Harmful(Node):
    """Fails with a text that is meant to harm, and leaves it in the state as well."""

    def __init__(self, text: str, **options: Any) -> None:
        super().__init__(**options)
        self.text = text

    async def process(self, context: NodeContext) -> None:
        with suppress(SparkError):
            await context.graph_state.set(self.text, {self.text: [self.text]})
        await context.commit()
        raise ValueError(self.text)


def make_hostile_store() -> InMemoryCheckpointBackend:
    """Every text in every place that takes it: graph ids, node names, errors, keys and values."""
    backend = InMemoryCheckpointBackend()
    asyncio.run(_fill(backend))
    return backend


async def _fill(backend: InMemoryCheckpointBackend) -> None:
    for number, text in enumerate(HOSTILE):
        config = CheckpointConfig(backend=backend)
        for id, name in ((text, None), (f"names-{number}", text), (f"texts-{number}", None)):
            with suppress(InvalidIdError, ValueError, SparkError):
                await Graph(Harmful(text, name=name), id=id, checkpoint_config=config).run()
