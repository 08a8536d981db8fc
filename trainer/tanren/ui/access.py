"""Who can reach this server, and what the person who started it allowed.

Public is whatever others than the person at this machine may reach: a WebUI started to listen or to share, a standalone
server that is bound to more than the machine itself, or one whose operator says so (a reverse proxy cannot be seen from
here). What cannot be told counts as public.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NON_LOCAL_FLAGS = ("share", "listen", "server_name", "ngrok")
# Other extensions open tunnels with flags of their own.
TUNNEL_FLAGS = ("cloudflared", "localhostrun", "remotemoe", "jprq", "bore", "googleusercontent", "tunnelwebui")
PUBLIC_VARIABLE, HOSTS_VARIABLE = "TANREN_PUBLIC", "TANREN_HOSTS"
OFF = ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class Access:
    """Whether others can reach the page, and whether they may change things then.

    Args:
        is_public: others than the person at this machine may be able to.
        is_opted_in: whoever started it agreed that all of them may train and write.
        why: the cause of `is_public`, for messages.
        opt_in: what to do to agree, as a sentence.
        hosts: names the page is known under beside this machine's own, lower case.
    """

    is_public: bool
    is_opted_in: bool = False
    why: str = ""
    opt_in: str = ""
    hosts: tuple[str, ...] = ()

    @property
    def may_write(self) -> bool:
        """True when jobs may be started, and files written or deleted."""
        return self.is_opted_in or not self.is_public


def host_access(flags: Any, environ: Mapping[str, str]) -> Access:
    """How a WebUI was started.

    Args:
        flags: its `shared.cmd_opts`, or None when there are none.
        environ: environment variables of the process.
    """
    return Access(
        is_public=bool(_why_public(flags, environ)),
        is_opted_in=_is_set(flags, "enable_insecure_extension_access") or _is_set(flags, "tanren_allow_remote"),
        why=_why_public(flags, environ),
        opt_in="Start the WebUI with --tanren-allow-remote if everybody who can open it may train and write files.",
        hosts=known_hosts(environ),
    )


def standalone_access(
    address: str, *, has_token: bool, hosts: tuple[str, ...] = (), environ: Mapping[str, str] | None = None
) -> Access:
    """How the standalone server was started.

    Args:
        address: it is bound to.
        has_token: everybody has to show one.
        hosts: names it is reached under through a proxy.
        environ: environment variables of the process.
    """
    given = environ or {}
    reasons = (
        (not is_loopback(address), f"it listens on {address}"),
        (bool(hosts), "it is reached through a proxy"),
        (_is_on(given.get(PUBLIC_VARIABLE, "")), f"{PUBLIC_VARIABLE} is set"),
    )
    why = next((reason for holds, reason in reasons if holds), "")
    return Access(
        is_public=bool(why),
        is_opted_in=has_token,
        why=why,
        opt_in="Start it with --token.",
        hosts=(*hosts, *known_hosts(given)),
    )


def known_hosts(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Names of this server that TANREN_HOSTS lists, separated by commas."""
    return tuple(name.strip().lower() for name in environ.get(HOSTS_VARIABLE, "").split(",") if name.strip())


def is_loopback(name: str) -> bool:
    """True for names and addresses that never leave the machine."""
    bare = name.strip("[]").rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def _why_public(flags: Any, environ: Mapping[str, str]) -> str:
    """Why a WebUI counts as public; empty when it does not."""
    if flags is None or not any(hasattr(flags, name) for name in NON_LOCAL_FLAGS):
        return "its flags are not known"
    for name in (*NON_LOCAL_FLAGS, *TUNNEL_FLAGS):
        if _is_set(flags, name):
            return f"--{name.replace('_', '-')} is set"
    if _is_set(flags, "webui_is_non_local"):
        return "the WebUI says so"
    if _is_set(flags, "tanren_public"):
        return "--tanren-public is set"
    if _is_on(environ.get(PUBLIC_VARIABLE, "")):
        return f"{PUBLIC_VARIABLE} is set"
    # gradio itself takes these when the WebUI names no address.
    address = environ.get("GRADIO_SERVER_NAME", "")
    if address and not is_loopback(address):
        return "GRADIO_SERVER_NAME is set"
    return "GRADIO_SHARE is set" if _is_on(environ.get("GRADIO_SHARE", "")) else ""


def _is_set(flags: Any, name: str) -> bool:
    return bool(getattr(flags, name, None))


def _is_on(text: str) -> bool:
    return text.strip().lower() not in OFF
