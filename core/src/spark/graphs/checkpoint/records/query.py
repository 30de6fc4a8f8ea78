"""Which checkpoints does somebody want to see? Asked by the manager, answered by every backend."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quote
from typing import Any, Final

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.records.info import CheckpointInfo, Scalar
from spark.graphs.values.containers import PlainDict

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_HUGE: Final = 2**63
_LONGEST: Final = 200
"""Longer texts are not searched for."""
_quoted: Final = lru_cache(maxsize=1024)(quote)
"""Every checkpoint of a run has metadata of the same names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointQuery:
    """A question about stored checkpoints. What is not given does not narrow the answer.

    :raises GraphDefinitionError: an argument is not valid.
    """

    graph_id: str | None = None
    """Only of this graph."""
    after: datetime | None = None
    """Only those made strictly after this moment; naive means local time."""
    before: datetime | None = None
    """Only those made strictly before this moment; naive means local time."""
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    """Only those that have all of these values in ``execution_metadata``, or in what was given to ``create_checkpoint``."""
    limit: int | None = None
    """At most so many."""
    newest_first: bool = False
    """By falling instead of rising sequence, so that a limit keeps the newest."""
    with_metadata: bool = False
    """Whether each line has its ``metadata``, which takes reading headers where names are enough for the others."""

    def __post_init__(self) -> None:
        if not isinstance(self.graph_id, str | None):
            raise GraphDefinitionError(f"graph_id={self.graph_id!r}: give the id of a graph, which is text.")
        object.__setattr__(self, "after", checked_moment("after", self.after))
        object.__setattr__(self, "before", checked_moment("before", self.before))
        check_limit(self.limit)
        for key, value in self.metadata.items():
            if type(key) is not str or type(value) not in _SCALARS:
                raise GraphDefinitionError(
                    f"metadata={{{key!r}: {value!r}}}: keys are strings, and values text, numbers, booleans or None."
                )

    def covers(self, moment: datetime) -> bool:
        """Whether a checkpoint made at this moment is among those asked for.

        :param moment: aware.
        """
        return (self.after is None or moment > self.after) and (self.before is None or moment < self.before)

    def fits(self, metadata: Mapping[str, Scalar]) -> bool:
        """Whether a record's searchable metadata has all the values asked for: 1 is not 1.0, and neither is True."""
        return all(key in metadata and written(metadata[key]) == written(value) for key, value in self.metadata.items())

    def ordered(self, infos: Iterable[CheckpointInfo]) -> list[CheckpointInfo]:
        """In the order asked for: graph by graph, by sequence."""
        rising = sorted(infos, key=lambda info: (info.graph_id, info.sequence))
        return rising[::-1] if self.newest_first else rising


def check_limit(limit: int | None) -> None:
    """See that this can be a limit.

    :raises GraphDefinitionError: it can't.
    """
    if limit is not None and (type(limit) is not int or limit < 0):
        raise GraphDefinitionError(f"limit={limit!r}: give a whole number of at least 0, or None for all.")


def checked_moment(name: str, moment: datetime | None) -> datetime | None:
    """The moment in UTC, if one was given; naive means local time.

    :raises GraphDefinitionError: it is not a datetime.
    """
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise GraphDefinitionError(f"{name}={moment!r}: give a datetime.")
    return moment.astimezone(UTC)


def searchable(execution_metadata: Mapping[str, Any]) -> dict[str, Scalar]:
    """What of a checkpoint's metadata can be searched for: short scalars.

    Those that the user gave go before ours, and these before metrics of the same name.
    """
    if type(execution_metadata) is PlainDict:
        return dict(execution_metadata)
    given, metrics = execution_metadata.get("metadata"), execution_metadata.get("metrics")
    merged = {**metrics, **execution_metadata} if isinstance(metrics, Mapping) else execution_metadata
    merged = {**merged, **given} if isinstance(given, Mapping) else merged
    return {key: value for key, value in merged.items() if _is_searchable(key, value)}


def are_searchable(metadata: Mapping[str, Any]) -> bool:
    """Whether all of this, which comes from a store, is what ``searchable`` would leave."""
    return all(_is_searchable(key, value) for key, value in metadata.items())


def written(value: Scalar) -> str:
    """A scalar as JSON, which tells 1, 1.0 and true apart: what values are compared by, here and in databases."""
    if isinstance(value, str):
        return quote(value)
    kind = type(value)
    if kind is int or kind is float:
        return repr(value)
    return "null" if value is None else "true" if value else "false"


def written_members(metadata: Mapping[str, Scalar]) -> list[str]:
    """The members of a record's metadata as a JSON object has them, one by one: the same spelling everywhere, in ASCII."""
    return [
        f"{_quoted(key)}:{quote(value) if type(value) is str else value if type(value) is int else written(value)}"
        for key, value in metadata.items()
    ]


def written_all(metadata: Mapping[str, Scalar]) -> str:
    """Searchable metadata as one JSON object."""
    return f"{{{','.join(written_members(metadata))}}}"


def _is_searchable(key: object, value: object) -> bool:
    kind = type(value)
    if type(key) is not str or kind not in _SCALARS or len(key) > _LONGEST:
        return False
    if isinstance(value, str):
        return len(value) <= _LONGEST
    return math.isfinite(value) if isinstance(value, float) else not isinstance(value, int) or -_HUGE < value < _HUGE
