"""Does this store keep the promise on which everything rests? Tried out before the first record is written."""

from __future__ import annotations

import secrets
from typing import Final

from spark.errors import BackendError
from spark_backend_s3.location import Location
from spark_backend_s3.names import Keys
from spark_backend_s3.objects import Objects

_PROVEN: Final[set[tuple[str, str]]] = set()
"""Endpoint and bucket of the stores that were found to keep it, in this process."""


async def check_conditional_writes(objects: Objects, keys: Keys, location: Location) -> None:
    """Write an object twice, and see the second time refused.

    :raises BackendError: it was not: the store ignores ``If-None-Match``.
    """
    store = (await objects.connections.endpoint(), location.bucket)
    if store in _PROVEN:
        return
    action = "try out a conditional write"
    key = keys.probe(secrets.token_hex(12))
    await objects.create(key, b"a probe of spark-graphs, to be deleted at once", action=action)
    is_ignored = await objects.create(key, b"written twice", action=action) is not None
    await objects.remove([key], action=action)
    if is_ignored:
        raise BackendError(
            f"The s3 backend can't save in {location.shown}: this store ignores If-None-Match, so two processes could "
            "overwrite each other's checkpoints unnoticed. Use a store with conditional writes (docs/s3-backend.md names "
            "some), or pass single_writer=True if no two processes ever run the same graph id."
        )
    _PROVEN.add(store)
