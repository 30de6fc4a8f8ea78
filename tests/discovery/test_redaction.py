"""A password never appears in a message, however it got into the URL."""

import time
import traceback

import pytest

from spark.graphs.checkpoint import open_backend
from spark.hooks import is_cut_short, redact, secrets_of, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:secret@host/db", "postgresql://user:***@host/db"),
        ("postgresql+asyncpg://user:secret@h1:1,h2:2/db", "postgresql+asyncpg://user:***@h1:1,h2:2/db"),
        ("redis://:secret@host", "redis://:***@host"),
        ("postgresql://user:se/cr?et#@x@host/db", "postgresql://user:***@host/db"),
        ("postgresql://domain/user:secret@host/db", "postgresql://domain/user:***@host/db"),
        ("postgresql://user:secret\n@host", "postgresql://user:***@host"),
        ("user:secret@host", "user:***@host"),
        ("mysql://host/db?user=me&password=secret&ssl=1", "mysql://host/db?user=me&password=***&ssl=1"),
        ("mysql://host/db?PASSWD=secret", "mysql://host/db?PASSWD=***"),
        ("mysql://host/db?pw=se;cret", "mysql://host/db?pw=***"),
        ("s3://bucket/prefix?secret_access_key=secret&region=eu", "s3://bucket/prefix?secret_access_key=***&region=eu"),
        ("s3://bucket?X-Amz-Signature=secret", "s3://bucket?X-Amz-Signature=***"),
        ("https://host/?api_key=secret#token=secret", "https://host/?api_key=***"),
        ("https://host/?p%61ssword=secret&a=b", "https://host/?p%61ssword=***&a=b"),
        ("https://host/?dsn=postgresql%3A%2F%2Fu%3Asecret%40h&a=b", "https://host/?dsn=***&a=b"),
        ("https://host/?q=a%26password%3Dsecret", "https://host/?q=***"),
        ("host=h user=u password=my secret", "host=h user=u password=***"),
        ("Server=h;Pwd=secret;Encrypt=yes", "Server=h;Pwd=***"),
        ("postgresql://me:p@ss/word@db/runs", "postgresql://me:***@db/runs"),
        ("postgresql://me:secret", "postgresql://me:***"),
        ("postgresql://me:se:cret/runs?a=b", "postgresql://me:***/runs?a=b"),
        ("postgresql://host/db?sslpassword=secret&a=b", "postgresql://host/db?sslpassword=***&a=b"),
        ("az://box?AccountKey=secret", "az://box?AccountKey=***"),
        ("host=h PGPASSWORD=secret", "host=h PGPASSWORD=***"),
        ("postgresql://u:secret@h/db?password=se@cret", "postgresql://u:***"),
        ("postgresql://h:5432/db?sslpassword=se@cret@x&a=b", "postgresql://h:***&a=b"),
        ("s3://box/a?endpoint_url=http://h:1&secret=se@cret&region=eu", "s3://box/a?endpoint_url=http:***&region=eu"),
        ("host=h:1 password=se@cret", "host=h:***"),
        ("postgresql://h:5432/db?p%61ssword=se@cret", "postgresql://h:***"),
    ],
)
def test_secrets_are_hidden_and_the_rest_shown(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file",
        "file:///var/checkpoints",
        "sqlite:///runs.db?mode=ro",
        "postgresql://user@host:5432/db",
        "s3://bucket/prefix?region=eu-west-1&endpoint=http://localhost:9000",
        "postgresql://host/db?application_name=a%20b",
        "https://bucket/?list-type=2&max-keys=1000",
        "postgresql://host:5432,other:5433/db",
        "postgresql://[::1]:5432/db",
        "fsspec+memory://folder",
    ],
)
def test_what_holds_no_secret_is_shown_as_it_is(url: str) -> None:
    assert redact(url) == url


def test_a_hostile_url_is_redacted_in_linear_time() -> None:
    """Backtracking would take minutes; the bound is a hundred times what it takes."""
    started = time.process_time()
    for hostile in ("://:", "a=", "a%20=", "key", "pass =", "@", "%3D", "&a%3D=", "::", "/:@"):
        redact(hostile * 20_000)
        is_cut_short(f"x://a:{hostile * 20_000}")

    assert time.process_time() - started < 10


PASSWORDS = [
    "s3cr3t/word",
    "p@s3cr3t/word",
    "p@s3cr3t@word",
    "a:s3cr3t",
    "q?s3cr3t",
    "q@s3cr3t?x",
    "h#s3cr3t",
    "%41s3cr3t%2F",
    "[s3cr3t",
    "s3cr3t]x",
    "s3cr3t&x=1",
    "s3cr3t;x",
    "s3cr3t\\n",
]


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "sqlite", "s3", "file", "sftp", "memory", "unknown"])
async def test_no_backend_shows_a_piece_of_a_password(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in its repr, nor in an error and the errors it comes from, nor in the log."""
    for url in [
        *(f"{scheme}://me:{password}@127.0.0.1:1/runs" for password in PASSWORDS),
        *(f"{scheme}://127.0.0.1:1/runs?{key}=s3cr3t" for key in ("password", "sslpassword", "AccountKey", "token")),
        f"{scheme}://me:s3cr3t",
    ]:
        said = [redact(url)]
        with caplog.at_level(0):
            try:
                backend = open_backend(url)
                said.append(repr(backend))
                if scheme not in ("s3", "mysql"):  # of which each would wait for a server that is not there
                    try:
                        await backend.list()
                    finally:
                        await backend.close()
            except Exception as error:
                said += traceback.format_exception(error)

        assert [text for text in [*said, caplog.text] if "s3cr3t" in text] == []


@pytest.mark.parametrize(
    ("url", "is_cut"),
    [
        ("postgresql://me:p@ss/word@db/runs", True),
        ("postgresql://me:p@ss?word@db/runs", True),
        ("postgresql://me:p%40ss@db/runs", False),
        ("postgresql://me:pw@db/runs?application_name=worker@host", False),
        ("postgresql://me@db/a@b", False),
        ("sqlite:////home/me:you@work/runs.db", False),
    ],
)
def test_a_password_that_a_parser_would_cut_short_is_found_out(url: str, is_cut: bool) -> None:
    assert is_cut_short(url) is is_cut


def test_what_ends_a_password_depends_on_the_parser() -> None:
    assert not is_cut_short("postgresql://me:p/ss@db/runs")
    assert is_cut_short("sftp://me:p/ss@host/runs", ends="@/?#")
    assert not is_cut_short("sftp://host:22/me@work", ends="@/?#")


@pytest.mark.parametrize("password", ["p", "on", "port", "connection"])
def test_a_password_that_is_a_word_leaves_the_rest_of_the_message_alone(password: str) -> None:
    said = f"connection failed on port 5432: user:{password}@host, password='{password}'"

    shown = str(without_secrets(OSError(said), [password]))

    assert "user:***@host, password='***'" in shown
    harmless = OSError("OperationalError: pollution by ports")
    assert without_secrets(harmless, [password]) is harmless
    if len(password) < 4:
        assert shown.startswith("OSError: connection failed on port 5432")


def test_a_secret_is_found_in_whatever_an_error_comes_from() -> None:
    error = OSError("no connection")
    error.__cause__ = ValueError("bad dsn: user:hunter2hunter2@host")

    cleaned = without_secrets(error, ["hunter2hunter2"])

    assert (str(cleaned), cleaned.__cause__) == ("OSError: no connection", None)
    assert without_secrets(error, ["o", ""]) is error


@pytest.mark.parametrize(
    ("url", "options", "found"),
    [
        ("sftp://me:p@ss/word@host/runs", {}, {"p@ss/word"}),
        ("sftp://me:secret", {}, {"secret"}),
        ("sftp://host:22/runs?user=me", {"username": "me", "port": 22}, set()),
        ("postgresql://h/d?sslpassword=secret&user=me", {}, {"secret"}),
        ("simplecache::sftp://me:secret@host", {"sftp": {"password": "other"}, "key": 5}, {"secret", "other"}),
        ("", {"password": "secret", "host": ("h1", "h2"), "token": ("a", "b")}, {"secret", "a", "b"}),
    ],
)
def test_the_secrets_of_a_url_and_of_options_are_found(url: str, options: dict[str, object], found: set[str]) -> None:
    assert secrets_of(url, options) == found


async def test_a_one_letter_password_does_not_garble_what_the_driver_says() -> None:
    backend = open_backend("postgresql://me:e@127.0.0.1:1/runs")
    try:
        with pytest.raises(
            Exception, match=r"me:\*\*\*@127.*OperationalError: connection failed: connection to server"
        ):
            await backend.list()
    finally:
        await backend.close()
