"""Exceptions as plain data and back: of any class whose exceptions can be made again, and as what they were."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from threading import Lock
from typing import Any

import pytest

from spark.errors import RemoteError
from spark.graphs.checkpoint.encoding.record_codec import RecordCodec
from spark.graphs.executors.failures import failure_data, failure_from
from spark.graphs.executors.values import ValueCodec

CODEC = ValueCodec(RecordCodec())


def sent(error: BaseException) -> Exception:
    return failure_from(pickle.loads(pickle.dumps(failure_data(error, CODEC))), CODEC)


@dataclass
class DataError(Exception):
    code: int
    tags: set[str]


@dataclass(frozen=True)
class FrozenError(Exception):
    code: int


class SlotsError(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code

    def __str__(self) -> str:
        return f"code {self.code}"


class FileError(OSError):
    def __init__(self, path: str, *, code: int) -> None:
        super().__init__(code, "can't", path)
        self.code = code


class KeywordError(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__("code", code)
        self.code = code


class DefaultError(Exception):
    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class ReducedError(Exception):
    def __init__(self, code: int) -> None:
        self._lock = Lock()
        self.code = code
        super().__init__(f"code {code}")

    def __reduce__(self) -> Any:
        return ReducedError, (self.code,)


class LockedError(Exception):
    def __init__(self, code: int, other: int) -> None:
        super().__init__(f"code {code}")
        self.lock = Lock()


class LockedDefaultError(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock: Any = Lock()
        self.code = 5


class CodedGroup(ExceptionGroup[Exception]):
    code: int

    def __new__(cls, errors: list[Exception], code: int) -> CodedGroup:
        made = super().__new__(CodedGroup, "of a code", errors)
        made.code = code
        return made

    def __init__(self, *_: Any) -> None:
        """Takes what ``__new__`` does."""


@pytest.mark.parametrize(
    "error",
    [
        DataError(5, {"a"}),
        FrozenError(5),
        SlotsError(5),
        FileError("/a", code=5),
        KeywordError(code=5),
        DefaultError("message", 5),
        ReducedError(5),
        LockedDefaultError("message"),
        CodedGroup([ValueError("a")], 5),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_as_what_it_was(error: Any) -> None:
    found: Any = sent(error)

    assert type(found) is type(error)
    assert (str(found), found.code) == (str(error), 5)
    assert found.args == error.args or isinstance(error, ExceptionGroup)


@pytest.mark.parametrize(
    "error",
    [
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ImportError("no", name="a", path="/b"),
        KeyError(("a", 1)),
        SyntaxError("bad", ("file", 1, 2, "text")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_so_does_one_of_python_s_own(error: Exception) -> None:
    found = sent(error)

    parts, expected = [(*each.__reduce__(), {})[1:3] for each in (found, error)]
    assert (type(found), repr(found), parts) == (type(error), repr(error), expected)


def test_one_that_can_t_be_made_as_it_was_is_named() -> None:
    found = sent(LockedError(1, 2))

    assert isinstance(found, RemoteError)
    assert (found.type, found.message) == (f"{__name__}:LockedError", "code 1")


def test_in_a_group_only_the_member_is() -> None:
    found = sent(
        BaseExceptionGroup("both", [KeyboardInterrupt(), BaseExceptionGroup("in", [SystemExit(3)]), ValueError("x")])
    )

    assert isinstance(found, ExceptionGroup)
    assert found.message == "both"
    interrupt, inner, value = found.exceptions
    assert isinstance(interrupt, RemoteError)
    assert interrupt.type == "builtins:KeyboardInterrupt"
    assert isinstance(inner, ExceptionGroup)
    assert isinstance(value, ValueError)


def test_errors_that_lead_to_each_other_are_sent() -> None:
    one, other = ValueError("one"), KeyError("other")
    one.__context__, other.__cause__ = other, one

    found = sent(one)

    assert isinstance(found.__context__, KeyError)
    assert found.__context__.__cause__ is found


def test_a_chain_without_end_is_cut_off() -> None:
    first = error = ValueError(0)
    for number in range(1, 2_000):
        error.__cause__ = ValueError(number)
        error = error.__cause__  # type: ignore[assignment]

    assert len(failure_data(first, CODEC)["others"]) == 99


def test_a_context_that_was_hidden_stays_hidden() -> None:
    error = ValueError("x")
    error.__context__, error.__suppress_context__ = KeyError("y"), True
    other = ValueError("x")
    other.__context__ = KeyError("y")

    assert isinstance(sent(error).__context__, KeyError)
    assert sent(error).__suppress_context__ is True
    assert sent(other).__suppress_context__ is False


def test_what_is_too_large_is_left_out() -> None:
    error = DefaultError("message", 5)
    error.body = b"x" * 1_000_000  # type: ignore[attr-defined]

    found = sent(error)

    assert type(found) is DefaultError
    assert len(pickle.dumps(failure_data(error, CODEC))) < 10_000
