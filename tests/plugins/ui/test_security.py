"""Only who was given the address gets in, only from this machine, and nothing that changes is served unless it was allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.cookies import SimpleCookie

import pytest

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint import InMemoryCheckpointBackend
from spark_ui import create_app
from spark_ui.security import form_token, is_form_token, new_token
from tests.plugins.ui.serving import TOKEN, Served, serving

PAGES = [
    "/",
    "/forks",
    "/health",
    "/run/refund-1",
    "/run/refund-1/timeline",
    "/static/app.js",
    "/static/style.css",
    "/nothing",
]


@pytest.fixture(scope="module")
def view() -> Iterator[Served]:
    with serving(InMemoryCheckpointBackend()) as served:
        yield served


@pytest.fixture(scope="module")
def changing() -> Iterator[Served]:
    """One that was started with ``--allow-changes``."""
    with serving(InMemoryCheckpointBackend(), allow_changes=True) as served:
        yield served.open()


@pytest.fixture
def opened(view: Served) -> Served:
    return Served(view.port, view.token).open()


@pytest.mark.parametrize("path", PAGES)
def test_without_the_token_nothing_is_served(view: Served, path: str) -> None:
    answer = view.ask(path)

    assert answer.status == 401
    assert "spark ui" in answer.text


@pytest.mark.parametrize("wrong", ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "%00", "\u00e9"])
def test_a_wrong_token_opens_nothing(view: Served, wrong: str) -> None:
    by_address = view.ask(f"/?token={wrong.encode().decode('latin-1').encode('unicode_escape').decode()}")
    by_cookie = view.ask("/", headers={"Cookie": f"spark_ui_{view.port}={wrong}".encode().decode("latin-1")})

    assert (by_address.status, by_cookie.status) == (401, 401)
    assert "set-cookie" not in by_address.headers


def test_the_address_sets_a_cookie_and_leads_to_the_same_page_without_the_token(view: Served) -> None:
    answer = view.ask(f"/run/refund-1?a=1&token={TOKEN}&b=%26")

    assert (answer.status, answer.headers["location"]) == (303, "/run/refund-1?a=1&b=%26")
    (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert (cookie.key, cookie["httponly"], cookie["samesite"], cookie["path"]) == (
        f"spark_ui_{view.port}",
        True,
        "strict",
        "/",
    )


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example/", "///evil.example"])
def test_the_address_never_leads_to_another_server(view: Served, path: str) -> None:
    location = view.ask(f"{path}?token={TOKEN}").headers["location"]

    assert re.match(r"/(?![/\\])", location)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", ""]
)
def test_another_name_that_leads_to_this_server_is_refused(opened: Served, host: str) -> None:
    """A site could point its own name at this machine, and its pages would be of the same origin."""
    assert opened.ask("/", headers={"Host": host.format(port=opened.port)}).status == 421


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_the_names_of_this_machine_are_answered(opened: Served, host: str) -> None:
    assert opened.ask("/", headers={"Host": host.format(port=opened.port)}).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_only_reading_is_served(opened: Served, method: str) -> None:
    assert opened.ask("/", method=method).status == 405


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_tells_the_browser_to_be_strict(opened: Served, path: str) -> None:
    headers = opened.ask(path).headers

    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


def test_a_page_that_breaks_is_as_strict_and_tells_nothing_of_the_code() -> None:
    class Broken(InMemoryCheckpointBackend):
        async def latest_runs(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
            return None

    with serving(Broken()) as broken:
        answer = broken.open().ask("/")

    assert answer.status == 500
    assert "AttributeError" in answer.text
    assert "Traceback" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["../app.py", "%2e%2e/app.py", "%2Fetc%2Fpasswd", "app.py", ""])
def test_no_file_is_served_but_those_of_the_pages(opened: Served, path: str) -> None:
    assert opened.ask(f"/static/{path}").status == 404


def test_no_page_has_a_script_a_style_or_a_handler_in_it(opened: Served) -> None:
    """The policy would block them, so whoever writes one sees it here first."""
    for path in PAGES[:5]:
        text = opened.ask(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text, re.IGNORECASE)
        assert re.findall(r"<script(?![^>]*\bsrc=\"/static/)[^>]*>", text) == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://localhost:{port}"},
    ],
)
def test_what_changes_something_must_come_from_a_page_of_this_server(changing: Served, headers: dict[str, str]) -> None:
    sent = {name: value.format(port=changing.port) for name, value in headers.items()}

    refused = changing.ask("/", method="POST", headers=sent)

    assert refused.status == 403
    assert "content-security-policy" in refused.headers
    assert changing.ask("/", method="POST", headers={"Origin": changing.base}).status == 405  # it came to a page


def test_a_form_token_is_known_by_pages_only() -> None:
    token = new_token()

    assert is_form_token(form_token(token), token=token)
    assert not any(is_form_token(given, token=token) for given in ("", token, form_token(new_token()), "\udc80"))


def test_a_token_that_could_be_guessed_is_refused() -> None:
    assert len(new_token()) >= 43
    assert new_token() != new_token()
    with pytest.raises(GraphDefinitionError, match="new_token"):
        create_app(InMemoryCheckpointBackend(), token="short")
