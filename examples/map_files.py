"""Look at ten thousand files, eight at a time: how many lines they have, which is the longest, which are the same.

    python examples/map_files.py sqlite:///files.db
    python examples/map_files.py file:///tmp/files --folder /usr/share/doc --files 500

Kill it however you like, and start it again with the same words: it looks only at the files that it had not looked at. A
file that can't be read stops nothing: the report counts it.

The graph: find lists the files; a map runs look once for each of them; report is the join, and gets all results in the
order of the files, whichever was done first.
"""

import argparse
import asyncio
import hashlib
import json
import sysconfig
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from spark.graphs import Graph, ItemError, JoinNode, Node, NodeContext
from spark.graphs.checkpoint import CheckpointConfig, CheckpointHandler, GraphCheckpoint

AT_ONCE = 8
EVERY = 1_000
"""After so many files, one of them is printed."""


class Find(Node):
    """List the files below a folder, in the order of their names."""

    def process(self, context: NodeContext) -> dict[str, Any]:
        folder = Path(context.inputs["folder"])
        found = sorted(str(path) for path in folder.rglob("*") if "__pycache__" not in path.parts and not path.is_dir())
        return {"files": list(islice(found, context.inputs["files"]))}


class Look(Node):
    """Read one file. It is a plain function, so it runs in a thread, and may block."""

    def process(self, context: NodeContext) -> dict[str, Any]:
        path = Path(context.inputs)
        content = path.read_bytes()
        if context.index is not None and (context.index + 1) % EVERY == 0:
            print(f"  {context.index + 1:6}  {path}", flush=True)
        return {
            "file": str(path),
            "bytes": len(content),
            "lines": content.count(b"\n") if b"\0" not in content else 0,
            "digest": hashlib.sha256(content).hexdigest(),
        }


class Report(JoinNode):
    """Boil what was found down to a few figures and a digest, by which two runs can be compared."""

    async def process(self, context: NodeContext) -> dict[str, Any]:
        unreadable = [result for result in context.inputs if isinstance(result, ItemError)]
        found = [result for result in context.inputs if not isinstance(result, ItemError)]
        longest = max(found, key=lambda file: file["lines"], default={"file": None, "lines": 0})
        copies = Counter(file["digest"] for file in found if file["bytes"])
        return {
            "files": len(found),
            "unreadable": dict(Counter(result.error for result in unreadable)),
            "bytes": sum(file["bytes"] for file in found),
            "lines": sum(file["lines"] for file in found),
            "longest": f"{longest['file']}, {longest['lines']} lines",
            "same_as_another": sum(count - 1 for count in copies.values()),
            "digest": hashlib.sha256(json.dumps(found).encode()).hexdigest(),
        }


class Announce(CheckpointHandler):
    """Say from where a run goes on."""

    async def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> None:
        done = checkpoint.execution_metadata["iteration"]
        print(f"  resumed from {checkpoint.checkpoint_id}, after {done} steps", flush=True)


def build(store: str) -> Graph:
    """The wired graph. It makes a checkpoint after every file, and keeps the last five."""
    find = Find()
    find.each("files", limit=AT_ONCE, on_error="collect") >> Look() >> Report()
    config = CheckpointConfig(backend=store, trigger_on_iteration=1, max_checkpoints=5, handler=Announce())
    return Graph(start=find, id="map-files", checkpoint_config=config)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="URL of the checkpoint store")
    parser.add_argument("--folder", default=sysconfig.get_path("stdlib"), help="default: Python's standard library")
    parser.add_argument("--files", type=int, default=10_000, help="at most so many")
    options = parser.parse_args()
    print(f"  at most {options.files} files in {options.folder}", flush=True)
    result = await build(options.store).run({"folder": options.folder, "files": options.files}, resume=True)
    print(json.dumps(result.content), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
