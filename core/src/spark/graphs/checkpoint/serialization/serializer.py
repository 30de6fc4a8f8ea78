"""The object hook: how users make their own types saveable."""

from __future__ import annotations

from typing import Any, ClassVar


class CheckpointSerializer:
    """The object hook: convert your own types to values that can be saved, and back. Override both methods.

    ``serialize`` sees every object on the way down, containers, keys and plain values too; what it returns instead is
    taken as it is, and its children are offered next. ``deserialize`` sees every value on the way up, children first.
    """

    name: ClassVar[str] = ""
    """The name under which a plugin provides it, if one does, so that records name it where the object itself was given, too; a
    subclass says it anew."""
    safe_to_load: ClassVar[bool] = False
    """``deserialize`` runs no code that its data choose, whatever they are. Unless a class says so, it is only used where it is
    named, even for records that name it."""

    def serialize(self, obj: Any) -> Any:
        """``obj`` itself, or what to save instead of it."""
        return obj

    def deserialize(self, data: Any) -> Any:
        """``data`` itself, or the object that was saved as it."""
        return data


def is_serializer(given: Any) -> bool:
    """Whether an object has the two methods of a serializer, whatever its class."""
    return not isinstance(given, type) and hasattr(given, "serialize") and hasattr(given, "deserialize")


def is_hook(serializer: CheckpointSerializer | None) -> bool:
    """Whether a serializer can change anything; without one, the short way is taken."""
    return serializer is not None and type(serializer) is not CheckpointSerializer


def serializer_name(serializer: CheckpointSerializer | None) -> str:
    """The name under which a plugin provides it, or nothing: that by which it was chosen, or that of its class."""
    if not is_hook(serializer):
        return ""
    from spark.hooks.choices import choice_of  # not needed by those who have none

    if (choice := choice_of(serializer)) is not None:
        return choice.name
    name = vars(type(serializer)).get("name", "")  # what inherits a name is another serializer
    return name if isinstance(name, str) else ""


def serializer_class(name: str) -> type[CheckpointSerializer]:
    """The class of the serializer with this name.

    :raises PluginNotFoundError: no plugin provides it.
    :raises PluginConflictError: two do.
    :raises PluginBrokenError: one does, and can't be used.
    """
    from spark.hooks.registry import class_of  # not needed by those who give a serializer themselves

    return class_of(("serializer", name), base=CheckpointSerializer)
