"""A node as a worker finds it again: the name of its class or function, and what it was made with."""

from __future__ import annotations

import importlib
import pickle
import runpy
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from functools import lru_cache, reduce
from hashlib import blake2b
from types import ModuleType
from typing import Any, Final, NamedTuple

from spark.errors import ExecutorError, GraphDefinitionError, SerializationError
from spark.graphs.definition.edges import Edges
from spark.graphs.definition.nodes import FunctionNode, Node
from spark.graphs.definition.plan import NodePlan
from spark.graphs.definition.policies import OPTIONS
from spark.graphs.executors.values import Sent, ValueCodec

_MAIN: Final = ("__main__", "__mp_main__")
"""What the program's own script is called, and what it is called where it is imported for its definitions."""
Pack = Callable[[Any], bytes]
"""Makes bytes of code, as ``Executor.pack`` does."""
_LARGE: Final = 16 * 1024
"""Bytes of arguments, or of a packed node: more are sent once to each worker."""
_NO_ARGUMENTS: Final = frozenset({"name", *OPTIONS})
"""What a worker need not know of the arguments of a node."""


class NodeReference(NamedTuple):
    """A node, as plain data."""

    module: str
    """Where its class or function is defined; ``"__main__"`` for what the program's own script defines."""
    qualname: str
    is_function: bool
    script: str = ""
    """The file of that script, for workers that were not started by it."""
    arguments: Sent | None = None
    """What the node was made with, positional and by name, if it was made with anything."""
    packed: bytes = b""
    """The node itself, where its executor packs code."""
    digest: bytes = b""
    """Of the arguments, or of the packed node."""
    is_apart: bool = False
    """These are large, so they are not here: a worker that does not know the node yet asks for them."""

    def identity(self) -> Hashable:
        """What tells it from all others."""
        return self.module, self.qualname, self.digest

    def to_send(self) -> NodeReference:
        """What is sent with each step."""
        size = len(self.packed) if self.arguments is None else self.arguments.size
        return self if size <= _LARGE else self._replace(arguments=None, packed=b"", is_apart=True)

    def completed(self, part: Sent | bytes) -> NodeReference:
        """The whole reference, with what it was sent without."""
        if isinstance(part, Sent):
            return self._replace(arguments=part)
        return self._replace(packed=bytes(part))


def reference_to(node: Node, codec: ValueCodec, *, pack: Pack | None = None) -> NodeReference:
    """How a worker finds a node.

    :param pack: makes bytes of it, if it is to travel by itself.
    :raises GraphDefinitionError: a worker could not find it; says why, and what to do.
    """
    found = node.process if isinstance(node, FunctionNode) else type(node)
    module, qualname = str(found.__module__), getattr(found, "__qualname__", type(found).__qualname__)
    if pack is not None:
        packed = packed_code(_alone(node), pack)
        return NodeReference(module, qualname, isinstance(node, FunctionNode), packed=packed, digest=_digest(packed))
    if "<" in qualname:
        what = "is a lambda" if qualname == "<lambda>" else "is defined within a function"
        raise GraphDefinitionError(
            f"Node {node.label()!r} {what} ({module}:{qualname}), where a worker can't import it. Write it with a name at the "
            "top of its module, or choose an executor that packs code, for instance with the option code='cloudpickle'."
        )
    if not _leads_to(node, found, module, qualname):
        raise GraphDefinitionError(
            f"Node {node.label()!r} can't be sent to a worker by the name {module}:{qualname}: something else is there. Write a "
            "class or a function for it at the top of a module, and don't use the name again; or choose an executor that packs "
            "code, for instance with the option code='cloudpickle'."
        )
    args, keywords = node._made_with
    if isinstance(node, FunctionNode):
        args, keywords = (), {}
    keywords = {name: value for name, value in keywords.items() if name not in _NO_ARGUMENTS}
    arguments, digest = None, b""
    if args or keywords:
        try:
            arguments = _encoded(args, keywords, codec)
            digest = _digest(arguments.payload, *arguments.buffers)
        except Exception as error:
            raise GraphDefinitionError(
                f"Node {node.label()!r} was made with arguments that can't be sent to a worker: {error} Make it with plain "
                "values, or choose an executor that packs code, for instance with the option code='cloudpickle'."
            ) from error
    return NodeReference(
        module,
        qualname,
        isinstance(node, FunctionNode),
        script=_script(module),
        arguments=arguments,
        digest=digest,
    )


def _encoded(args: Sequence[Any], keywords: Mapping[str, Any], codec: ValueCodec) -> Sent:
    try:
        return codec.encode([[*args], keywords], "its arguments")
    except SerializationError:
        for name, value in (*enumerate(args, start=1), *keywords.items()):
            codec.check(value, f"(argument {name})")  # whose error has a path that starts there
        raise


def plan_of(reference: NodeReference, key: str, codec: ValueCodec, *, hint: str = "") -> NodePlan:
    """How a worker executes the node. Made once for each.

    :param hint: what to do where it can't be imported.
    :raises ExecutorError: it can't be found here.
    """
    try:
        node = _node_of(reference, codec)
    except ExecutorError:
        raise
    except BaseException as error:
        raise ExecutorError(
            f"A worker can't import node {key!r} ({reference.module}:{reference.qualname}): {type(error).__name__}: {error}. "
            f"{_what_to_do(reference)} {hint}".rstrip()
        ) from error
    return NodePlan(key, node)


def _what_to_do(reference: NodeReference) -> str:
    if reference.module in _MAIN and not reference.script:
        return (
            "The program has no script that a worker could import, as in a notebook, an interactive session, or with code from "
            "standard input. Write the node in a module, or choose an executor that packs code, for instance with the option "
            "code='cloudpickle'."
        )
    return "What the program imports has to be installed, or on the path, where its workers run."


def _leads_to(node: Node, found: Any, module: str, qualname: str) -> bool:
    """Whether a worker that imports the module finds this node by the name, and not another."""
    held = held_at(module, qualname)
    if isinstance(node, FunctionNode):
        loaded = FunctionNode.loaded(module, qualname)
        if loaded is None or function_in(held) is found:
            return loaded in (None, found) and function_in(held) is found
        return loaded is found and any(each is node for each in vars(sys.modules.get(module, sys)).values())
    if isinstance(held, Node):
        return held is node or (type(held) is found and held._made_with == node._made_with)
    return held is found


def held_at(module: str, qualname: str) -> Any:
    """What a loaded module holds under a name; None if nothing."""
    with suppress(AttributeError):
        return _held(sys.modules.get(module), qualname)
    return None


def function_in(found: Any) -> Any:
    """A function itself, or that of which a node was made."""
    return found.process if isinstance(found, FunctionNode) else found


def _node_of(reference: NodeReference, codec: ValueCodec) -> Node:
    if reference.packed:
        node: Node = _unpacked(reference.packed)
        return node
    module = _imported(reference.module, reference.script, reference.qualname)
    if reference.is_function:
        function = FunctionNode.loaded(reference.module, reference.qualname)
        if function is not None:
            return FunctionNode(function)
        found = _held(module, reference.qualname)
        return found if isinstance(found, Node) else FunctionNode(found)
    cls = _held(module, reference.qualname)
    if isinstance(cls, Node):  # the module keeps the node under the name of its class
        return cls
    args, keywords = [], {}
    if reference.arguments is not None:
        args, keywords = codec.decode(reference.arguments, f"the arguments of {reference.qualname}")
    made: Node = cls(*args, **keywords)
    return made


@lru_cache(maxsize=256)
def _unpacked(packed: bytes) -> Any:
    return pickle.loads(packed)


def _imported(module: str, script: str, qualname: str) -> Any:
    """A module, or what the program's own script defines."""
    if module not in _MAIN:
        return importlib.import_module(module)
    for name in reversed(_MAIN):
        if hasattr(sys.modules.get(name), qualname.partition(".")[0]):
            return sys.modules[name]
    if script:
        made = sys.modules["__mp_main__"] = ModuleType("__mp_main__")  # classes are looked up there while it runs
        vars(made).update(runpy.run_path(script, run_name="__mp_main__"))
    return sys.modules.get("__mp_main__") or sys.modules["__main__"]


def imported_name(name: str) -> Any:
    """What has the name ``"module:qualname"``, whose module is imported, or is the program's own script."""
    module, _, qualname = name.partition(":")
    return _held(_imported(module, "", qualname), qualname)


def _held(module: Any, qualname: str) -> Any:
    return reduce(getattr, qualname.split("."), module)


def _script(module: str) -> str:
    if module not in _MAIN:
        return ""
    file = str(getattr(sys.modules.get("__main__"), "__file__", "") or "")
    return "" if file.startswith("<") else file  # of standard input


def _digest(*parts: Any) -> bytes:
    made = blake2b(digest_size=16)
    for part in parts:
        made.update(len(memoryview(part)).to_bytes(8))
        made.update(part)
    return made.digest()


def _alone(node: Node) -> Node:
    """The node without those that follow it, which would be packed with it; itself, where its class can't be copied."""
    with suppress(Exception):
        alone = copy(node)
        if type(alone) is type(node) and alone is not node:
            object.__setattr__(alone, "_edges", Edges())
            object.__setattr__(alone, "_made_with", ((), {}))
            return alone
    return node


def packed_code(code: Any, pack: Pack) -> bytes:
    """A node, or a function, as bytes.

    :raises GraphDefinitionError: it can't be packed.
    """
    try:
        return pack(code)
    except Exception as error:
        shown = code.label() if isinstance(code, Node) else repr(code)
        raise GraphDefinitionError(f"{shown} can't be packed for a worker: {type(error).__name__}: {error}.") from error
