"""Ids given by hand: for each record a symbolic link in ``ids/`` that carries its id and its sequence.

An alias is a hint. It is made before its record, so that the record appears with its id in one act; whether it is
true, the record's header says. So what a dead or defeated writer leaves behind means nothing.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress

from spark_backend_file.names import ALIASES, alias_name, record_name, split_alias
from spark_backend_file.subfolders import make_subfolder, subfolder


def add_alias(folder: int, checkpoint_id: str, sequence: int) -> None:
    """Durably say that the record to come has this id.

    :param folder: a descriptor of the graph's folder.
    """
    make_subfolder(folder, ALIASES)
    with subfolder(folder, ALIASES) as ids:
        # One that exists was left by a writer of the same id and sequence, and says the same.
        with suppress(FileExistsError):
            os.symlink(f"../{record_name(sequence)}", alias_name(checkpoint_id, sequence), dir_fd=ids)
        os.fsync(ids)


def read_aliases(folder: int) -> list[tuple[str, int]]:
    """Quoted id and sequence of every alias."""
    try:
        with subfolder(folder, ALIASES) as ids:
            names = os.listdir(ids)
    except FileNotFoundError:
        return []
    return [alias for alias in map(split_alias, names) if alias]


def remove_aliases(folder: int, sequences: Collection[int]) -> None:
    """Remove every alias of records that are gone."""
    try:
        with subfolder(folder, ALIASES) as ids:
            for name in os.listdir(ids):
                alias = split_alias(name)
                if alias and alias[1] in sequences:
                    _remove(name, ids)
    except FileNotFoundError:
        return


def _remove(name: str, ids: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=ids)
