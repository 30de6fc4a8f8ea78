"""Values as they are typed: ``ID=JSON``, or ``ID=-`` for the JSON that standard input holds, and inputs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NoReturn

from spark_cli.exit_codes import refuse


def answer_of(text: str) -> tuple[str, Any]:
    """Id and answer."""
    return pair_of(text, name="ID")


def pair_of(text: str, *, name: str) -> tuple[str, Any]:
    """What was written before the ``=``, and the value of the JSON after it.

    :param name: what is before it, as help and errors call it.
    """
    found = next(_splits(text), None)
    if found is not None:
        return found
    if text.endswith("=-") and text != "=-":
        return text.removesuffix("=-"), json_of("-", what=f"the value of {text}")
    key = name.rpartition(" ")[2]
    return refuse(
        f"{text!r} must be {name}=JSON, for instance '{key}=true'. A text needs quotes of its own: '{key}=\"yes\"'."
    )


def json_of(text: str, *, what: str) -> Any:
    """A value that was given as JSON, or with ``-`` that in standard input.

    :param what: what it is, for whoever gave something else.
    """
    try:
        return parsed(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        refuse(f"{what} is not JSON: {error}. A text needs quotes of its own: '\"yes\"'.")


def inputs_of(text: str) -> dict[str, Any]:
    """The inputs of a start node that were given as JSON, or with ``-`` that in standard input."""
    try:
        given = parsed(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        refuse(f"--input is not JSON: {error}")
    if not isinstance(given, dict):
        refuse('--input must be a JSON object, for instance \'{"name": "world"}\'.')
    return given


def parsed(text: str) -> Any:
    """The value of a JSON text.

    :raises ValueError: it is none: ``NaN``, ``Infinity`` and ``1e999`` are not, and nothing is so deep that Python can't read it.
    """
    try:
        return json.loads(text, parse_constant=_refuse_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _refuse_number(text)
    return value


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a valid JSON number")


def _splits(text: str) -> Iterator[tuple[str, Any]]:
    """The id may contain a ``=``, and the answer begins after the first one that JSON follows."""
    for at, character in enumerate(text):
        if character == "=" and at:
            with suppress(ValueError):
                yield text[:at], parsed(text[at + 1 :])
