"""How checkpoints hold objects of the library packaging. The library is imported when the first of them is saved or loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from spark.graphs.checkpoint import SavedType, Types

if TYPE_CHECKING:
    from packaging.tags import Tag


class ExampleTypes(Types):
    """Versions and wheel tags. Neither can be changed, so that a copy is the object itself."""

    install: ClassVar[str] = "packaging"

    def types(self) -> Iterable[SavedType]:
        """Stored names begin with the module that plugin.py names, and stay for ever; classes may move."""
        from packaging.tags import Tag
        from packaging.version import Version

        return [
            SavedType(
                Version,
                name="packaging:Version",
                to_data=str,
                from_data=lambda data: Version(_text(data)),
                copy=_same,
            ),
            SavedType(
                Tag,
                name="packaging:Tag",
                to_data=_tag_to_data,
                from_data=lambda data: Tag(*map(_text, data)),
                copy=_same,
            ),
        ]


def _tag_to_data(tag: Tag) -> list[str]:
    return [tag.interpreter, tag.abi, tag.platform]


def _same(value: Any) -> Any:
    return value


def _text(data: Any) -> str:
    """The store may hold anything."""
    if not isinstance(data, str):
        raise TypeError(f"This is a {type(data).__name__}, not a text.")
    return data
