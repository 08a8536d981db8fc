"""Our routes, asked as a browser asks: who is let in, what comes back, and that no text becomes a path."""

from __future__ import annotations

import io
import json
import threading
import time

import pytest

pytest.importorskip("starlette.testclient")
pytest.importorskip("httpx")

from PIL import Image, PngImagePlugin
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from tanren import __version__
from tanren.errors import UsageError
from tanren.formats.safetensors_header import header_bytes, lay_out
from tanren.jobs.shelf import Shelf
from tanren.ui import answers, routes, storage_answers
from tanren.ui.access import Access
from tanren.ui.answers import Desk
from tanren.ui.guard import BODY_BYTES, Guard
from tanren.ui.host_standalone import Standalone
from tanren.ui.login import TokenLogin
from tanren.ui.static_files import StaticFiles

BASE = "http://127.0.0.1:7870"
PUBLIC = Access(is_public=True, why="--listen is set", opt_in="Start it with --token.")

HOSTILE = [
    "..",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fsecret.txt",
    "..%5c..%5csecret.txt",
    "....//....//secret.txt",
    "%2fetc%2fpasswd",
    "C:%5cWindows%5cwin.ini",
    "%5c%5cserver%5cshare",
    "file:%2f%2f%2fetc%2fpasswd",
    "secret.txt%00.png",
    "a%0d%0aX-Injected:%201",
    "CON",
    "~root",
    "%e2%80%ae.png",
    "%c0%ae%c0%ae",
    "%ff",
    "x" * 3000,
    "<script>alert(1)</script>",
    "spec.json",
    "samples%2f..%2fspec.json",
]


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "data 学習")


@pytest.fixture
def job(shelf):
    made = shelf.submit("train_network", {"max_train_steps": 3}, name="学習 データ", request_id="1", is_submitted=False)
    (shelf.data_dir.parent / "secret.txt").write_text("TOP-SECRET", "utf-8")
    return made


def client(shelf, access=None, login=None, setup=None, queue=None):
    access = access or Access(is_public=False)
    desk = Desk(Standalone(shelf.data_dir, access), shelf, Guard(access, login), queue=queue, setup=setup)
    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("host"))])
    routes.install(app, desk, StaticFiles({"tanren.js": b"1;", "style.css": b"/**/"}))
    return TestClient(app, base_url=BASE)


def sample(job, name="e1.png", **pictured):
    folder = job.folder / "samples"
    folder.mkdir(exist_ok=True)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a red square")
    Image.new("RGB", (8, 8), "red").save(folder / name, "PNG", pnginfo=info, **pictured)
    tell(job, {"kind": "sample", "file": str(folder / name), "prompt": "a red square", "seed": 1, "step": 1})
    return folder / name


def write_lora(path, metadata):
    entries = lay_out([("lora_unet_mid_block.lora_down.weight", "F16", (4, 8))])
    path.write_bytes(header_bytes(metadata, entries) + bytes(64))
    return path


def tell(job, event):
    with (job.folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"time": time.time(), **event}) + "\n")


# What comes back


def test_state_says_what_the_strip_shows(shelf):
    told = client(shelf).get("/tanren/api/state").json()
    assert told["version"] == __version__
    assert (told["surroundings"], told["is_public"], told["may_write"]) == ("standalone", False, True)
    assert told["environment"]["state"] == "ready"
    assert told["queue"] == {"is_paused": False}
    assert told["checkpoint"] is None


def test_jobs_are_listed_and_shown(shelf, job):
    page = client(shelf)
    (listed,) = page.get("/tanren/api/jobs").json()["jobs"]
    assert (listed["id"], listed["name"], listed["state"]) == (job.id, "学習 データ", "draft")
    shown = page.get(f"/tanren/api/jobs/{job.id}").json()
    assert shown["next"] == 0
    assert {"name": "max_train_steps", "value": 3, "is_default": False} in shown["settings"]


def test_the_log_is_read_from_a_place_on(shelf, job):
    (job.folder / "log.txt").write_text("one\ntwo\n", "utf-8")
    page = client(shelf)
    first = page.get(f"/tanren/api/jobs/{job.id}/log").json()
    assert (first["text"], first["next"]) == ("one\ntwo\n", 8)
    assert page.get(f"/tanren/api/jobs/{job.id}/log?since=8").json()["text"] == ""


@pytest.mark.parametrize("since", ["-1", "x", "1e3", "९", "9" * 30, "0x1"])
def test_a_place_that_is_no_number_is_refused(shelf, job, since):
    answer = client(shelf).get(f"/tanren/api/jobs/{job.id}", params={"since": since})
    assert answer.status_code == 400
    assert answer.json()["problem"]["what"] == "`since` is not a place in the file."


def test_answers_are_no_pages_and_are_not_kept(shelf, job):
    for path in ("state", "jobs", f"jobs/{job.id}", "nothing"):
        headers = client(shelf).get(f"/tanren/api/{path}").headers
        assert headers["content-type"] == "application/json"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers


def test_words_of_a_language(shelf):
    told = client(shelf).get("/tanren/api/words?language=ja").json()
    assert told["language"] == "ja_JP"
    assert client(shelf).get("/tanren/api/words?language=en").json()["words"] == {}


def test_script_and_style_may_be_kept_since_their_address_changes(shelf):
    answer = client(shelf).get("/tanren/static/tanren.js")
    assert (answer.text, answer.headers["content-type"]) == ("1;", "text/javascript; charset=utf-8")
    assert "immutable" in answer.headers["cache-control"]
    assert client(shelf).get("/tanren/static/other.js").status_code == 404


# Samples


def test_a_sample_goes_out_as_the_picture_it_is(shelf, job):
    path = sample(job)
    answer = client(shelf).get(f"/tanren/api/jobs/{job.id}/sample/e1.png")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content == path.read_bytes()
    again = client(shelf).get(
        f"/tanren/api/jobs/{job.id}/sample/e1.png", headers={"if-none-match": answer.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "content",
    [b"<script>alert(1)</script>", b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF89a" + b"\0" * 20],
)
def test_what_is_no_picture_of_ours_does_not_go_out(shelf, job, content):
    sample(job).write_bytes(content)
    answer = client(shelf).get(f"/tanren/api/jobs/{job.id}/sample/e1.png")
    assert answer.status_code == 422
    assert answer.json()["problem"]["what"] == "It is not a whole PNG or WebP picture."


def test_a_damaged_picture_does_not_go_out(shelf, job):
    path = sample(job)
    path.write_bytes(path.read_bytes()[:40])
    assert client(shelf).get(f"/tanren/api/jobs/{job.id}/sample/e1.png").status_code == 422


def test_a_link_is_not_followed(shelf, job):
    path = sample(job)
    outside = shelf.data_dir.parent / "outside.png"
    path.rename(outside)
    path.symlink_to(outside)
    assert client(shelf).get(f"/tanren/api/jobs/{job.id}/sample/e1.png").status_code == 422


# Actions


def test_a_button_acts_and_tells_how_the_job_stands_then(shelf, job):
    page = client(shelf)
    assert page.post(f"/tanren/api/jobs/{job.id}/submit", json={}).json()["job"]["state"] == "queued"
    assert page.post(f"/tanren/api/jobs/{job.id}/withdraw", json={}).json()["job"]["state"] == "draft"
    copy = page.post(f"/tanren/api/jobs/{job.id}/retry", json={"changes": {"max_train_steps": 9}}).json()["job"]
    assert shelf.get(copy["id"]).spec().options["max_train_steps"] == 9
    assert page.post(f"/tanren/api/jobs/{job.id}/delete", json={}).json() == {"ok": True, "job": None}
    assert page.get(f"/tanren/api/jobs/{job.id}").status_code == 404


def test_what_a_job_cannot_do_now_is_said(shelf, job):
    answer = client(shelf).post(f"/tanren/api/jobs/{job.id}/pause", json={})
    assert answer.status_code == 400
    assert "is draft, so it cannot be paused" in answer.json()["problem"]["what"]
    assert set(answer.json()["problem"]) == {"code", "where", "what", "why", "fix"}


def test_unknown_jobs_actions_and_addresses_are_404_with_a_sentence(shelf, job):
    page = client(shelf)
    assert page.get("/tanren/api/jobs/none").json()["problem"]["what"] == "There is no such job."
    assert page.post("/tanren/api/jobs/none/stop", json={}).status_code == 404
    assert page.post(f"/tanren/api/jobs/{job.id}/explode", json={}).status_code == 404
    assert page.get("/tanren/api/nothing").json()["problem"]["what"] == "There is no such address."
    assert page.post("/tanren/api/environment/explode", json={}).status_code == 404


@pytest.mark.parametrize("action", sorted(answers.ACTIONS))
def test_nothing_is_changed_by_a_get(shelf, job, action):
    assert client(shelf).get(f"/tanren/api/jobs/{job.id}/{action}").status_code in (404, 405)
    assert shelf.get(job.id).state == "draft"


def test_the_queue_starts_when_somebody_says_so(shelf):
    class Queue:
        paused = True

        def wake(self): ...

    queue = Queue()
    page = client(shelf, queue=queue)
    assert page.get("/tanren/api/state").json()["queue"] == {"is_paused": True}
    assert page.post("/tanren/api/queue/start", json={}).status_code == 200
    assert not queue.paused


def test_without_a_webui_nothing_is_put_into_use(shelf, job):
    answer = client(shelf).post(f"/tanren/api/jobs/{job.id}/use", json={"file": "x.safetensors"})
    assert answer.status_code == 400
    assert answer.json()["problem"]["what"] == "The job has no such file (any more)."


def test_a_file_is_copied_to_the_folder_that_the_user_names(shelf, job, tmp_path):
    weights = write_lora(tmp_path / "moon.safetensors", {})
    tell(job, {"kind": "saved", "file": str(weights), "step": 1, "epoch": 1})
    address, chosen = f"/tanren/api/jobs/{job.id}/use", tmp_path / "new" / "LoRAs 学習"
    page = client(shelf)

    answer = page.post(address, json={"file": "moon.safetensors", "folder": f'"{chosen}"'}).json()
    refused = page.post(address, json={"file": "moon.safetensors", "folder": "https://example.org/x"}).json()

    assert answer["path"] == str(chosen / "moon.safetensors")
    assert (chosen / "moon.safetensors").read_bytes() == weights.read_bytes()
    assert refused["problem"]["where"] == "folder"
    assert "it is an address, not a path" in refused["problem"]["why"] + refused["problem"]["what"]


def test_a_file_is_copied_only_into_folders_that_are_allowed(shelf, job, tmp_path):
    weights = write_lora(tmp_path / "moon.safetensors", {})
    tell(job, {"kind": "saved", "file": str(weights), "step": 1, "epoch": 1})
    allowed = tmp_path / "allowed"
    desk = Desk(Standalone(shelf.data_dir, allowed=[allowed]), shelf, Guard(Access(is_public=False)))
    for folder in (tmp_path / "other", allowed / ".." / "other"):
        with pytest.raises(UsageError, match="outside"):
            answers.use(desk, job.id, {"file": "moon.safetensors", "folder": str(folder)})
    assert not (tmp_path / "other").exists()
    assert answers.use(desk, job.id, {"file": "moon.safetensors", "folder": str(allowed / "in")})["name"] == "moon"


def test_a_deleted_job_is_listed_put_back_and_removed_for_good(shelf, job):
    page = client(shelf)
    assert page.get("/tanren/api/jobs").json()["deleted"] == 0
    assert page.post(f"/tanren/api/jobs/{job.id}/delete", json={}).json() == {"ok": True, "job": None}
    assert page.get("/tanren/api/jobs").json() == {"jobs": [], "deleted": 1}
    (listed,) = page.get("/tanren/api/trash").json()["jobs"]
    assert (listed["id"], listed["name"], listed["bytes"] > 0) == (job.id, "学習 データ", True)

    assert page.post(f"/tanren/api/trash/{job.id}/put_back", json={}).json() == {"ok": True, "left": None}
    assert [one["id"] for one in page.get("/tanren/api/jobs").json()["jobs"]] == [job.id]
    assert page.post(f"/tanren/api/trash/{job.id}/put_back", json={}).status_code == 404

    (shelf.get(job.id).folder / "my notes.txt").write_text("mine")
    page.post(f"/tanren/api/jobs/{job.id}/delete", json={})
    gone = page.post(f"/tanren/api/trash/{job.id}/remove", json={}).json()
    assert gone == {"ok": True, "left": str(shelf.trash / job.id)}
    assert [path.name for path in (shelf.trash / job.id).iterdir()] == ["my notes.txt"]
    assert page.get("/tanren/api/trash").json() == {"jobs": []}


def test_the_cache_is_told_and_emptied(shelf):
    page = client(shelf)
    assert page.get("/tanren/api/cache").json() == {"bytes": 0}
    (shelf.data_dir / "cache").mkdir(parents=True)
    (shelf.data_dir / "cache" / "latents.pack").write_bytes(b"x" * 100)

    assert page.get("/tanren/api/cache").json() == {"bytes": 100}
    assert page.post("/tanren/api/cache/empty", json={}).json() == {"ok": True, "freed": 100, "bytes": 0}


# Who is let in


def every_route(job_id):
    gets = [
        "state",
        "words",
        "jobs",
        f"jobs/{job_id}",
        f"jobs/{job_id}/log",
        f"jobs/{job_id}/sample/a.png",
        "environment",
        "trash",
        "cache",
        "x",
    ]
    posts = [f"jobs/{job_id}/{action}" for action in (*answers.ACTIONS, "use", "try")]
    posts += [f"environment/{word}" for word in answers.ENVIRONMENT_WORDS] + ["queue/start"]
    posts += [f"trash/{job_id}/{action}" for action in storage_answers.TRASH_ACTIONS] + ["cache/empty"]
    return [("GET", path) for path in gets] + [("POST", path) for path in posts]


def ask(page, method, path, **headers):
    return page.request(method, f"/tanren/api/{path}", headers=headers, json={} if method == "POST" else None)


def test_a_public_server_shows_but_changes_nothing(shelf, job):
    page = client(shelf, PUBLIC)
    for method, path in every_route(job.id):
        answer = ask(page, method, path)
        assert (answer.status_code == 403) is (method == "POST"), path
        if method == "POST":
            assert answer.json()["problem"]["why"] == "Others may be able to reach this page: --listen is set."
    assert shelf.get(job.id).state == "draft"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"host": "evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "null"},
    ],
)
def test_no_route_answers_foreign_pages(shelf, job, headers):
    page = client(shelf)
    for method, path in every_route(job.id):
        assert ask(page, method, path, **headers).status_code == 403, path
    assert shelf.get(job.id).state == "draft"


def test_no_route_answers_without_the_token(shelf, job):
    page = client(shelf, Access(is_public=True, is_opted_in=True), TokenLogin("0123456789abcdef"))
    for method, path in every_route(job.id):
        assert ask(page, method, path).status_code == 401, path
    assert ask(page, "GET", "jobs", authorization="Bearer 0123456789abcdef").status_code == 200


def test_changes_come_as_small_json_objects(shelf, job):
    page, path = client(shelf), f"/tanren/api/jobs/{job.id}/submit"

    def send(content, kind="application/json"):
        answer = page.post(path, content=content, headers={"content-type": kind})
        return answer.status_code, answer.json()["problem"]["what"]

    assert send(b"{}", "text/plain") == (415, "Changes are asked for in JSON.")
    assert send(b"{}", "application/x-www-form-urlencoded")[0] == 415
    assert send(b"[1]") == (400, "The request is not a JSON object.")
    assert send(b"{") == (400, "The request is not valid JSON.")
    assert send(b'{"a": NaN}')[0] == 400
    assert send(b"[" * 100_000)[0] == 400
    assert send(b"\xff\xfe")[0] == 400
    assert send(b" " * (BODY_BYTES + 1)) == (413, "The request is larger than 1024 KiB.")
    # Without a length nothing is known before it is read.
    assert send(iter([b" " * BODY_BYTES, b"  "])) == (413, "The request is larger than 1024 KiB.")
    assert shelf.get(job.id).state == "draft"


# No text becomes a path


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_names_reach_nothing(shelf, job, payload):
    sample(job)
    page = client(shelf)
    paths = [
        f"jobs/{payload}",
        f"jobs/{payload}/log",
        f"jobs/{payload}/sample/e1.png",
        f"jobs/{job.id}/sample/{payload}",
    ]
    paths += [f"../static/{payload}", f"jobs/{job.id}/{payload}", payload]
    for path in paths:
        answer = page.get(f"/tanren/api/{path}")
        assert answer.status_code in (200, 404, 400, 405), path
        assert b"TOP-SECRET" not in answer.content
        assert b"root:" not in answer.content
        assert b'"command"' not in answer.content or payload == ".."
        assert "x-injected" not in answer.headers
    for path in (
        f"jobs/{payload}/stop",
        f"jobs/{payload}/delete",
        f"jobs/{job.id}/{payload}",
        f"environment/{payload}",
        f"trash/{payload}/put_back",
        f"trash/{payload}/remove",
        f"trash/{job.id}/{payload}",
    ):
        assert page.post(f"/tanren/api/{path}", json={}).status_code in (404, 405), path
    for name in ("use", "try"):
        answer = page.post(f"/tanren/api/jobs/{job.id}/{name}", json={"file": payload, "preview": payload})
        assert answer.status_code == 400, payload
    assert (shelf.data_dir.parent / "secret.txt").read_text("utf-8") == "TOP-SECRET"
    assert shelf.get(job.id).state == "draft"


# Faults and secrets


def test_a_fault_of_ours_is_a_sentence_and_goes_to_the_log(shelf, caplog):
    class Broken(Shelf):
        def all(self):
            raise ZeroDivisionError("hf_0123456789abcdef0123")

    answer = client(Broken(shelf.data_dir)).get("/tanren/api/jobs")
    assert (answer.status_code, answer.json()["problem"]["code"]) == (500, 1)
    assert answer.json()["problem"]["what"] == "Tanren itself failed at this."
    assert "hf_0123" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_secrets_do_not_come_back_in_problems(shelf, job):
    answer = client(shelf).post(
        f"/tanren/api/jobs/{job.id}/retry", json={"changes": {"token=hf_0123456789abcdef0123": 1}}
    )
    assert answer.status_code == 400
    assert "hf_0123456789abcdef0123" not in answer.text


def test_a_name_on_disk_that_is_no_text_does_not_break_the_list(shelf, job):
    assert routes._json({"name": "a\udc80b"}).body == b'{"name":"a\\udc80b"}'


# Beside the host


def test_after_reload_the_routes_are_there_once_and_the_hosts_own_stay(shelf):
    page = client(shelf)
    app = page.app
    desk = Desk(Standalone(shelf.data_dir), shelf, Guard(Access(is_public=False)))
    routes.install(app, desk)
    routes.install(app, desk)
    assert [item.name for item in app.router.routes if isinstance(item, Mount)] == ["tanren"]
    assert page.get("/").text == "host"


def test_slow_files_do_not_hold_up_others(shelf):
    started, goes_on = threading.Event(), threading.Event()

    class Slow(Shelf):
        def all(self):
            started.set()
            goes_on.wait(10)
            return []

    page = client(Slow(shelf.data_dir))
    with page:
        waiting = threading.Thread(target=page.get, args=("/tanren/api/jobs",))
        waiting.start()
        assert started.wait(5)
        assert page.get("/tanren/api/words?language=en").status_code == 200
        goes_on.set()
        waiting.join()


def test_pictures_are_checked_by_what_they_hold_not_by_their_name(shelf, job):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "WEBP")
    sample(job).write_bytes(buffer.getvalue())
    answer = client(shelf).get(f"/tanren/api/jobs/{job.id}/sample/e1.png")
    assert answer.headers["content-type"] == "image/webp"


def test_a_retry_is_refused_for_what_its_changes_make_wrong(shelf, job):
    page, path = client(shelf), f"/tanren/api/jobs/{job.id}/retry"
    answer = page.post(path, json={"changes": {"network_dim": 0}})
    assert answer.status_code == 400
    assert answer.json()["problem"]["where"] == "network_dim"
    assert page.post(path, json={"changes": [1]}).json()["problem"]["where"] == "changes"
    assert [made.id for made in shelf.all()] == [job.id]


def test_where_others_come_in_a_retry_keeps_to_the_allowed_folders(shelf, job, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    desk = Desk(
        Standalone(shelf.data_dir, Access(is_public=True, is_opted_in=True), allowed=[shelf.data_dir]),
        shelf,
        Guard(Access(is_public=True, is_opted_in=True)),
    )
    app = Starlette()
    routes.install(app, desk)
    answer = TestClient(app, base_url=BASE).post(
        f"/tanren/api/jobs/{job.id}/retry", json={"changes": {"train_data_dir": str(outside)}}
    )
    assert answer.status_code == 400
    assert "lies outside of the folders that may be used here" in answer.text
    assert [made.id for made in shelf.all()] == [job.id]
