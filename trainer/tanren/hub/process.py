"""The process that talks to the hub: one request on its standard input, lines of JSON about it on its standard output.

A process of its own, because the libraries of a training stay offline, because the hub's library waits for an answer
without a limit, and because nothing that happens here may touch a training. It ends with the process that started it.
`{"percent": 40}` is a sign of life; the last line is `{"done": {…}}` or `{"failed": kind, "status": …, "text": …}`.
"""

from __future__ import annotations

import contextlib
import glob
import io
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Request = Mapping[str, Any]
PERCENT = re.compile(r"(\d{1,3})%\|")
REFUSED, MISSING, UNREACHABLE, TROUBLE = "refused", "missing", "unreachable", "trouble"
OF_THE_NETWORK = ("TransportError", "ConnectionError", "OfflineModeIsEnabled", "TimeoutError", "timeout")
OF_WHAT_IS_MISSING = ("RepositoryNotFoundError", "RevisionNotFoundError", "FileNotFoundError")


class SignsOfLife(io.TextIOBase):
    """Takes what the library prints and says how far its newest progress bar is."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._guard, self._last = out, threading.Lock(), -1

    def write(self, text: str) -> int:
        """Keep the numbers, drop the rest."""
        found = PERCENT.findall(text)
        if found and int(found[-1]) != self._last:
            self._last = int(found[-1])
            self.say({"percent": self._last})
        return len(text)

    def say(self, content: Mapping[str, Any]) -> None:
        """One line for the parent."""
        with self._guard:
            self._out.write(json.dumps(content) + "\n")
            self._out.flush()


def main() -> None:
    """Do what is asked, say how it went, and end."""
    # Ctrl-C reaches every process at the terminal; whether an upload ends then is the parent's affair.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    out = sys.stdout
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    signs = SignsOfLife(out)
    sys.stdout = sys.stderr = signs
    signs.say(answer_to(request))
    out.flush()
    # Threads of the library may wait for a server that has gone silent.
    os._exit(0)


def answer_to(request: Request) -> dict[str, Any]:
    """Do it; whatever the library raises is the answer, because the parent decides what it means."""
    try:
        return {"done": WORK[request["do"]](request)}
    except Exception as error:  # noqa: BLE001 - see above
        return failure(error)


def failure(error: BaseException) -> dict[str, Any]:
    """Kind, HTTP status and text of an error, found in it or in what caused it."""
    chain = list(_causes(error))
    statuses = [status for one in chain if (status := _status(one)) is not None]
    names = {kind.__name__ for one in chain for kind in type(one).__mro__}
    status = statuses[0] if statuses else None
    if status in (401, 403) or "PermissionError" in names:
        kind = REFUSED
    elif status is None and names.intersection(OF_THE_NETWORK):
        kind = UNREACHABLE
    elif names.intersection(OF_WHAT_IS_MISSING) or status == 404:
        kind = MISSING
    else:
        kind = TROUBLE
    told = next((one for one in chain if _status(one) is not None), chain[-1])
    # What the server said; the library wraps it into addresses and advice for programmers.
    text = getattr(told, "server_message", None) or str(told)
    return {"failed": kind, "status": status, "text": f"{type(told).__name__}: {_shortened(text)}"}


def check(request: Request) -> dict[str, Any]:
    """Make the repository when it is missing, and see whether it can be written."""
    api = _api()
    token = api.whoami().get("auth", {}).get("accessToken", {})
    if token.get("role") == "read":
        raise PermissionError("the token can only read")
    address = _create(api, request)
    _ask_for_write_access(api, request)
    return {"address": address}


def upload(request: Request) -> dict[str, Any]:
    """Upload files in one commit; the repository is made when it is missing."""
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.errors import RepositoryNotFoundError

    api = _api()

    def commit() -> dict[str, Any]:
        info = api.create_commit(
            request["repo_id"],
            [CommitOperationAdd(path_in_repo=place, path_or_fileobj=path) for place, path in request["files"]],
            commit_message=request["message"],
            repo_type=request["kind"],
        )
        return {"commit": info.oid}

    # Not inside of an `except`: what fails then would have the missing repository among its causes.
    with contextlib.suppress(RepositoryNotFoundError):
        return commit()
    _create(api, request)
    return commit()


def download(request: Request) -> dict[str, Any]:
    """Bring a folder of a repository into a cache and say where it is."""
    from huggingface_hub import snapshot_download

    snapshot = snapshot_download(
        request["repo_id"],
        repo_type=request["kind"],
        revision=request["revision"],
        allow_patterns=[f"{glob.escape(request['folder'])}/*"],
        cache_dir=request["cache"],
    )
    folder = Path(snapshot, *request["folder"].split("/"))
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no {request['folder']} in it.")
    return {"folder": str(folder)}


WORK: dict[str, Callable[[Request], dict[str, Any]]] = {"check": check, "upload": upload, "download": download}


def _api() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi()


def _create(api: HfApi, request: Request) -> str:
    return str(
        api.create_repo(
            request["repo_id"],
            repo_type=request["kind"],
            private=request["private"],
            exist_ok=True,
            space_sdk="static" if request["kind"] == "space" else None,
        )
    )


def _ask_for_write_access(api: HfApi, request: Request) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.auth_check(request["repo_id"], repo_type=request["kind"], write=True)
    except HfHubHTTPError as error:
        # Other servers than the hub's own may not know the question.
        if _status(error) in (401, 403):
            raise


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _shortened(text: str) -> str:
    return " ".join(text.split())[:300]


def _end_with_the_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
