"""A conversation that grows: somebody asks what Python's language reference says, and each answer is a paragraph of it.

    python examples/conversation.py sqlite:///conversation.db
    python examples/conversation.py file:///tmp/conversation --messages 400 --stop-after 150

Kill it however you like, or let it kill itself after so many messages (``--stop-after``), and start it again with the same
words: it resumes where it was, and no message is lost or said twice. Each message is one step, and a checkpoint follows it:
it costs what one message costs, however long the conversation has become.

The answers come from ``pydoc_data.topics``, which every Python brings along, so nothing leaves this machine. In a program
of your own, ``Answer`` would call a model.
"""

import argparse
import asyncio
import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pydoc_data.topics import topics
from typing import Any

from spark.graphs import ExitNode, Graph, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointHandler, GraphCheckpoint

Message = dict[str, Any]

EVERY = 250
"""After so many messages, one of them is printed."""


class Ask(Node):
    """Say what one wants to know: about the next topic, or more about the same."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        number = await context.graph_state.length("messages")
        topic, paragraph, _ = PAGES[number // 2 % len(PAGES)]
        content = "Go on, please." if paragraph else f"What does the language reference say about {topic!r}?"
        await context.graph_state.append("messages", message(number, "user", content))
        return {}


class Answer(Node):
    """Answer the last question, and lead back to the next one."""

    def __init__(self, *, wanted: int, stop_after: int) -> None:
        self.wanted = wanted
        self.left = stop_after

    async def process(self, context: NodeContext) -> dict[str, Any]:
        state = context.graph_state
        number = await state.length("messages")
        [asked] = await state.slice("messages", number - 1, number)  # costs what it returns
        _, _, answer = PAGES[asked["number"] // 2 % len(PAGES)]
        await state.append("messages", message(number, "assistant", answer))
        if (number + 1) % EVERY == 0:
            print(f"  {number + 1:5}  {asked['content']}\n         {answer.splitlines()[0]}", flush=True)
        self.stop_when_told()
        return {"done": number + 1 >= self.wanted}

    def stop_when_told(self) -> None:
        """Die at once, before this step is committed: what was said here will be said again."""
        self.left -= 2
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Summary(ExitNode):
    """Boil the conversation down to a few figures and a digest, by which two runs can be compared."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        messages = await context.graph_state.peek("messages")
        digest = hashlib.sha256()
        for said in messages:
            digest.update(json.dumps(said).encode())
        return {
            "messages": len(messages),
            "in_order": [said["number"] for said in messages] == list(range(len(messages))),
            "characters": sum(len(said["content"]) for said in messages),
            "digest": digest.hexdigest(),
        }


class Announce(CheckpointHandler):
    """Say from where a run goes on."""

    async def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> None:
        said = len(checkpoint.graph_state.get("messages", []))
        print(f"  resumed after {said} messages", flush=True)


def build(store: str, *, messages: int, stop_after: int = 0) -> Graph:
    """The wired graph. It makes a checkpoint after every message, and keeps the last five."""
    ask, answer = Ask(), Answer(wanted=messages, stop_after=stop_after)
    ask >> answer
    answer.on(done=False) >> ask
    answer.on(done=True) >> Summary()
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, max_checkpoints=5, handler=Announce())
    return Graph(start=ask, id="conversation", checkpoint_config=config)


def message(number: int, role: str, content: str) -> Message:
    return {"number": number, "role": role, "content": content}


def pages() -> Iterator[tuple[str, int, str]]:
    """Each paragraph of the language reference, with its topic and its place in it."""
    for topic, text in sorted(topics.items()):
        paragraphs = (paragraph.strip() for paragraph in text.split("\n\n"))
        for number, paragraph in enumerate(filter(None, paragraphs)):
            yield topic, number, paragraph


PAGES = list(pages())


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="URL of the checkpoint store")
    parser.add_argument("--messages", type=int, default=5_000, help="how long the conversation becomes")
    parser.add_argument("--stop-after", type=int, default=0, help="kill this process after so many messages; 0: never")
    options = parser.parse_args()
    print(f"  {options.messages} messages, stored in {options.store}", flush=True)
    graph = build(options.store, messages=options.messages, stop_after=options.stop_after)
    result = await graph.run(resume=True)
    print(json.dumps(result.content), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
