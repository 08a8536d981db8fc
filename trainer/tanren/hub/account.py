"""What the surroundings say about the hub: a token, being offline, another address. Nothing here asks the network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from ..child_process import child_environment

TOKEN, OLD_TOKEN, OFFLINE, ENDPOINT = "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT"
TRUE = ("1", "ON", "YES", "TRUE")
HUB = "https://huggingface.co"
TOKENS_PAGE = "https://huggingface.co/settings/tokens"


def is_offline(environment: Mapping[str, str] = os.environ) -> bool:
    """True when the user forbade libraries to ask the hub."""
    return any(environment.get(name, "").upper() in TRUE for name in (OFFLINE, "TRANSFORMERS_OFFLINE"))


def has_token(given: str | None, environment: Mapping[str, str] = os.environ) -> bool:
    """True when there is a token: given, in the environment, or kept by `hf auth login`."""
    if given or any(environment.get(name, "").strip() for name in (TOKEN, OLD_TOKEN, "HF_OIDC_RESOURCE")):
        return True
    try:
        return bool(token_file(environment).read_text("utf-8").strip())
    except (OSError, ValueError):
        return False


def token_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where `hf auth login` keeps the token."""
    if named := environment.get("HF_TOKEN_PATH"):
        return Path(named).expanduser()
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("HF_HOME") or f"{cache}/huggingface"
    return Path(home).expanduser() / "token"


def endpoint(environment: Mapping[str, str] = os.environ) -> str:
    """The address of the hub."""
    return environment.get(ENDPOINT) or HUB


def unsafe_endpoint(environment: Mapping[str, str] = os.environ) -> str | None:
    """The address of `HF_ENDPOINT` when a token sent there could be read on the way, else None."""
    address = environment.get(ENDPOINT, "")
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    if not address or parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return None
    return address


def no_upload_because(token: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Why nothing can be uploaded, with what to do about it, or None when nothing is known to stand in the way.

    Args:
        token: of the settings.
        environment: of the run.
    """
    if is_offline(environment):
        return f"{OFFLINE} is set, which forbids it. Unset it to upload."
    if address := unsafe_endpoint(environment):
        return f"{ENDPOINT} is {address}, where a token could be read on its way. Give an address with https."
    if not has_token(token, environment):
        return (
            f"No token was found. Set {TOKEN}, or run `hf auth login` once; {TOKENS_PAGE} makes one with write access."
        )
    return None


def environment_for(token: str | None, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process that talks to the hub; the only place where the token goes.

    Args:
        token: of the settings; wins over that of the environment.
        given: environment to start from; that of this process when None.
    """
    source = os.environ if given is None else given
    found = token or source.get(TOKEN) or source.get(OLD_TOKEN)
    environment = child_environment(source)
    # Packages that are found by this variable here must be found there, too.
    for name in ("PYTHONPATH",):
        if name in source:
            environment[name] = source[name]
    if found:
        environment[TOKEN] = found.strip()
    return environment


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
