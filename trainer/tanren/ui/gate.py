"""The door of the standalone server: every request passes it, gradio's own included.

It knows the names the page goes by, turns foreign pages away, asks for the token where there is one, and puts the path
of a proxy in its place.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from .guard import Caller, Guard, Refused
from .html import render
from .login import TokenLogin

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

COOKIE_SECONDS = 30 * 24 * 3600
# The address may hold a token, which other sites must not see.
ALWAYS: Headers = [
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
]
PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<title>Tanren</title><style>body{font:16px system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem}"
    "input,button{font:inherit;padding:.4rem}</style>"
)
FORM = (
    '<form><label>Token <input type="password" name="token" autocomplete="current-password" autofocus required></label>'
    " <button>Open</button></form></html>"
)


class Gate:
    """An ASGI app in front of another one.

    Args:
        app: gets what may pass.
        guard: decides; its login is not asked here.
        login: the token of this server, if it has one.
        root_path: what a proxy puts in front of every address: "" or "/path". It may be there or taken off already.
    """

    def __init__(self, app: Any, guard: Guard, login: TokenLogin | None, root_path: str = "") -> None:
        self._app, self._guard, self._login, self._root_path = app, guard, login, root_path

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer or hand on one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        caller = _caller(scope)
        try:
            answer = self._decide(scope, caller)
        except Refused as refusal:
            answer = _refusal(refusal, caller)
        if answer is None:
            await self._app(self._placed(scope), receive, _adding(ALWAYS, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            status, headers, content = answer
            await send({"type": "http.response.start", "status": status, "headers": [*headers, *ALWAYS]})
            await send({"type": "http.response.body", "body": content})

    def _decide(self, scope: Message, caller: Caller) -> tuple[int, Headers, bytes] | None:
        """An answer, or None to hand the request on."""
        self._guard.check_host(caller)
        is_visit = scope["type"] == "http" and caller.method == "GET" and _is_visit(caller)
        # Whoever follows a link from another page comes from there; all else a page asks for by itself.
        if not is_visit:
            self._guard.check_origin(caller)
        path = scope["path"]
        if "://" in path or ":/" in path.partition("file=")[2]:
            # gradio would fetch that address in our name.
            raise Refused(403, what="Addresses of other servers are not fetched here.")
        if path == self._root_path and path:
            return 307, [(b"location", f"./{path.rpartition('/')[2]}/".encode())], b""
        if self._login is None:
            return None
        shown = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token") if is_visit else None
        if shown is not None and self._login.is_token(shown.strip()):
            return self._signed_in(scope)
        if shown is None and self._login.accepts(caller.headers):
            return None
        fix = "Open the page with ?token=… behind its address; scripts send Authorization: Bearer …"
        if is_visit:
            return 401, _kind("text/html"), _token_page(is_wrong=shown is not None)
        raise Refused(401, what="A token is needed here.", fix=fix)

    def _signed_in(self, scope: Message) -> tuple[int, Headers, bytes]:
        """A cookie, and the same address without the token."""
        assert self._login is not None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        last = (
            scope.get("raw_path", scope["path"].encode())
            .partition(b"?")[0]
            .rpartition(b"/")[2]
            .decode("ascii", "replace")
        )
        location = f"./{last}" + (f"?{rest}" if rest else "")
        cookie = (
            f"{self._login.cookie_name}={self._login.cookie_value}; Path={self._root_path or '/'}; "
            f"Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax"
        )
        if scope.get("scheme") == "https":
            cookie += "; Secure"
        headers = [(b"location", location.encode()), (b"set-cookie", cookie.encode()), (b"cache-control", b"no-store")]
        return 303, headers, b""

    def _placed(self, scope: Message) -> Message:
        """The request with the proxy's path in front, as the apps behind expect it."""
        root = self._root_path
        if not root:
            return scope
        path, raw = scope["path"], scope.get("raw_path", scope["path"].encode())
        if path != root and not path.startswith(root + "/"):
            path, raw = root + path, root.encode() + raw
        return {**scope, "root_path": root, "path": path, "raw_path": raw}


def _caller(scope: Message) -> Caller:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        # HTTP/2 and some proxies send several cookie lines.
        headers[key] = f"{headers[key]}; {text}" if key == "cookie" and key in headers else text
    return Caller(headers, scope.get("method", "GET"))


def _is_visit(caller: Caller) -> bool:
    """True when a person opens an address, by link or by hand."""
    mode = caller.headers.get("sec-fetch-mode")
    if mode is not None:
        return mode == "navigate"
    return "origin" not in caller.headers and "text/html" in caller.headers.get("accept", "")


def _token_page(*, is_wrong: bool) -> bytes:
    sentence = (
        "This token is not the right one." if is_wrong else "This page needs the token that was set at its start."
    )
    return (PAGE + render("<p>{sentence}</p>", sentence=sentence) + FORM).encode()


def _refusal(refusal: Refused, caller: Caller) -> tuple[int, Headers, bytes]:
    if _is_visit(caller):
        lines = [render("<p>{line}</p>", line=line) for line in (refusal.what, refusal.why, refusal.fix) if line]
        return refusal.status, _kind("text/html"), (PAGE + "".join(lines) + "</html>").encode()
    content = json.dumps({"problem": refusal.as_dict()}, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return refusal.status, _kind("application/json"), content


def _kind(media_type: str) -> Headers:
    return [(b"content-type", f"{media_type}; charset=utf-8".encode()), (b"cache-control", b"no-store")]


def _adding(extra: Headers, send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message.get("headers", [])}
            message = {**message, "headers": [*message.get("headers", []), *(h for h in extra if h[0] not in present)]}
        await send(message)

    return sent
