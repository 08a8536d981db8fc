"""How a caller shows who they are: the WebUI's own login, its API users, or the token of the standalone server."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

TOKEN_LENGTH = 12  # the shortest token that is accepted, in characters


@dataclass(frozen=True)
class HostLogin:
    """The login of a WebUI, if it asks for one.

    Args:
        app: the FastAPI app that `on_app_started` hands over; `demo.app` is another one that knows no logins.
        api_users: `user:password` pairs of `--api-auth`, which scripts send by HTTP Basic.
    """

    app: Any
    api_users: tuple[str, ...] = ()

    @property
    def is_needed(self) -> bool:
        """False when everybody who can open the page may use it."""
        app = self.app
        return getattr(app, "auth", None) is not None or getattr(app, "auth_dependency", None) is not None

    def accepts(self, headers: Mapping[str, str]) -> bool:
        """True when the caller is signed in, or is a user of the API."""
        tokens = getattr(self.app, "tokens", None) or {}
        cookies = cookies_in(headers)
        if any(tokens.get(cookies[name]) is not None for name in self._cookie_names() if name in cookies):
            return True
        shown = _basic(headers.get("authorization", ""))
        return shown is not None and any(_equal(shown, user) for user in self.api_users)

    def _cookie_names(self) -> tuple[str, str]:
        """gradio 3 has one name for all apps, gradio 4 and later one for each."""
        own = getattr(self.app, "cookie_id", None)
        end = f"-{own}" if own else ""
        return f"access-token{end}", f"access-token-unsecure{end}"


@dataclass(frozen=True)
class TokenLogin:
    """The token of a standalone server; browsers keep a cookie that is made from it."""

    token: str

    @property
    def is_needed(self) -> bool:
        """Always: without a token there is no such login."""
        return True

    @property
    def cookie_name(self) -> str:
        """Differs from server to server: cookies are shared by all ports of a machine."""
        return "tanren-" + hashlib.sha256(self.token.encode()).hexdigest()[:8]

    @property
    def cookie_value(self) -> str:
        """What the browser keeps; the token cannot be had from it."""
        return hmac.new(self.token.encode(), b"tanren cookie", hashlib.sha256).hexdigest()

    def is_token(self, text: str) -> bool:
        """True for the token itself; takes the same time however wrong the text is."""
        return _equal(text, self.token)

    def accepts(self, headers: Mapping[str, str]) -> bool:
        """True when the caller shows the token (`Authorization: Bearer …`) or the cookie."""
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(shown.strip()):
            return True
        return _equal(cookies_in(headers).get(self.cookie_name, ""), self.cookie_value)


def new_token() -> str:
    """A token nobody can guess; letters and digits, so that every shell takes it as it is."""
    return secrets.token_hex(16)


def api_users(text: str | None, lines: Iterable[str] = ()) -> tuple[str, ...]:
    """The `user:password` pairs of `--api-auth`, as the WebUI reads them."""
    parts = [*(text or "").replace('"', "").replace("\n", "").split(","), *lines]
    return tuple(part.strip() for part in parts if ":" in part)


def cookies_in(headers: Mapping[str, str]) -> dict[str, str]:
    """The cookies of a request; none when the header makes no sense."""
    found: dict[str, str] = {}
    for part in headers.get("cookie", "").split(";"):
        # One by one: a cookie of another program that breaks the rules must not hide ours.
        try:
            found.update({name: morsel.value for name, morsel in SimpleCookie(part.strip()).items()})
        except CookieError:
            continue
    return found


def _basic(header: str) -> str | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape"))
