"""What a type checker must find; or that it finds nothing elsewhere would say nothing. Each such line says so at its end."""

from spark import hooks
from spark.graphs import ExitNode, Graph, Node, checkpoint
from spark.graphs.checkpoint import CheckpointConfig, EveryIterations, InMemoryCheckpointBackend, KeepLast

print(checkpoint.CheckpointConfiguration)  # mistake: it is called CheckpointConfig
print(hooks.BackendSpecs)  # mistake: it is called BackendSpec
CheckpointConfig(trigger_on_iterations=5)  # mistake: one s too many
CheckpointConfig(backend=ExitNode())  # mistake: no backend
EveryIterations("5")  # mistake: text
EveryIterations(5) | KeepLast(5)  # mistake: a trigger or a retention
Node() >> ExitNode  # mistake: the class
Graph(start="ExitNode")  # mistake: its name
InMemoryCheckpointBackend().latest(graph=3)  # mistake: it is called graph_id
