"""What was chosen by name is remembered with the object, and secrets are told from other options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from spark.hooks.choices import (
    Choice,
    choice_of,
    hidden_options,
    is_secret,
    remember,
    secrets_in,
    without_secret_options,
)


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "passwd", "token", "api_key", "apiKey", "authToken", "Authorization", "X-Auth-Token",
     "client-secret", "credentials", "key", "jwt", "signature", "Cookie", "authtoken", "dbpassword", "SECRETKEY"],
)  # fmt: skip
def test_a_word_of_a_name_tells_a_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["signal", "max_tokens", "tokens", "keys", "monkey", "keyword", "author", "passes", "compass", "url", ""]
)
def test_a_part_of_a_word_tells_none(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Bearer s3cret", "***"),
        ("basic bWU6cHc=", "***"),
        ("Authorization: Bearer s3cret", "***"),
        ("X-Api-Key: s3cret", "***"),
        ("Server=db;User=me;Password=s3cret", "Server=db;User=me;Password=***"),
        ("host=db password=s3cret", "host=db password=***"),
        ("Accept: application/json", "Accept: application/json"),
        ("bearer of news", "bearer of news"),
        ("basic", "basic"),
        ("12:30", "12:30"),
    ],
)
def test_a_text_may_tell_by_itself_that_it_is_a_secret(text: str, shown: str) -> None:
    assert without_secret_options({"given": text, "headers": [text]}) == {"given": shown, "headers": [shown]}


def test_a_number_is_no_secret_and_a_text_in_a_list_or_a_table_is() -> None:
    options: dict[str, Any] = {
        "key": 5,
        "token": ["a", "b"],
        "headers": {"Authorization": "Bearer x", "Accept": "json"},
        "urls": ["http://me:pw@host/x", "http://host/x?token=abc"],
        "wrapped": SecretStr("x"),
        "raw_key": b"x",
        "plain": "token",
    }

    assert without_secret_options(options) == {
        "key": 5,
        "token": ["***", "***"],
        "headers": {"Authorization": "***", "Accept": "json"},
        "urls": ["http://me:***@host/x", "http://host/x?token=***"],
        "wrapped": "***",
        "raw_key": "***",
        "plain": "token",
    }
    assert hidden_options(without_secret_options(options)) == ["token", "headers", "urls", "wrapped", "raw_key"]
    urls = {"http://me:pw@host/x", "pw", "http://host/x?token=abc", "abc"}
    assert {*secrets_in(options)} == {"a", "b", "Bearer x", "x"} | urls
    assert {*secrets_in({"name": "x"}, {"name": SecretStr("x")})} == {"x"}


def test_what_a_model_declares_as_a_secret_is_one_whatever_it_is_called() -> None:
    assert without_secret_options({"name": "x", "other": "y"}, {"name": SecretStr("x"), "other": "y"}) == {
        "name": "***",
        "other": "y",
    }


@dataclass(frozen=True)
class Frozen:
    count: int


def test_a_choice_is_remembered_by_objects_that_can_not_be_changed_and_compares_nothing() -> None:
    made = Frozen(5)
    choice = Choice("trigger", "frozen", {"count": 5})

    remember(made, choice)

    assert choice_of(made) is choice
    assert choice.to_data() == {"frozen": {"count": 5}}
    assert made == Frozen(5)
    assert choice_of(Frozen(5)) is None
