"""Programs of users, to be run where something is installed."""

from __future__ import annotations

IN_MEMORY = """
import asyncio
from spark.graphs import Graph, node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager, InMemoryCheckpointBackend

@node
async def greet(context):
    return {"greeting": f"hello {context.inputs['name']}"}

async def main():
    backend = InMemoryCheckpointBackend()
    graph = Graph(start=greet, id="greeting", checkpoint_config=CheckpointConfig(backend=backend))
    print((await graph.run({"name": "world"})).content["greeting"])
    print(len(await CheckpointManager(backend).list_checkpoints("greeting")))

asyncio.run(main())
"""

COUNT_TO_SIX = """
import asyncio, os, signal, sys
from spark.graphs import ExitNode, Graph, Node
from spark.graphs.checkpoint import CheckpointConfig, FileCheckpointBackend

class Count(Node):
    async def process(self, context):
        count = await context.graph_state.get("count", 0) + 1
        if count == int(os.environ.get("DIE_AT", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        await context.graph_state.set("count", count)
        print(count, flush=True)
        return {"done": count >= 6}

count = Count()
count.on(done=False) >> count
count.on(done=True) >> ExitNode()
backend = BACKEND
graph = Graph(start=count, id="six", checkpoint_config=CheckpointConfig(backend=backend, trigger_on_iteration=1))
print(asyncio.run(graph.run(resume=True)).content)
"""

APP = """
import asyncio, json, os, signal, sys
from spark.errors import PluginError
from spark.graphs import ExitNode, Graph, Node
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager
from spark.hooks import plugins

class Count(Node):
    async def process(self, context):
        count = await context.graph_state.get("count", 0) + 1
        if count == int(os.environ.get("DIE_AT", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        if count == int(os.environ.get("FAIL_AT", 0)):
            raise OSError("the disk is gone")
        await context.graph_state.set("count", count)
        return {"count": count, "done": count >= 6}

async def main(url):
    count = Count()
    count.on(done=False) >> count
    count.on(done=True) >> ExitNode()
    try:
        graph = Graph(start=count, id="six", checkpoint_config=CheckpointConfig(backend=url, trigger_on_iteration=1))
        return (await graph.run(resume=True)).content
    except PluginError as error:
        return str(error)
    except OSError:
        latest = await CheckpointManager(graph.checkpoint_backend).load_latest("six")
        return latest.execution_metadata["error"]["stack"]

said = asyncio.run(main(sys.argv[1]))
installed = [(plugin.name, plugin.version, plugin.status) for plugin in plugins()]
print(json.dumps({"said": said, "plugins": installed}))
"""
"""Prints, as JSON, what became of a run in the store of this URL, and the plugins."""

SAVED_ONCE = """
import asyncio, os
from spark.graphs import ExitNode, Graph, checkpoint
from spark.graphs.checkpoint import CheckpointConfig, CheckpointManager

backend = BACKEND
graph = Graph(start=ExitNode(), id="short", checkpoint_config=CheckpointConfig(backend=backend))
asyncio.run(graph.run())
print(graph.checkpoint_backend.name)
"""

WHAT_IS_THERE = """
import json
from spark.errors import PluginError
from spark.graphs import checkpoint
from spark.graphs.checkpoint import backend_class
from spark.hooks import plugins
from spark.hooks.registry import class_of

FIND = {
    "URL scheme": lambda scheme: backend_class(f"{scheme}://somewhere"),
    "class name": lambda name: getattr(checkpoint, name),
}

def found(kind, name):
    try:
        return (FIND[kind](name) if kind in FIND else class_of((kind, name))).__module__
    except (PluginError, ImportError) as error:
        return f"{type(error).__name__}: {error}"

installed = plugins()
wanted = CLAIMS or sorted({tuple(claim) for plugin in installed for claim in plugin.claims})
print(json.dumps({
    "statuses": [(plugin.distribution, plugin.name, plugin.status) for plugin in installed],
    "claims": {plugin.distribution: sorted(plugin.claims) for plugin in installed},
    "found": [(kind, name, found(kind, name)) for kind, name in wanted],
}))
"""
"""Prints the plugins that are loaded, what they claim to be, and for each such claim where the class comes from, or why not."""

PAGE = """
import sys
sys.path.append(ROOT)
from tests.install.page_program import main
main()
"""
"""Prints what became of the blocks of the specification."""
