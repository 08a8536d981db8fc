"""A small hub on this machine that speaks what `huggingface_hub` needs, and fails as it is told to.

Repositories are made, written in commits (small files inside of them, large ones beforehand as LFS objects), listed and
read. `faults` maps a step of the exchange to what goes wrong there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

TOKEN, READER = "hf_test-writer-token", "hf_test-reader-token"
LARGE = (".safetensors", ".pt")
HANG, CUT = "hang", "cut"
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
ROUTES = (
    ("whoami", "GET", r"/api/whoami-v2"),
    ("create", "POST", r"/api/repos/create"),
    ("access", "GET", r"/api/(?P<kind>\w+)/(?P<repo>[^/]+/[^/]+)/auth-check/write"),
    ("preupload", "POST", r"/api/(?P<kind>\w+)/(?P<repo>[^/]+/[^/]+)/preupload/main"),
    ("commit", "POST", r"/api/(?P<kind>\w+)/(?P<repo>[^/]+/[^/]+)/commit/main"),
    ("info", "GET", r"/api/(?P<kind>\w+)/(?P<repo>[^/]+/[^/]+)(/revision/(?P<revision>[^/]+))?"),
    ("tree", "GET", r"/api/(?P<kind>\w+)/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)"),
    ("batch", "POST", r"/((?P<kind>datasets|spaces)/)?(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch"),
    ("put", "PUT", r"/lfs/(?P<oid>[0-9a-f]{64})"),
    ("resolve", "", r"/((?P<kind>datasets|spaces)/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
)


@dataclass
class Repo:
    """One repository: its files after each commit; a revision is `main` or the name of a commit."""

    is_private: bool
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{}])
    messages: list[str] = field(default_factory=list)

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1]

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        names = [sha(number) for number in range(len(self.commits))]
        number = len(names) - 1 if revision == "main" else names.index(revision) if revision in names else None
        return None if number is None else (names[number], self.commits[number])


def sha(number: int) -> str:
    """Name of a commit."""
    return hashlib.sha1(str(number).encode()).hexdigest()


class HubServer:
    """Use as a context; `url` belongs into HF_ENDPOINT."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: dict[str, int | str] = {}
        self.steps: list[str] = []
        self.tokens: set[str] = set()
        self.writers = {TOKEN}
        self.before_put: Callable[[], object] = lambda: None
        self.let_go, self.released = threading.Event(), threading.Event()
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # What a thread of the server meets is part of the faults, and no news on the console.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def die(self) -> None:
        """Stop answering at once, the request that is being answered included; to be called by one."""
        self._server.socket.close()
        raise ConnectionAbortedError

    def repo(self, name: str = "mika/moon", kind: str = "model") -> Repo:
        return self.repos[kind, name]

    def make(self, name: str, files: dict[str, bytes]) -> None:
        """A repository of a model that has these files."""
        self.repos["model", name] = Repo(is_private=True, commits=[{}, files])

    def environment(self, home: Path, token: str | None = TOKEN) -> dict[str, str]:
        """Variables that send the hub's library here, with no cache and no login of this machine."""
        kept = {"HF_TOKEN": token} if token else {}
        # Its newer protocol is a service of its own; the one over plain HTTP does the same.
        return {**kept, "HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        address = unquote(urlsplit(self.path).path)
        body = self._body()
        for step, method, pattern in ROUTES:
            found = re.fullmatch(pattern, address)
            if found and method in ("", self.command):
                self.hub.steps.append(step)
                self._go(step, found, body)
                return
        self._say(404, {"error": f"no such address: {self.command} {address}"})

    def _go(self, step: str, found: re.Match[str], body: bytes) -> None:
        hub = self.hub
        fault = hub.faults.get(step)
        if fault == HANG:
            hub.released.wait(60)
            self.close_connection = True
        elif fault == CUT:
            self.close_connection = True
        elif fault is not None:
            self._say(int(fault), {"error": f"made to fail with {fault}"})
        else:
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            if step not in ("put", "resolve", "info", "tree") or token:
                hub.tokens.add(token)
            if step != "put" and token not in (*hub.writers, READER):
                self._say(401, {"error": "Invalid username or password."})
                return
            getattr(self, f"_{step}")(found.groupdict(), body)

    def _whoami(self, _: dict[str, str], body: bytes) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        role = "read" if token == READER else "write"
        self._say(200, {"name": "mika", "type": "user", "auth": {"accessToken": {"role": role}}})

    def _create(self, _: dict[str, str], body: bytes) -> None:
        asked = json.loads(body)
        name, kind = f"{asked['organization']}/{asked['name']}", asked.get("type") or "model"
        if (kind, name) in self.hub.repos:
            self._say(409, {"error": "You already created this repo", "url": f"{self.hub.url}/{name}"})
            return
        is_private = asked.get("visibility") == "private" or asked.get("private") is True
        self.hub.repos[kind, name] = Repo(is_private)
        prefix = "" if kind == "model" else f"{kind}s/"
        self._say(200, {"url": f"{self.hub.url}/{prefix}{name}"})

    def _access(self, at: dict[str, str], body: bytes) -> None:
        if self._repo_at(at):
            self._say(200, {})

    def _preupload(self, at: dict[str, str], body: bytes) -> None:
        if not self._repo_at(at):
            return
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for one in json.loads(body)["files"]
        ]
        self._say(200, {"files": files})

    def _batch(self, at: dict[str, str], body: bytes) -> None:
        objects = [
            {**one, "authenticated": True, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        self._say(200, {"transfer": "basic", "objects": objects})

    def _put(self, at: dict[str, str], body: bytes) -> None:
        self.hub.before_put()
        assert hashlib.sha256(body).hexdigest() == at["oid"]
        self.hub.objects[at["oid"]] = body
        self._say(200, {})

    def _commit(self, at: dict[str, str], body: bytes) -> None:
        repo = self._repo_at(at)
        if repo is None:
            return
        files = dict(repo.files)
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                repo.messages.append(value["summary"])
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                files[value["path"]] = self.hub.objects[value["oid"]]
        repo.commits.append(files)
        name = sha(len(repo.commits) - 1)
        self._say(200, {"commitUrl": f"{self.hub.url}/{at['repo']}/commit/{name}", "commitOid": name})

    def _info(self, at: dict[str, str], body: bytes) -> None:
        repo = self._repo_at(at)
        if repo is None:
            return
        found = repo.at(at["revision"] or "main")
        if found is None:
            self._say(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = [{"rfilename": path} for path in found[1]]
        self._say(
            200, {"id": at["repo"], "sha": found[0], "siblings": siblings, "private": repo.is_private, "tags": []}
        )

    def _tree(self, at: dict[str, str], body: bytes) -> None:
        repo = self._repo_at(at)
        if repo is None:
            return
        found = repo.at(at["revision"])
        assert found is not None
        self._say(200, [_entry(path, data) for path, data in found[1].items()])

    def _resolve(self, at: dict[str, str], body: bytes) -> None:
        repo = self._repo_at({**at, "kind": at["kind"] or "models"})
        if repo is None:
            return
        found = repo.at(at["revision"])
        if found is None or at["path"] not in found[1]:
            self._say(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        data = found[1][at["path"]]
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": found[0]}
        self._send(200, data, {**headers, "Accept-Ranges": "bytes"})

    def _repo_at(self, at: dict[str, str]) -> Repo | None:
        repo = self.hub.repos.get((KINDS[at["kind"]], at["repo"]))
        if repo is None:
            self._say(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        return repo

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _say(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


# The names that the base class looks for.
for _method in ("GET", "HEAD", "POST", "PUT"):
    setattr(_Handler, f"do_{_method}", _Handler._serve)


def _entry(path: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
    if path.endswith(LARGE):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return entry
