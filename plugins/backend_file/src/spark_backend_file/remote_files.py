"""Large values on a filesystem of fsspec: in ``blobs/`` beside the records of a graph. Every function here blocks.

A name is used once, ever, and each value is there, whole, before the record that refers to it is published. A writer that dies
between the two leaves an orphan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from spark.graphs.checkpoint.storage import is_blob_name
from spark_backend_file.names import BLOBS
from spark_backend_file.publishing import PublishStrategy

BLOB_ENDING: Final = ".blob"
_AT_ONCE: Final = 100
"""Values that are read or written in one exchange, at most,"""
_BYTES_AT_ONCE: Final = 16 * 2**20
"""and bytes that are held in memory while they are written, if no single value is larger."""


def write_blobs(filesystem: Any, root: str, blobs: Mapping[str, bytes], *, strategy: PublishStrategy) -> None:
    """Store large values, and return when the filesystem says that it has them."""
    for batch in _in_batches(blobs):
        strategy.publish_once(filesystem, root, batch)


def read_blobs(filesystem: Any, root: str, names: Sequence[str]) -> dict[str, bytes]:
    """Name to content of those that are there, in as few exchanges as the filesystem can."""
    found: dict[str, bytes] = {}
    valid = [name for name in dict.fromkeys(names) if is_blob_name(name)]
    for start in range(0, len(valid), _AT_ONCE):
        batch = valid[start : start + _AT_ONCE]
        paths, ends = [f"{root}/{_path_of(name)}" for name in batch], [None] * len(batch)
        for name, content in zip(batch, filesystem.cat_ranges(paths, ends, ends, on_error="return"), strict=True):
            if isinstance(content, FileNotFoundError):
                continue
            if isinstance(content, BaseException):
                raise content
            found[name] = bytes(content)
    return found


def list_blobs(filesystem: Any, root: str) -> list[str]:
    """The names of all."""
    names = _names_in(filesystem, f"{root}/{BLOBS}")
    return [name.removesuffix(BLOB_ENDING) for name in names if name.endswith(BLOB_ENDING)]


def blob_bytes(filesystem: Any, root: str) -> int:
    """How many bytes all take up."""
    try:
        found = filesystem.ls(f"{root}/{BLOBS}", detail=True)
    except FileNotFoundError:
        return 0
    return sum(each["size"] or 0 for each in found if each["name"].endswith(BLOB_ENDING))


def delete_blobs(filesystem: Any, root: str, names: Iterable[str]) -> None:
    """Remove those that are there."""
    for name in filter(is_blob_name, names):
        with suppress(FileNotFoundError):
            filesystem.rm_file(f"{root}/{_path_of(name)}")


def delete_folder_of_blobs(filesystem: Any, root: str, *, has_folders: bool) -> None:
    """Remove all there are, and their folder."""
    folder = f"{root}/{BLOBS}"
    for name in _names_in(filesystem, folder):
        filesystem.rm_file(f"{folder}/{name}")
    if has_folders:
        with suppress(FileNotFoundError):
            filesystem.rmdir(folder)


def _in_batches(blobs: Mapping[str, bytes]) -> Iterator[dict[str, bytes]]:
    """Path to content, so many at a time as may be in memory: a mapping may make each content when it is asked for."""
    batch: dict[str, bytes] = {}
    size = 0
    for name, content in blobs.items():
        if batch and (len(batch) == _AT_ONCE or size + len(content) > _BYTES_AT_ONCE):
            yield batch
            batch, size = {}, 0
        batch[_path_of(name)] = content
        size += len(content)
    yield batch


def _path_of(name: str) -> str:
    """Where a large value is, below the folder of its graph."""
    return f"{BLOBS}/{name}{BLOB_ENDING}"


def _names_in(filesystem: Any, folder: str) -> list[str]:
    try:
        found = filesystem.ls(folder, detail=False)
    except FileNotFoundError:
        return []
    return [path.rstrip("/").rpartition("/")[2] for path in found]
