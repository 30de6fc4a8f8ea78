"""Mistakes in how values are stored by change, one at a time. The property has to find each."""

from __future__ import annotations

import inspect
import textwrap
from types import ModuleType
from typing import Any, Final

from spark.graphs.checkpoint.encoding import chunk, chunked, followed, levels, places, section_encoder, stored_mappings
from spark.graphs.checkpoint.records import chunks, references

Planted = tuple[Any, str, Any]
"""What is changed, its name, and what takes its place."""


def edited(module: ModuleType, owner: Any, name: str, before: str, after: str) -> Planted:
    """A function or method with one line of it changed."""
    target: Any = owner or module
    source = textwrap.dedent(inspect.getsource(getattr(target, name)))
    assert source.count(before) == 1, f"{before!r} is {source.count(before)} times in {name}"
    names = dict(vars(module))
    exec("from __future__ import annotations\n" + source.replace(before, after), names)
    return target, name, names[name]


MAPPING, FOLLOWED = chunked.ChunkedMapping, followed.Followed
OF_MAPPING, OF_LIST = followed.FollowedMapping, followed.FollowedList

PLANTED: Final[dict[str, Planted]] = {
    "a removed key is not remembered": edited(
        chunked, MAPPING, "remove", "if key in self._dead_copies:", "if key in ():"
    ),
    "a removed key is not remembered once its chunk is merged": edited(
        chunked,
        MAPPING,
        "_still_needed",
        "keys = [*removed, *(key for chunk in old for key in chunk.removed)]",
        "keys = [*removed]",
    ),
    "a removed key is forgotten with the first of its copies": edited(
        chunked, MAPPING, "_drop", "if self._dead_copies[key] > 1:", "if False:"
    ),
    "a removed key that is put again stays removed": edited(
        chunked, MAPPING, "_leave_chunks", "self._forget_removed(key)", "pass"
    ),
    "a dead chunk is kept": edited(chunked, MAPPING, "_kill", "if not chunk.live:", "if False:"),
    "a dropped chunk is not retired": edited(chunked, MAPPING, "_drop", "self._retired((chunk.name,))", "pass"),
    "merged chunks are written as they were": edited(
        chunked, MAPPING, "flush", "if self._owners.get(key) is chunk", ""
    ),
    "nothing is merged": edited(levels, chunk, "to_rewrite", ">= thresholds.ratio", ">= 10_000"),
    "a new item of a mapping gets a place that was used": edited(
        chunked, MAPPING, "put", "self._next_place += 1", "pass"
    ),
    "a replaced item comes last": edited(
        chunked,
        MAPPING,
        "put",
        "elif before is None and self._places and key not in self._owners:",
        "elif self._places:",
    ),
    "the tail is out of order without chunks": edited(
        chunked, MAPPING, "_drop", "self.tail = {key: self.tail[key] for key in self.in_order(self.tail)}", "pass"
    ),
    "what is apart is not retired": edited(chunked, MAPPING, "_give_up", "self._retired(item.names())", "pass"),
    "what is apart is flushed while it refers to chunks": edited(
        chunked, MAPPING, "_cold_items", "or not item.is_pinned", "or True"
    ),
    "the wrong values are encoded again": edited(
        followed, OF_LIST, "value", "self.places, key", "self.places, key + 1"
    ),
    "after a failure, changes are taken for known": edited(
        followed,
        OF_MAPPING,
        "follow",
        "if tracked is not None and was_sure else None",
        "if tracked is not None else None",
    ),
    "after a failure, what is nested is taken for known": edited(
        followed, OF_MAPPING, "_compare", "if was_sure else chunked.apart", "if True else chunked.apart"
    ),
    "a key that was put again keeps its place": edited(
        followed, OF_MAPPING, "_follow_changes", "if key in chunked:", "if key in chunked and key not in put:"
    ),
    "the order of a dict that was set again is lost": edited(
        followed, OF_MAPPING, "_arrange", "list(chunked.tail) != keys", "False"
    ),
    "a list is taken for a longer one": edited(
        followed, OF_LIST, "follow", "value.continues(self.values)", "len(value) >= len(self.places)"
    ),
    "fingerprints outlive their items": edited(
        followed, FOLLOWED, "put", "self.prints[key] = print_of(data)", "self.prints.setdefault(key, print_of(data))"
    ),
    "places are not unique": edited(
        places,
        None,
        "between",
        "first = 0 if low is None else math.floor(low) + 1",
        "first = 0 if low is None else math.floor(low)",
    ),
    "two runs of places are one": edited(places, stored_mappings, "runs", "places[end - 1] + 1", "places[end - 1] + 2"),
    "removed keys are read after the values": edited(chunks, None, "_items", "items.pop(key, None)", "pass"),
    "the tail is read first": edited(
        chunks,
        None,
        "_parts",
        'parts += [content[name] for name in ("tail", "apart") if name in content]',
        'parts[:0] = [content[name] for name in ("tail", "apart") if name in content]',
    ),
    "what is nested is not looked for": edited(
        references, None, "_in_chunks", "yield from _at(apart, key, value)", "pass"
    ),
    "what was not kept stays in the tail": edited(chunked, MAPPING, "flush", "math.inf if self.unkept else", ""),
    "what was not kept is kept back": edited(
        chunked, MAPPING, "_hot_items", "is bytes or type(item) is Unkept", "is bytes"
    ),
    "what was not kept counts after it was written": edited(
        chunked, MAPPING, "_give_up", "self.unkept -= len(item)", "pass"
    ),
    "what was not kept is not told apart": edited(chunk, followed, "held", "print_of(data)", 'b"the same"'),
    "what stands around the tail is taken for that of other keys": edited(
        stored_mappings, None, "_fits", "is_same and template.keys.keys() == chunked.tail.keys()", "is_same"
    ),
    "what is apart is replaced like what is in the tail": edited(
        followed, OF_MAPPING, "_replace_in_tail", "type(tail.get(key)) is not bytes", "key not in tail"
    ),
    "what is replaced keeps its size": edited(
        chunked, MAPPING, "replace", "self.size += len(item) - len(self.tail[key])", "pass"
    ),
    "what stands around the tail outlives its chunks": edited(
        stored_mappings, None, "_fits", "template.head is chunked.head and ", ""
    ),
    "what stands around the tail outlives its places": edited(
        chunked, MAPPING, "remove", "self.template = None", "pass"
    ),
    "what is nested is never put into chunks": edited(
        section_encoder, section_encoder.SectionEncoder, "_flush", "self._flush(nested)", "()"
    ),
}
