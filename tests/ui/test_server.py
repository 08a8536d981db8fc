"""The standalone program, started as a user starts it and asked by real requests."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import urllib.parse
from pathlib import Path

import pytest

pytest.importorskip("gradio", minversion="6")

from ui.serving import serve

TOKEN = "canary-0123456789abcdef"
VISIT = {"accept": "text/html"}
FILES = ("runs/job/log.txt", "runs/job/spec.json", "cache/latents.bin", "presets/mine.toml")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("standalone") / "data 学習"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("content", "utf-8")
    return folder


@pytest.fixture(scope="module")
def served(data_dir):
    with serve(data_dir) as running:
        yield running


def test_it_prints_one_address_of_this_machine(served):
    found = re.findall(r"http://\S+", "".join(served.said))
    assert found == [f"http://127.0.0.1:{served.port}/"]


def test_the_page_loads_our_script_and_style(served):
    status, _, page = served.ask("/", **VISIT)
    assert status == 200
    script = re.search(r"tanren/static/tanren\.js\?v=[0-9a-f]{12}", page)
    style = re.search(r"tanren/static/style\.css\?v=[0-9a-f]{12}", page)
    assert script
    assert style
    assert served.ask("/" + script[0])[1]["content-type"] == "text/javascript; charset=utf-8"
    assert served.ask("/" + style[0])[0] == 200


def test_the_page_names_no_other_server_to_load_from(served):
    page = served.ask("/", **VISIT)[2]
    loaded = re.findall(r"""(?:<script[^>]*src|<link[^>]*href)=["'](https?://[^"']+)""", page)
    assert loaded == []


def test_our_routes_answer(served):
    assert served.ask("/tanren/api/state")[0] == 200
    assert [job["id"] for job in json.loads(served.ask("/tanren/api/jobs")[2])["jobs"]] == ["job"]


@pytest.mark.parametrize("path", ["/", "/config", "/tanren/api/jobs", "/gradio_api/info"])
def test_no_other_name_leads_here(served, path):
    assert served.ask(path, Host=f"evil.example:{served.port}")[0] == 403


def test_foreign_pages_call_nothing(served):
    for path in ("/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/run/predict", "/tanren/api/queue/start"):
        status, _, _ = served.ask(path, "POST", "{}", Origin="https://evil.example", Content_Type="application/json")
        assert status == 403, path


@pytest.mark.parametrize("name", FILES)
def test_nothing_of_the_data_folder_is_downloadable(served, data_dir, name):
    status, _, content = served.ask("/gradio_api/file=" + urllib.parse.quote(str(data_dir / name)))
    assert status == 403
    assert content != "content"


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/monitoring"])
def test_pages_of_the_web_framework_are_closed(served, path):
    assert served.ask(path, **VISIT)[0] in (403, 404)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux what a process has loaded")
def test_the_process_has_loaded_no_torch(served):
    served.ask("/", **VISIT)
    maps = Path(f"/proc/{served.process.pid}/maps").read_text("utf-8")
    assert "libtorch" not in maps
    assert "/torch/" not in maps


@pytest.mark.rule("flt-09")
def test_a_taken_port_gives_the_next_one_and_says_so(data_dir, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with serve(tmp_path / "data", f"--port={port}") as running:
            assert running.said[0] == f"Port {port} is in use; this one is free: {running.port}.\n"
            assert running.ask("/", **VISIT)[0] == 200
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(60) == 0
    assert running.said[-1] == "Closed. Trainings that run go on; the next start shows them again.\n"


def test_with_a_token_nothing_is_shown_without_it(tmp_path):
    with serve(tmp_path / "data", "--listen", TANREN_TOKEN=TOKEN) as running:
        for path in ("/", "/config", "/tanren/api/state", "/tanren/static/tanren.js", "/gradio_api/info"):
            assert running.ask(path)[0] == 401, path
        status, headers, _ = running.ask(f"/?token={TOKEN}", **VISIT)
        assert (status, headers["location"]) == (303, "./")
        cookie = headers["set-cookie"].partition(";")[0]
        status, _, page = running.ask("/", Cookie=cookie, **VISIT)
        assert status == 200
        state = running.ask("/tanren/api/state", Authorization=f"Bearer {TOKEN}")[2]
        assert '"is_public":true,"may_write":true' in state
        config = running.ask("/config", Cookie=cookie)[2]
        # Nor does the token stand in what is printed, in the command line, or where trainings inherit it.
        process = Path(f"/proc/{running.process.pid}")
        shown = [page, config, state, "".join(running.said)]
        shown += [(process / "cmdline").read_text("utf-8")] if process.is_dir() else []
        assert all(TOKEN not in text for text in shown)
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0
