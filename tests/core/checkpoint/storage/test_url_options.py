"""The options that the URL of any backend may have, also of a backend that knows nothing of them."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint import CheckpointConfig, InMemoryCheckpointBackend, open_backend
from spark.graphs.checkpoint.storage import split_options
from tests.support.sites import site_in


@pytest.mark.parametrize(
    ("url", "rest", "options"),
    [
        ("x://h/d?inline_io=false", "x://h/d", {"inline_io": False}),
        ("x://h/d?inline_io=FALSE&a=1", "x://h/d?a=1", {"inline_io": False}),
        ("x://h/d?a=1&inline_io=true", "x://h/d?a=1", {"inline_io": True}),
        ("x://h/d?a=1&inline_io=true&b=2#c", "x://h/d?a=1&b=2#c", {"inline_io": True}),
        ("x://h/d?format=msgpack&a=1&compression=zstd", "x://h/d?a=1", {"format": "msgpack", "compression": "zstd"}),
        ("x://h/d?compression=true&pretty_print=true", "x://h/d", {"compression": True, "pretty_print": True}),
        ("x://h/d?codec=zip,aes&serializer=my%2Ehook", "x://h/d", {"codec": ["zip", "aes"], "serializer": "my.hook"}),
        ("x://h/d?codec=aes", "x://h/d", {"codec": "aes"}),
    ],
)
def test_they_are_taken_out_of_the_query(url: str, rest: str, options: dict[str, Any]) -> None:
    assert split_options(url) == (rest, options)


@pytest.mark.parametrize(
    "url",
    [
        "x://h/d",
        "x://h/d?a=inline_io=false",
        "x://h/inline_io=false",
        "x://h/d?myformat=a&information=b",
        "x://h/d?mode=ro&cache=shared&uri=true",  # of SQLite
        "x://h/d?sslmode=require&sslcompression=0&options=-csearch_path%3Da&application_name=b",  # of PostgreSQL
        "x://h/d?compress=true&charset=utf8mb4&collation=c&conv=x",  # of drivers for MySQL
        "x://h/d?protocol=https&encoding=utf-8&serialize_dates=1",
        "x://me:a?fromat=b@h/d",  # of a password
    ],
)
def test_what_only_looks_like_one_is_left_alone(url: str) -> None:
    assert split_options(url) == (url, {})


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("inline_io=", "inline_io=true or inline_io=false"),
        ("inline_io=0", "inline_io=true or inline_io=false"),
        ("inline_io=true&inline_io=true", "in the URL twice"),
        ("format=", "format of the URL is empty"),
        ("codec=a,,b", "codec of the URL is empty"),
        ("format=a&format=b", "in the URL twice"),
    ],
)
def test_one_with_a_wrong_value_is_refused(query: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        split_options(f"x://h/d?{query}")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("fromat", "format"),
        ("formt", "format"),
        ("formats", "format"),
        ("Format", "format"),
        ("codecs", "codec"),
        ("compresion", "compression"),
        ("copmresion", "compression"),
        ("seriliazer", "serializer"),
        ("pretty-print", "pretty_print"),
        ("inlineio", "inline_io"),
    ],
)
def test_one_that_is_misspelt_is_refused_with_the_right_name(key: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"^There is no URL option {key}. Did you mean '{meant}'?"):
        open_backend(f"sqlite:///runs.db?a=1&{key}=s3cret")


def test_one_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^The option inline_io of the URL has no value\. Write inline_io=…\."):
        split_options("x://h/d?inline_io&a")


def test_the_same_option_as_an_argument_wins(tmp_path: Path) -> None:
    backend = open_backend(f"file://{tmp_path}?compression=gzip", compression="zstd")

    assert backend.record_codec.compression == "zstd"


THIRD_PARTY = """
    from spark.graphs.checkpoint import InMemoryCheckpointBackend
    from spark.hooks import BackendSpec, hookimpl

    class Shelf(InMemoryCheckpointBackend):
        name = "shelf"

        def __init__(self, password="", headers: dict[str, str] | None = None, colours: tuple[str, ...] = (), **options):
            super().__init__(**options)
            self.colours = colours
            if password or headers:
                raise ValueError(f"refused: {password} {headers}")

        @classmethod
        def from_url(cls, url, **options):
            shelf = cls(**options)
            if "refused" in url:
                raise ValueError(f"refused: {url}")
            shelf.url = url
            return shelf

    @hookimpl
    def spark_backends():
        return [BackendSpec(name="shelf", target="fake_shelf_plugin:Shelf", schemes=("shelf",))]
"""


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("shelf://me:s3cret@top/refused", {}),
        ("shelf://top/refused?token=s3cret", {}),
        ("shelf://top/refused?a=1&password=s3cret", {}),
        ("shelf://top/refused", {"headers": {"Authorization": "Bearer s3cret"}}),
        ("shelf", {"password": "s3cret"}),
    ],
)
@pytest.mark.parametrize("kind", ["argument", "settings"])
def test_a_backend_of_others_that_shows_a_secret_is_kept_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, url: str, options: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARK_CHECKPOINT_URL", raising=False)
    named = "url" if "://" in url else "backend"
    tables = "".join(
        f"[checkpoint.options.{name}]\nAuthorization = 'Bearer s3cret'\n" for name in {"headers"} & {*options}
    )
    simple = "options.password = 's3cret'\n" if "password" in options else ""
    (tmp_path / "spark.toml").write_text(f"[checkpoint]\n{named} = '{url}'\n{simple}{tables}")

    with site_in(tmp_path, monkeypatch) as site:
        site.install("fake-shelf", THIRD_PARTY)
        with pytest.raises((ValueError, GraphDefinitionError), match=r"refused.*\*\*\*") as caught:
            open_backend(url, **options) if kind == "argument" else CheckpointConfig.load().open_backend()

    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_backend_of_others_gets_them_as_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with site_in(tmp_path, monkeypatch) as site:
        site.install("fake-shelf", THIRD_PARTY)
        backend = open_backend("shelf://top?color=red&compression=gzip&inline_io=false")

    assert isinstance(backend, InMemoryCheckpointBackend)
    assert (backend.url, backend.record_codec.compression, backend.inline_io) == (
        "shelf://top?color=red",
        "gzip",
        False,
    )  # type: ignore[attr-defined]


def test_options_of_a_file_are_made_what_the_backend_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARK_CHECKPOINT_URL", raising=False)
    (tmp_path / "spark.toml").write_text("[checkpoint]\nbackend = 'shelf'\noptions = {colours = ['red', 'blue']}\n")
    with site_in(tmp_path, monkeypatch) as site:
        site.install("fake-shelf", THIRD_PARTY)
        backend = CheckpointConfig.load().open_backend()

    assert backend.colours == ("red", "blue")  # type: ignore[attr-defined]
