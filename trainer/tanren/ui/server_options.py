"""Flags of `launch.py ui`; read before anything is installed, and needing only the standard library."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import UsageError
from ..paths import data_folder, resolve_user_path
from .access import is_loopback
from .login import TOKEN_LENGTH, new_token
from .words import LANGUAGES, language_of

LOOPBACK, EVERYWHERE, USUAL_PORT = "127.0.0.1", "0.0.0.0", 7870
TOKEN_VARIABLE = "TANREN_TOKEN"
LANGUAGE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")


@dataclass(frozen=True)
class ServerOptions:
    """How the standalone page is served.

    Args:
        address: the server is bound to.
        port: wanted; the next free one is taken when it is in use.
        token: everybody has to show it; empty for none.
        root_path: what a proxy puts in front of every address: "" or "/path".
        hosts: names the page is reached under through a proxy.
        headless: never open a browser.
        allowed: folders that paths may lead to.
        resume_queue: start jobs that were queued before without asking.
        language: of the page, until another one is chosen there.
        settings: folders of models by their names on the settings page.
    """

    address: str
    port: int
    token: str
    root_path: str
    hosts: tuple[str, ...]
    headless: bool
    allowed: tuple[Path, ...]
    resume_queue: bool
    data_dir: Path
    language: str
    settings: Mapping[str, str]


def read_server_options(words: Sequence[str], environ: Mapping[str, str], *, program: str) -> ServerOptions:
    """What the words after `ui` say.

    Args:
        words: of the command line.
        environ: environment variables; TANREN_TOKEN is a token that no other user of the machine sees.
        program: what the user types in front of `ui`.

    Raises:
        UsageError: they contradict each other, or open the page to others without a token.
    """
    chosen = _parser(program).parse_args(list(words))
    address = _address(chosen.listen)
    token = chosen.token or environ.get(TOKEN_VARIABLE, "")
    root_path, host = _root_path(chosen.root_path)
    hosts = tuple(dict.fromkeys(name.lower() for name in [*chosen.allow_host, *([host] if host else [])]))
    _check_token(token, address, hosts, [*words], program)
    return ServerOptions(
        address=address,
        port=chosen.port,
        token=token,
        root_path=root_path,
        hosts=hosts,
        headless=chosen.headless,
        allowed=tuple(resolve_user_path(text, "folder", where="--allow-dir") for text in chosen.allow_dir),
        resume_queue=chosen.resume_queue,
        data_dir=data_folder(chosen.data_dir),
        language=language_of(chosen.language or _language_of_system(environ)),
        settings=_folders(chosen),
    )


def without_token(words: Sequence[str]) -> tuple[list[str], str]:
    """The words without `--token`, and the token: every user of a machine can read the command lines of all."""
    kept, token, rest = [], "", list(words)
    while rest:
        word = rest.pop(0)
        if word == "--token" and rest:
            token = rest.pop(0)
        elif word.startswith("--token="):
            token = word.partition("=")[2]
        else:
            kept.append(word)
    return kept, token


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{program} ui", description="Open the page in a browser.", allow_abbrev=False
    )
    add = parser.add_argument
    add("--port", type=_port, default=USUAL_PORT, help="the next free one is taken when it is in use (%(default)s)")
    add("--listen", nargs="?", const=EVERYWHERE, metavar="ADDRESS", help="let other machines reach it; needs --token")
    add("--token", default="", help=f"everybody has to show it; {TOKEN_VARIABLE} does, too, and is not seen by others")
    add("--root-path", default="", metavar="PATH", help="the path, or whole address, a proxy serves the page under")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name the page is reached under; needs --token",
    )
    add("--allow-dir", action="append", default=[], metavar="FOLDER", help="paths may only lead here; may be repeated")
    add("--headless", action="store_true", help="never open a browser")
    add("--resume-queue", action="store_true", help="start jobs that were queued before without asking")
    add("--data-dir", metavar="FOLDER", help="where runs, caches and presets are kept (TANREN_DATA does, too)")
    add("--language", choices=list(LANGUAGES), help="of the page (as the system says)")
    add("--models-dir", metavar="FOLDER", help="base models to choose from")
    add("--vae-dir", metavar="FOLDER", help="VAEs to choose from")
    add("--lora-dir", metavar="FOLDER", help="where finished LoRAs are wanted")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; ports are numbers from 0 (any free one) to 65535")
    return int(text)


def _address(text: str | None) -> str:
    if text is None or text == "localhost":
        return LOOPBACK
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError as error:
        raise UsageError(
            where="--listen",
            what=f"{text!r} is not an address of this machine.",
            fix="Write --listen alone for every network, or an address such as 192.168.1.5.",
        ) from error


def _root_path(text: str) -> tuple[str, str]:
    """The path, and the name of the machine if a whole address was given."""
    parts = urlsplit(text if "://" in text else f"//{text}" if text and not text.startswith("/") else text)
    if parts.scheme not in ("", "http", "https") or parts.query or parts.fragment or "\\" in text or ".." in text:
        raise UsageError(
            where="--root-path",
            what=f"{text!r} is neither a path nor an address.",
            fix="Write --root-path=/tanren or --root-path=https://example.org/tanren.",
        )
    if "://" not in text:
        path = text.strip("/")
        return (f"/{path}" if path else ""), ""
    path = parts.path.strip("/")
    return (f"/{path}" if path else ""), parts.netloc.rpartition("@")[2]


def _check_token(token: str, address: str, hosts: Sequence[str], words: list[str], program: str) -> None:
    if token and len(token) < TOKEN_LENGTH:
        raise UsageError(
            where="--token",
            what=f"A token has at least {TOKEN_LENGTH} characters; shorter ones can be tried out.",
            fix=f"For example: --token {new_token()}",
        )
    opened_by = "--listen" if not is_loopback(address) else "--allow-host" if hosts else ""
    if opened_by and not token:
        line = " ".join([program, "ui", *map(_quoted, words), "--token", new_token()])
        raise UsageError(
            where=opened_by,
            what="Others could then train and write files here, so it needs a token.",
            fix=f"Copy this line: {line}",
        )


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


def _language_of_system(environ: Mapping[str, str]) -> str:
    return next((environ[name] for name in LANGUAGE_VARIABLES if environ.get(name)), "")


def _folders(chosen: argparse.Namespace) -> dict[str, str]:
    found = {}
    for name in ("models_dir", "vae_dir", "lora_dir"):
        text = getattr(chosen, name)
        if text:
            found[name] = str(resolve_user_path(text, "folder", where=f"--{name.replace('_', '-')}"))
    return found
