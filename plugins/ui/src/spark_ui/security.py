"""Who may see the pages: this machine's user, who was given the address with the token.

Every request passes ``Gate``: its ``Host`` must be this server (or another site's name could be pointed here), its method must
be one that is served, and it must bring the token: once in the address, then in a cookie. A request that changes something
must come from a page of this server, and bring what only such a page knows.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
"""The names under which this machine reaches itself."""

_READING: Final = ("GET", "HEAD")
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none at all, browsers would hide where a form comes from
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


def new_token() -> str:
    """What opens the pages: 256 random bits, as text that needs no quoting in an address."""
    return secrets.token_urlsafe(32)


def form_token(token: str) -> str:
    """What a form must bring to change something; another site can make a browser send the cookie, but never this."""
    return hmac.new(token.encode(), b"form", "sha256").hexdigest()


def is_form_token(given: str, *, token: str) -> bool:
    """Whether a form brings what it must."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), form_token(token).encode())


class Gate:
    """Lets those requests through that may be answered, and adds to every answer what browsers must obey.

    :param token: the random text that opens the pages.
    :param allow_changes: whether POST is served at all.
    """

    def __init__(self, app: ASGIApp, *, token: str, allow_changes: bool) -> None:
        self._app = app
        self._token = token
        self._methods = (*_READING, "POST") if allow_changes else _READING

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            answer = self._refusal(scope) or self._app
            await answer(scope, receive, _hardened(send))
        # Nothing here speaks WebSocket: without an answer, the server refuses it.

    def _refusal(self, scope: Scope) -> Response | None:
        """What to answer instead of a page; None when the request may be answered."""
        headers, port = Headers(scope=scope), scope["server"][1]
        if not _is_this_server(headers.get("host", ""), port):
            return _text("This server answers only to its own address. Open the one that `spark ui` printed.", 421)
        if scope["method"] not in self._methods:
            return _text("This view is read-only." if self._methods == _READING else "Not allowed.", 405)
        if scope["method"] not in _READING and not _comes_from_here(headers):
            return _text("Only a page of this server can change something.", 403)
        if scope["method"] == "GET" and (opened := self._opened(scope, port)) is not None:
            return opened
        return None if self._knows_token(headers, port) else _locked(headers)

    def _opened(self, scope: Scope, port: int) -> Response | None:
        """The answer to an address that carries the token: the cookie, and the same address without it."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if not given or not self._is_token(given[0]):
            return None
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        path = "/" + scope["path"].lstrip("/\\")  # never the address of another server
        response = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
        response.set_cookie(_cookie(port), self._token, httponly=True, samesite="strict", path="/")
        return response

    def _knows_token(self, headers: Headers, port: int) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_cookie(port))
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._token.encode())


def _is_this_server(host: str, port: int) -> bool:
    name, colon, given = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon:
        name, given = host, "80"
    return name.lower() in LOOPBACK and given == str(port)


def _comes_from_here(headers: Headers) -> bool:
    """Whether a page of this server sent the request, as far as the browser says."""
    origin, site = headers.get("origin", ""), headers.get("sec-fetch-site", "same-origin")
    return origin == f"http://{headers['host']}" and site == "same-origin"


def _cookie(port: int) -> str:
    """Cookies are shared by all ports of a host, so each server has a name of its own."""
    return f"spark_ui_{port}"


def _locked(headers: Headers) -> Response:
    body = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Locked · spark</title><style>{_LOCKED_STYLE}</style>"
        "<meta name=viewport content='width=device-width'><h1>This page is locked</h1>"
        "<p>Open the address that <code>spark ui</code> printed in your terminal: it ends in <code>?token=…</code> and opens "
        "this view in this browser. After a restart there is a new one.</p>"
    )
    if headers.get("sec-fetch-site") == "cross-site":  # then the browser held the cookie back
        body += "<p>If you have just opened it by a link on another site, <a href=''>continue</a>.</p>"
    policy = (
        f"default-src 'none'; style-src '{_LOCKED_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Response(body, 401, {"Content-Security-Policy": policy}, media_type="text/html")


_LOCKED_STYLE: Final = (
    ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:36rem;margin:15vh auto;padding:0 1.5rem}"
    "h1{font-size:1.4rem}"
)
"""In the page itself, since the style sheet is locked, too."""
_LOCKED_HASH: Final = "sha256-" + b64encode(hashlib.sha256(_LOCKED_STYLE.encode()).digest()).decode()


def _text(text: str, status: int) -> Response:
    return Response(text + "\n", status, media_type="text/plain")


def _hardened(send: Send) -> Send:
    async def send_hardened(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_hardened
