"""How a value that can't be saved is reported: the reason travels up from it and collects the path on its way."""

from __future__ import annotations

from itertools import accumulate

from spark.errors import SerializationError

_LONGEST_PATH_SHOWN = 300
_PICKLE = "Or keep checkpoints with format='pickle', which can save it, in a store that nobody else can write to."


class Unsaveable(Exception):
    """Raised at the value; every container that it leaves on the way up adds its step to ``trail``, innermost first."""

    def __init__(self, reason: str, *, too_deep: bool = False, value: object = None) -> None:
        """A problem.

        :param value: an object that is of no type that could be saved; None where that is not the reason.
        """
        super().__init__(reason)
        self.reason = f"{reason} {_PICKLE}" if value is not None and _can_be_pickled(value) else reason
        self.too_deep = too_deep
        self.trail: list[tuple[object, str]] = []

    def to_error(self, root: str) -> SerializationError:
        """The error that a user sees, with the whole path from ``root``."""
        steps = list(reversed(self.trail))
        paths = list(accumulate((step for _, step in steps), initial=root))
        cycle = _find_cycle([container for container, _ in steps]) if self.too_deep else None
        if cycle is None:
            return _error(paths[-1], self.reason)
        first, again = cycle
        return _error(
            paths[again],
            f"it is {_shown(paths[first])} again: the value contains itself. Store a key or an id instead of it.",
        )


def describe(error: BaseException) -> str:
    """An error of somebody else's code, by its type and message."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _can_be_pickled(value: object) -> bool:
    import pickle  # only of use when something has failed

    try:
        pickle.dumps(value)
    except Exception:
        return False
    return True


def _find_cycle(containers: list[object]) -> tuple[int, int] | None:
    seen: dict[int, int] = {}
    for index, container in enumerate(containers):
        first = seen.setdefault(id(container), index)
        if first != index:
            return first, index
    return None


def _error(path: str, reason: str) -> SerializationError:
    return SerializationError(f"{_shown(path) or 'The value'} can't be saved: {reason} Nothing was written.", path=path)


def _shown(path: str) -> str:
    half = _LONGEST_PATH_SHOWN // 2
    return path if len(path) <= _LONGEST_PATH_SHOWN else f"{path[:half]} … {path[-half:]}"
