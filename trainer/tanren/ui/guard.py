"""The one policy that every route and every handler of ours asks before it does anything.

The WebUI's own login does not cover routes of extensions, and any program can call any event of a gradio page with any
values. So the check sits here, at the door of each function, and hidden buttons are only a courtesy.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Protocol

from ..errors import UserError
from .access import Access, is_loopback

BODY_BYTES = 1024 * 1024
PLAIN_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,100}")
# Browsers on Linux and macOS reach their own machine by this address, too.
ALSO_THIS_MACHINE = ("0.0.0.0",)
DEFAULT_PORTS = {"http": "80", "https": "443"}


class Refused(UserError):
    """A call that was turned away.

    Args:
        status: of the HTTP answer.
    """

    def __init__(self, status: int, *, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what=what, why=why, fix=fix)
        self.status = status


class Login(Protocol):
    """A way for callers to show who they are."""

    @property
    def is_needed(self) -> bool:
        """False when everybody who reaches the page may use it."""

    def accepts(self, headers: Mapping[str, str]) -> bool:
        """True when these headers (lower-case names) show a known caller."""


@dataclass(frozen=True)
class Caller:
    """What is looked at of a request.

    Args:
        headers: by lower-case name.
        method: of HTTP.
    """

    headers: Mapping[str, str]
    method: str = "POST"

    @property
    def host(self) -> str:
        """What the `Host` header says, lower case."""
        return self.headers.get("host", "").strip().lower()


@dataclass(frozen=True)
class Guard:
    """Decides for every caller.

    Args:
        access: who can reach the server, and what was agreed to.
        login: how callers show who they are; None when there is no such thing.
    """

    access: Access
    login: Login | None = None

    def with_login(self, login: Login | None) -> Guard:
        """The same policy for an app with this login."""
        return replace(self, login=login)

    def check(self, caller: Caller, *, write: bool = False) -> None:
        """Raise `Refused` unless this caller may do this.

        Args:
            caller: who asks, and how.
            write: something is started, changed or deleted.
        """
        self.check_host(caller)
        self.check_origin(caller)
        self.check_login(caller)
        if write:
            self.check_write()

    def check_host(self, caller: Caller) -> None:
        """Refuse names under which this machine is not known; on a public server any name may lead here."""
        host = _without_port(caller.host)
        if not self.access.is_public and not self._is_ours(host):
            raise Refused(
                403,
                what=f"The page was asked for under {_shown(caller.host)}, a name that is not known here.",
                why="A foreign site could point a name of its own at this machine.",
                fix="Open it as 127.0.0.1 or localhost, or list the name in TANREN_HOSTS before the start.",
            )

    def check_origin(self, caller: Caller) -> None:
        """Refuse what another page asks for in the name of the person who has both open."""
        origin = caller.headers.get("origin", "").strip().lower()
        # Browsers set this themselves, and no page can fake it; proxies may have changed the Host header on the way.
        site = caller.headers.get("sec-fetch-site", "").strip().lower()
        is_foreign = site == "cross-site" or (
            bool(origin) and site != "same-origin" and not self._is_own(origin, caller)
        )
        if is_foreign:
            raise Refused(
                403,
                what=f"The request came from another page ({_shown(origin.partition('://')[2] or origin)}).",
                why="Only Tanren's own page may ask for this.",
                fix="Use Tanren's own page. Behind a proxy, list its name in TANREN_HOSTS before the start.",
            )

    def check_login(self, caller: Caller) -> None:
        """Refuse callers who have not shown who they are, where that is asked for."""
        if self.login is None or not self.login.is_needed or self.login.accepts(caller.headers):
            return
        raise Refused(401, what="You are not signed in.", fix="Open the page anew and sign in there.")

    def check_write(self) -> None:
        """Refuse changes on a server that others can reach, unless that was agreed to."""
        if not self.access.may_write:
            raise Refused(
                403,
                what="Tanren only shows things here; it starts, changes and deletes nothing.",
                why=f"Others may be able to reach this page: {self.access.why}.",
                fix=self.access.opt_in,
            )

    def check_body(self, caller: Caller, most: int = BODY_BYTES) -> None:
        """Refuse bodies that are not JSON, or too large; a browser asks first before it sends JSON elsewhere."""
        kind = caller.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(415, what="Changes are asked for in JSON.", fix="Send Content-Type: application/json.")
        length = caller.headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise too_large(most)

    def guarded(self, *, write: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A decorator for gradio handlers: the caller is checked before the handler runs.

        gradio hands the request to the parameter that is annotated with `gr.Request`; a handler without one gets one
        here, last, and never sees it. A refusal is shown by gradio as an error.

        Args:
            write: the handler starts, changes or deletes something.
        """

        def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
            # Only pages of gradio come here; the policy itself does without it.
            import gradio

            assert not inspect.isgeneratorfunction(handler), "handlers answer at once"
            signature = inspect.signature(handler, eval_str=True)
            asks_itself = any(part.annotation is gradio.Request for part in signature.parameters.values())

            @wraps(handler)
            def checked(*values: Any) -> Any:
                request = next((value for value in values if isinstance(value, gradio.Request)), None)
                try:
                    self.check(caller_of(request), write=write)
                except Refused as refusal:
                    raise gradio.Error(" ".join(filter(None, (refusal.what, refusal.why, refusal.fix)))) from refusal
                return handler(*(values if asks_itself else (value for value in values if value is not request)))

            if not asks_itself:
                _add_request(checked, signature, gradio.Request)
            return checked

        return decorate

    def _is_ours(self, host: str) -> bool:
        return is_loopback(host) or host in ALSO_THIS_MACHINE or host in map(_without_port, self.access.hosts)

    def _is_own(self, origin: str, caller: Caller) -> bool:
        """True for the page's own address, and for those that were listed at the start."""
        scheme, found, place = origin.partition("://")
        if not found:
            return False
        if _with_port(place, scheme) == _with_port(caller.host, scheme):
            return True
        return place in self.access.hosts or _without_port(place) in self.access.hosts


def caller_of(request: Any) -> Caller:
    """The caller behind a request of starlette, or behind a `gr.Request` of any gradio line."""
    if request is None:
        return Caller({})
    inner = getattr(request, "request", None)
    if inner is None and isinstance(getattr(request, "kwargs", None), dict):
        # gradio 3 and its web sockets: plain dictionaries; `.headers` would make an object of them.
        return Caller(_lower(request.kwargs.get("headers", {})))
    source = request if inner is None else inner
    method = source.scope.get("method", "POST") if hasattr(source, "scope") else "POST"
    return Caller(_lower(source.headers), method)


def too_large(most: int = BODY_BYTES) -> Refused:
    """The refusal of a body over the limit."""
    return Refused(413, what=f"The request is larger than {most // 1024} KiB.", fix="Send less at once.")


def _add_request(checked: Callable[..., Any], signature: inspect.Signature, kind: type) -> None:
    """Give a wrapper one more parameter, in the two places where gradio looks for it."""
    assert not any(part.kind in (part.VAR_POSITIONAL, part.KEYWORD_ONLY) for part in signature.parameters.values())
    extra = inspect.Parameter("tanren_request", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=kind)
    whole = signature.replace(parameters=[*signature.parameters.values(), extra])
    checked.__dict__["__signature__"] = whole
    checked.__annotations__ = {**checked.__annotations__, extra.name: kind}


def _lower(headers: Any) -> dict[str, str]:
    pairs = headers.items() if hasattr(headers, "items") else vars(headers).items()
    return {str(name).lower(): str(value) for name, value in pairs}


def _without_port(host: str) -> str:
    """The name alone; brackets of IPv6 go."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return name if name and port.isdecimal() else host


def _with_port(place: str, scheme: str) -> str:
    name, found, port = place.rpartition(":")
    return place if found and port.isdecimal() and name else f"{place}:{DEFAULT_PORTS.get(scheme, '')}"


def _shown(text: str) -> str:
    """A name for messages; anything odd in it is not repeated, since messages end in pages."""
    return text if PLAIN_HOST.fullmatch(text) else "an odd name"
