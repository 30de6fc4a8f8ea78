"""Answers to questions of a run, as they are typed: ``ID=JSON``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from spark_cli.exit_codes import refuse


def answer_of(text: str) -> tuple[str, Any]:
    """Id and answer."""
    found = next(_splits(text), None)
    if found is None:
        refuse(f"{text!r} must be ID=JSON, for instance 'ID=true'. A text needs quotes of its own: 'ID=\"yes\"'.")
    return found


def _splits(text: str) -> Iterator[tuple[str, Any]]:
    """The id may contain a ``=``, and the answer begins after the first one that JSON follows."""
    for at, character in enumerate(text):
        if character == "=" and at:
            with suppress(ValueError):
                yield text[:at], json.loads(text[at + 1 :])
