"""Compiled regular expressions in checkpoints: an object hook for a class that the core can't save."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from spark.graphs.checkpoint import CheckpointSerializer

_TAG: Final = "example"


class ExampleSerializer(CheckpointSerializer):
    """Saves compiled patterns as their source and flags.

    Both methods see every value, so they decide at a glance, and leave alone what is not theirs. They are called in any thread.
    """

    safe_to_load: ClassVar[bool] = True  # whatever a store holds, nothing of it is run; so checkpoints can name it

    name: ClassVar[str] = "example"

    def serialize(self, obj: Any) -> Any:
        """Called on the way down, with containers before what is in them."""
        if _is_a(re.Pattern, obj):
            return {_TAG: ["pattern", obj.pattern, obj.flags]}
        if _is_a(dict, obj) and obj.keys() == {_TAG}:  # somebody's own dict, which looks like ours
            return {_TAG: ["dict", obj[_TAG]]}
        return obj

    def deserialize(self, data: Any) -> Any:
        """Called on the way up, with containers after what is in them."""
        if _is_a(dict, data) and data.keys() == {_TAG}:
            what, *content = data[_TAG]
            return re.compile(*content) if what == "pattern" else {_TAG: content[0]}
        return data


def _is_a(kind: type, value: Any) -> bool:
    """Not of a subclass: that would come back as something else."""
    return type(value) is kind
