"""Real requests to real servers of the three gradio lines: logins, foreign pages, and what may be downloaded."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from gradio_pythons import LINES, python_of

ROOT = Path(__file__).parents[2]
FORBIDDEN = (
    "extensions/tanren/data/runs/job/log.txt",
    "extensions/tanren/data/runs/job/spec.json",
    "extensions/tanren/data/cache/latents.bin",
    "extensions/tanren/.venv/pyvenv.cfg",
    "extensions/tanren/.git/config",
    "extensions/tanren/.env",
    "repositories/tanren/data/runs/job/log.txt",
    "repositories/tanren/.venv/pyvenv.cfg",
    "venv elsewhere/pyvenv.cfg",
)
ALLOWED = "outputs/log.txt"


class Host:
    """A running miniature WebUI."""

    def __init__(self, line: int, root: Path, address: str) -> None:
        self.line, self.root, self.address = line, root, address.rstrip("/")
        self.api = "/gradio_api" if line > 4 else ""

    def ask(self, path, *, body=None, opener=None, **headers):
        data = None if body is None else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given |= {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(self.address + path, data=data, headers=given)
        try:
            with (opener or urllib.request.build_opener()).open(request, timeout=60) as answer:
                return answer.status, answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode("utf-8", "replace")

    def signed_in(self):
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        form = urllib.parse.urlencode({"username": "ann", "password": "secret"}).encode()
        opener.open(self.address + "/login", data=form, timeout=60).read()
        return opener


@pytest.fixture(scope="module", params=LINES)
def host(request, tmp_path_factory):
    python = python_of(request.param)
    root = tmp_path_factory.mktemp(f"webui{request.param}")
    (root / "extensions").mkdir()
    (root / "repositories" / "tanren").mkdir(parents=True)
    (root / "extensions" / "tanren").symlink_to(root / "repositories" / "tanren")
    for name in (*FORBIDDEN, ALLOWED):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("content", "utf-8")
    command = [python, str(ROOT / "tests" / "ui" / "gradio_host.py"), str(root)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "trainer"), "PYTHONUTF8": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            lines = iter(process.stdout.readline, "")
            address = next((line.strip() for line in lines if line.startswith("http")), None)
            assert address, f"gradio {request.param} did not start"
            yield Host(request.param, root, address)
        finally:
            process.kill()


def test_our_routes_ask_for_the_login_of_the_webui(host):
    assert host.ask("/tanren/api/jobs")[0] == 401
    assert host.ask("/tanren/api/queue/start", body={})[0] == 401
    opener = host.signed_in()
    assert host.ask("/tanren/api/jobs", opener=opener)[0] == 200
    assert host.ask("/tanren/api/queue/start", body={}, opener=opener)[0] == 200


def test_users_of_the_api_come_in_by_basic(host):
    assert host.ask("/tanren/api/jobs", Authorization="Basic Ym9iOmtleQ==")[0] == 200
    assert host.ask("/tanren/api/jobs", Authorization="Basic Ym9iOm5v")[0] == 401


def test_a_login_does_not_help_foreign_pages(host):
    opener = host.signed_in()
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        assert host.ask("/tanren/api/jobs", opener=opener, **headers)[0] == 403
        assert host.ask("/tanren/api/queue/start", body={}, opener=opener, **headers)[0] == 403


def test_handlers_of_the_page_turn_foreign_pages_away(host):
    opener = host.signed_in()
    path = f"{host.api}/run/write"
    status, answer = host.ask(path, body={"data": ["it"]}, opener=opener)
    assert (status, json.loads(answer)["data"]) == (200, ["did it"])
    status, answer = host.ask(path, body={"data": ["it"]}, opener=opener, Origin="https://evil.example")
    assert status != 200
    assert "did it" not in answer
    status, answer = host.ask(path, body={"data": ["it"]}, opener=opener, Host="evil.example")
    assert status != 200
    assert "did it" not in answer


def test_our_folders_are_not_downloadable(host):
    opener = host.signed_in()

    def get(name):
        return host.ask(f"{host.api}/file=" + urllib.parse.quote(str(host.root / name)), opener=opener)

    assert get(ALLOWED) == (200, "content")
    for name in FORBIDDEN:
        status, answer = get(name)
        assert status == 403, name
        assert answer != "content", name


def test_the_spelling_of_a_path_opens_nothing(host):
    opener = host.signed_in()
    for text in (
        f"{host.root}/outputs/../extensions/tanren/data/runs/job/log.txt",
        f"{host.root}//extensions//tanren//data//runs//job//log.txt",
        f"{host.root}/./extensions/tanren/./data/runs/job/spec.json",
        "extensions/tanren/data/runs/job/log.txt",
    ):
        assert host.ask(f"{host.api}/file=" + urllib.parse.quote(text), opener=opener)[0] in (403, 404), text
