"""Graphs that have had no record for long are forgotten on request. Why this is safe: docs/decisions/s3-backend.md."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from itertools import groupby

from spark_backend_s3.names import SHORTEST_CUT, Keys, beginning_of, is_hashed, octets_of, spell, unquote
from spark_backend_s3.objects import PAGE, Listed, Objects


class EmptiedGraphs:
    """The graphs of one store of which nothing but traces is left: emptied places, and markers."""

    def __init__(self, objects: Objects, keys: Keys) -> None:
        self._objects = objects
        self._keys = keys

    async def forget(self, prefix: str, *, age: timedelta, action: str) -> int:
        """Remove the traces of those all of whose objects are older; how many graphs that were.

        Only objects that were seen to be old are removed: whoever begins to use such a graph meanwhile keeps what is new.
        """
        forgotten, removed = 0, list[str]()
        async with aclosing(self._old_traces(prefix, age=age, action=action)) as graphs:
            async for keys in graphs:
                if len(removed) + len(keys) > PAGE:
                    await self._objects.remove(removed, action=action)
                    removed = []
                removed += keys
                forgotten += 1
        await self._objects.remove(removed, action=action)
        return forgotten

    async def _old_traces(self, prefix: str, *, age: timedelta, action: str) -> AsyncGenerator[list[str], None]:
        """The keys of each of these graphs."""
        last, keys, is_old, more = "", list[str](), False, None
        while True:
            page = await self._objects.page(self._keys.graphs + beginning_of(prefix), action=action, more=more)
            for name, found in groupby(page.objects, key=lambda found: self._keys.name_in(found.key)):
                if name != last:
                    if is_old:
                        yield keys
                    last, keys, is_old = name, [], self._is_asked_for(name, prefix)
                for each in found:
                    is_old = is_old and self._is_trace(each) and page.now is not None and page.now - each.written > age
                    keys += [each.key] if is_old else []
            more = page.more
            if more is None:
                break
        if is_old:
            yield keys

    def _is_asked_for(self, name: str, prefix: str) -> bool:
        if is_hashed(name):
            return len(spell(octets_of(prefix))) <= SHORTEST_CUT  # or only a record could tell
        return (unquote(name) or "").startswith(prefix)

    def _is_trace(self, found: Listed) -> bool:
        key = found.key
        return not found.size and bool(self._keys.split_record(key) or self._keys.split_marker(key))
