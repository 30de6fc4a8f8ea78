"""The error for a store that is not where its URL says, and that was not to be made: with what is near, to correct the URL."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from typing import Final

from spark.errors import StoreNotFoundError
from spark.wording import nearest

_MOST_NAMES: Final = 10_000
"""Names in a folder that are looked at."""


_MADE_BY_A_RUN: Final = "Nothing was created: the first run that saves there creates it."


def store_not_found(
    place: str, why: str, *, name: str = "", near: Iterable[str] = (), cure: str = _MADE_BY_A_RUN
) -> StoreNotFoundError:
    """The error for a store that is not there.

    :param place: where it would be, for messages: without secrets.
    :param why: what is missing: a clause, ``"the bucket does not exist"``.
    :param name: what was looked for, ``near`` what there is: the most similar one is suggested.
    :param cure: what to do, unless the URL is wrong.
    """
    close = nearest(name, islice(near, _MOST_NAMES)) if name else None
    hint = f" Did you mean {close!r}?" if close else ""
    return StoreNotFoundError(f"There is no store at {place}: {why}.{hint} Check the URL. {cure}")


def path_not_found(path: str) -> StoreNotFoundError:
    """The same for a file or folder of this machine, with the nearest name of what is there in its place.

    :param path: absolute.
    """
    folder, missing = os.path.split(path.rstrip(os.sep))
    while not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder, missing = os.path.split(folder)
    close = nearest(missing, _names_in(folder))
    there = [os.path.join(folder, close)] if close else []
    return store_not_found(path, f"{folder} has no {missing!r}", name=os.path.join(folder, missing), near=there)


def _names_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in islice(entries, _MOST_NAMES)]
    except OSError:
        return []
