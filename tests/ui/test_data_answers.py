"""The routes of pictures and captions, asked as the page asks them."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import sys
import threading
import time
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest

pytest.importorskip("starlette.testclient")
pytest.importorskip("httpx")

from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from story_folder import story_folder, tree_bytes
from tanren.formats.toml_file import parse_toml
from tanren.jobs.shelf import Shelf
from tanren.preparation.overview import Survey
from tanren.ui import data_answers, data_change_answers, data_folder, routes
from tanren.ui.access import Access
from tanren.ui.answers import Desk
from tanren.ui.data_answers import folders_of
from tanren.ui.data_tools import all_groups
from tanren.ui.data_work import Workbench
from tanren.ui.environment_job import TrainerSetup
from tanren.ui.guard import Guard
from tanren.ui.host_standalone import Standalone
from tanren.ui.static_files import StaticFiles

# Seconds; a machine that is busy with other tests may take its time.
PATIENCE = 300
PUBLIC = Access(is_public=True, why="--listen is set", opt_in="Start it with --token.")


class Page:
    """What the page script does: asks, sends, waits."""

    def __init__(self, client, folder):
        self.client, self.folder = client, folder

    def ask(self, what, **more):
        return self.client.get(f"/tanren/api/data/{what}?" + urlencode({"folder": str(self.folder), **more}))

    def told(self, what, **more):
        answer = self.ask(what, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, what, **body):
        return self.client.post(f"/tanren/api/data/{what}", json={"folder": str(self.folder), **body})

    def rows(self, **filter_):
        found = self.told("rows", filter=json.dumps(filter_), offset=0, count=100)
        assert found["total"] == len(found["rows"])
        return [row["name"] for row in found["rows"]]

    def row(self, name):
        return next(row for row in self.told("rows", offset=0, count=100)["rows"] if row["name"] == name)

    def whole(self, **more):
        """The overview, once all pictures were looked into."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = self.told("overview", **more)
            if found["progress"]["phase"] == "done" and found["is_settled"]:
                return found
            time.sleep(0.05)
        raise AssertionError(found)

    def do(self, tool, **values):
        answer = self.send("apply", tool=tool, values=values)
        assert answer.status_code == 200, answer.text
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            state = self.told("work")
            if not state["is_working"]:
                return state
            time.sleep(0.05)
        raise AssertionError(state)


@pytest.fixture
def folder(tmp_path):
    return story_folder(tmp_path / "pictures")


@pytest.fixture
def opened(tmp_path, folder, monkeypatch):
    """A page on the folder, as the program's first one; `access` for others."""
    bench = Workbench()
    monkeypatch.setattr(data_change_answers, "workbench", lambda: bench)

    def open_page(access=None, data="data", setup=None, allowed=()):
        folders_of.cache_clear()
        around = Standalone(tmp_path / data, allowed=allowed)
        desk = Desk(around, Shelf(around.data_dir), Guard(access or around.access), setup=setup)
        app = Starlette()
        routes.install(app, desk, StaticFiles({}))
        return Page(TestClient(app, base_url="http://127.0.0.1"), folder)

    return open_page


@pytest.fixture
def page(opened):
    return opened()


@pytest.fixture
def looked(unchanged):
    """A page on a folder that was read completely, for tests that only look."""
    unchanged.whole()
    return unchanged


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory):
    place = tmp_path_factory.mktemp("looked")
    around = Standalone(place / "data")
    app = Starlette()
    routes.install(app, Desk(around, Shelf(around.data_dir), Guard(around.access)), StaticFiles({}))
    return Page(TestClient(app, base_url="http://127.0.0.1"), story_folder(place / "pictures"))


def test_overview_counts_what_the_story_folder_holds(page, folder):
    before = tree_bytes(folder)
    found = page.whole()

    assert found["understood"] == "12 pictures in the folder itself."
    assert found["captions"] == "12 pictures, captions found: 11 of 12 (.txt 10, .caption 1)"
    assert {one["flag"]: one["count"] for one in found["flags"]} == {
        "missing": 1,
        "unusable": 1,
        "tiny": 1,
        "alike": 2,
        "transparent": 1,
        "rotated": 1,
        "encoding": 1,
        "lines": 1,
        "long": 1,
        "enlarged": 11,
    }
    assert [part["name"] for part in found["other_parts"]] == ["3_sks girl"]
    assert tree_bytes(folder) == before


@pytest.mark.parametrize(
    ("flag", "names"),
    [
        ("missing", ["11.png"]),
        ("no_caption", ["11.png"]),
        ("unusable", ["07 broken.jpg"]),
        ("tiny", ["08 tiny.png"]),
        ("alike", ["09 twin a.png", "09 twin b.jpg"]),
        ("transparent", ["06 透明.png"]),
        ("rotated", ["10 turned.jpg"]),
        ("encoding", ["02.jpg"]),
        ("lines", ["04.bmp"]),
        ("long", ["08 tiny.png"]),
    ],
)
def test_each_mark_shows_its_pictures(looked, flag, names):
    assert looked.rows(flag=flag) == names


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("hat", ["09 twin a.png", "09 twin b.jpg"]),
        ("sks -hat -red name:0", ["02.jpg", "03.webp", "04.bmp", "05 [five].PNG", "07 broken.jpg", "08 tiny.png",
                                  "10 turned.jpg"]),
        ("hat or solo", ["06 透明.png", "09 twin a.png", "09 twin b.jpg"]),
        ("sks girl and (red* or blue*)", ["01.png", "03.webp"]),
        ("桜色", ["02.jpg"]),
    ],
)  # fmt: skip
def test_words_find_captions(looked, words, names):
    assert looked.rows(words=words) == names


def test_a_filter_that_cannot_be_read_says_where(looked):
    answer = looked.ask("rows", filter=json.dumps({"words": "hat and ("}), offset=0, count=10)

    assert answer.status_code == 400
    assert answer.json()["problem"]["what"].startswith("The filter cannot be understood:")


def test_a_trigger_word_is_counted_and_what_lacks_it_is_shown(looked):
    view = json.dumps({"trigger": "sks girl"})
    found = looked.whole(view=view)

    assert found["trigger"] == "“sks girl” is in 10 of 11 captions, and begins 9 of them."
    rows = looked.told("rows", view=view, filter=json.dumps({"flag": "no_trigger"}), offset=0, count=10)["rows"]
    assert [row["name"] for row in rows] == ["06 透明.png"]


def test_the_crop_of_a_row_is_the_one_training_makes(looked):
    row = looked.row("04.bmp")

    # 512x288 goes to the bucket 640x384 of 512x512 pixels: 683x384, of which the middle 640 are seen.
    assert row["crop"]["bucket"] == [640, 384]
    assert row["crop"]["box"] == pytest.approx([21 / 683, 0, 661 / 683, 1], abs=1e-5)
    assert row["facts"] == ["512×288", "BMP", "trained at 640×384", "6% cut off"]


def test_tags_are_counted_among_the_pictures_that_are_shown(looked):
    assert looked.told("tags")["tags"][:2] == [["sks girl", 10], ["hat", 2]]
    assert looked.told("tags", filter=json.dumps({"tag": ["hat"]}))["tags"] == [["hat", 2], ["sks girl", 2]]


def test_a_caption_is_read_saved_and_undone_byte_by_byte(page, folder):
    before = tree_bytes(folder)
    page.whole()
    row = page.row("02.jpg")
    detail = page.told("one", path=row["path"])

    saved = page.send("caption", path=row["path"], text="sks girl, 桜", stamp=detail["stamp"])

    assert detail["text"] == "sks girl, 桜色の髪, 笑顔"
    assert saved.json()["row"]["caption"] == "sks girl, 桜"
    assert (folder / "02.txt").read_bytes() == "sks girl, 桜".encode()
    assert [one["title"] for one in page.told("history")["operations"]] == ["caption of 02.jpg"]
    assert page.send("undo").status_code == 200
    assert tree_bytes(folder) == before


def test_two_pages_do_not_overwrite_each_other(page, folder):
    page.whole()
    row = page.row("01.png")
    stamp = page.told("one", path=row["path"])["stamp"]
    (folder / "01.txt").write_text("from elsewhere", "utf-8")

    answer = page.send("caption", path=row["path"], text="mine", stamp=stamp)

    assert answer.status_code == 422
    assert answer.json()["problem"]["what"] == "This caption was changed meanwhile by another program or page."
    assert (folder / "01.txt").read_text("utf-8") == "from elsewhere"


def test_a_preview_touches_nothing_and_the_tool_does_what_it_showed(page, folder):
    before = tree_bytes(folder)
    page.whole()
    asked = {"tool": "find", "values": {"old": "sks girl", "new": "sks woman"}}
    shown = page.send("preview", **asked).json()

    assert (shown["count"], shown["changes"][0]) == (
        10,
        {"name": "01.txt", "before": "sks girl, red hair, smile", "after": "sks woman, red hair, smile"},
    )
    assert tree_bytes(folder) == before
    assert page.do("find", old="sks girl", new="sks woman")["said"] == "10 captions were written."
    assert (folder / "01.txt").read_bytes() == b"sks woman, red hair, smile"
    assert not (folder / "11.txt").exists()


def test_after_a_change_the_page_is_told_that_its_numbers_will_follow(page, folder, monkeypatch):
    before, may_read = page.whole()["version"], threading.Event()
    monkeypatch.setattr(
        data_folder, "time", SimpleNamespace(sleep=lambda _: may_read.wait(PATIENCE), monotonic=time.monotonic)
    )
    page.do("add", tags="here")
    assert not page.told("overview")["is_settled"]

    may_read.set()
    assert page.whole()["version"] > before
    assert page.row("01.png")["caption"].endswith(", here")


def test_what_is_done_to_all_pictures_waits_until_all_are_known(page, folder, monkeypatch):
    may_read, rows = threading.Event(), Survey.rows

    def slow_rows(survey):
        for number, row in enumerate(rows(survey)):
            if number == 3:
                may_read.wait(PATIENCE)
            yield row

    monkeypatch.setattr(Survey, "rows", slow_rows)
    monkeypatch.setattr(data_answers, "ALL_SECONDS", 0.1)
    before = tree_bytes(folder)
    refused = page.send("apply", tool="add", values={"tags": "here"}).json()["problem"]
    assert (refused["what"], tree_bytes(folder)) == ("The folder is still being read.", before)

    monkeypatch.setattr(data_answers, "ALL_SECONDS", PATIENCE)
    threading.Timer(0.2, may_read.set).start()
    page.do("add", tags="here")
    texts = [path.read_text("utf-8", "replace") for path in folder.glob("*.txt")]
    assert len(texts) == 10 and all(", here" in text for text in texts if text.strip())


def test_a_page_that_may_look_into_one_folder_knows_nothing_of_changes_beside_it(opened, folder, tmp_path):
    everywhere = opened()
    beside = folder.parent / "secret"
    beside.mkdir()
    Image.new("RGB", (64, 64)).save(beside / "private.png")
    other_page = Page(everywhere.client, beside)
    for page, tool, values in ((other_page, "same", {"text": "private"}), (everywhere, "add", {"tags": "here"})):
        page.whole()
        page.do(tool, **values)
    numbers = {one["title"]: one["number"] for one in everywhere.told("history")["operations"]}
    assert len(numbers) == 2

    here = opened(allowed=[folder])
    assert [one["number"] for one in here.told("history")["operations"]] == [numbers["Add tags"]]
    (other,) = set(numbers.values()) - {numbers["Add tags"]}
    for what in ("undo", "redo", "forget"):
        answer = here.send(what, number=other)
        assert answer.json()["problem"]["what"] == "There is no operation of this number."
    assert (beside / "private.txt").read_bytes() == b"private"
    assert here.send("undo").json()["files"] > 0
    assert here.send("undo").json()["problem"]["what"] == "There is nothing to undo."
    assert (beside / "private.txt").read_bytes() == b"private"


def test_undo_and_redo_work_after_a_restart(opened, folder):
    before = tree_bytes(folder)
    page = opened()
    page.whole()
    page.do("trigger", trigger="sks girl", creates=True)
    changed = tree_bytes(folder)
    page = opened()

    assert (folder / "11.txt").read_bytes() == b"sks girl"
    assert page.send("undo").status_code == 200
    assert tree_bytes(folder) == before
    assert page.told("history")["operations"][0]["state"] == "is undone"
    assert page.send("redo").status_code == 200
    assert tree_bytes(folder) == changed


def test_one_change_is_redone_by_its_number_and_another_is_forgotten(page, folder):
    before = tree_bytes(folder)
    page.whole()
    page.do("add", tags="one")
    page.do("add", tags="two")
    later, earlier = page.told("history")["operations"]
    for one in (later, earlier):
        assert page.send("undo", number=one["number"]).status_code == 200
    assert [one["can_redo"] for one in page.told("history")["operations"]] == [True, True]
    assert page.send("redo", number=earlier["number"]).status_code == 200
    assert (folder / "01.txt").read_text("utf-8").endswith("smile, one")

    assert page.send("forget", number=earlier["number"]).json()["bytes"] > 0
    assert [one["number"] for one in page.told("history")["operations"]] == [later["number"]]
    assert page.send("undo", number=earlier["number"]).status_code == 400
    assert tree_bytes(folder) != before
    assert page.send("forget", number=99).json()["problem"]["what"] == "There is no operation of this number."
    assert page.send("forget").json()["problem"]["what"] == "This is not a whole number."


def test_undo_is_refused_where_a_file_was_changed_since_and_can_leave_it(page, folder):
    page.whole()
    page.do("remove", tags="sks girl")
    (folder / "01.txt").write_text("by hand", "utf-8")

    refused = page.send("undo")

    assert refused.json()["problem"]["code"] == 8
    assert page.send("undo", leave_changed=True).json()["left"] == [str(folder / "01.txt")]
    assert (folder / "01.txt").read_text("utf-8") == "by hand"
    assert (folder / "03.txt").read_bytes() == b"\xef\xbb\xbfsks girl, blue eyes"


def test_only_the_pictures_that_are_shown_are_changed(page, folder):
    page.whole()
    before = tree_bytes(folder)
    answer = page.send("apply", tool="add", values={"tags": "cute"}, filter={"flag": "alike"})

    assert answer.status_code == 200
    page.whole()
    deadline = time.monotonic() + PATIENCE
    while page.told("work")["is_working"] and time.monotonic() < deadline:
        time.sleep(0.05)
    changed = {name for name, content in tree_bytes(folder).items() if before.get(name) != content}
    assert changed == {"09 twin a.txt", "09 twin b.txt"}


def test_filling_leaves_captions_that_say_something(page, folder):
    page.whole()
    before = tree_bytes(folder)

    assert page.do("same", text="a girl", mode="fill")["said"] == "1 caption was written."
    after = tree_bytes(folder)
    assert after.pop("11.txt") == b"a girl"
    assert after == before


@pytest.mark.parametrize(
    ("tool", "values", "what"),
    [
        ("add", {"tags": " "}, "This is empty."),
        ("sort", {"keep": "two"}, "This is not a number."),
        ("sort", {"keep": 101}, "101 is out of range."),
        ("add", {"tags": "a", "place": "above"}, "'above' is not one of the choices."),
        ("burn", {}, "There is no such tool."),
        ("find", {"old": "(", "is_pattern": True}, "This is no regular expression: "),
        ("find", {"old": "nowhere to be found"}, "Nothing would change."),
    ],
)
def test_odd_requests_are_refused_with_a_sentence(looked, tool, values, what):
    answer = looked.send("apply", tool=tool, values=values)

    assert answer.status_code in (400, 422)
    assert answer.json()["problem"]["what"].startswith(what)


def test_captions_are_changed_also_while_there_is_no_environment_and_tools_that_need_one_say_so(
    opened, folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("TANREN_VENV", str(tmp_path / "no environment"))
    page = opened(setup=TrainerSetup(Standalone(tmp_path / "data")))
    page.whole()

    assert page.do("same", text="a girl", mode="fill")["said"] == "1 caption was written."
    needs = page.told("needs")
    assert (needs["lacks"], needs["environment"]["state"]) == (["trainer", "tagging"], "missing")
    refused = page.send("apply", tool="tag", values={"model": "a/b"})
    assert refused.json()["problem"]["what"] == "The trainer's environment is not there yet."


def test_where_the_page_runs_in_the_trainers_environment_only_onnxruntime_can_be_missing(looked):
    needs = looked.told("needs")

    assert needs["lacks"] == ([] if importlib.util.find_spec("onnxruntime") else ["tagging"])


@pytest.mark.parametrize(
    ("python", "command"),
    [
        (r"C:\鍛錬\.venv\Scripts\python.exe", r"C:\鍛錬\.venv\Scripts\python.exe -m pip install onnxruntime"),
        (r"C:\My Pictures\python.exe", r'"C:\My Pictures\python.exe" -m pip install onnxruntime'),
        (r"C:\a&b\python.exe", r'"C:\a&b\python.exe" -m pip install onnxruntime'),
    ],
)
def test_the_command_that_installs_onnxruntime_has_quotes_only_where_they_are_needed(
    looked, monkeypatch, python, command
):
    monkeypatch.setattr(sys, "executable", python)

    assert looked.told("needs")["command"] == command


def test_folders_of_earlier_looks_and_of_trainings_can_be_chosen(opened, folder, tmp_path):
    page = opened()
    assert page.told("folders") == {"folders": []}
    other, control = folder / "3_sks girl", tmp_path / "控え"
    control.mkdir()
    for wanted in (folder, other, tmp_path / "gone", folder):
        page.folder = wanted
        page.ask("overview")
    shelf = Shelf(tmp_path / "data")
    dataset = {"datasets": [{"subsets": [{"image_dir": str(folder), "conditioning_data_dir": str(control)}]}]}
    shelf.submit("train_network", {"dataset_config": dataset}, name="a", request_id="a")
    shelf.submit("train_network", {"train_data_dir": str(folder.parent)}, name="b", request_id="b")

    assert page.told("folders")["folders"] == [str(folder), str(other), str(folder.parent), str(control)]
    # Also for a program that is started later; on a page that others can reach they are nobody's business.
    assert opened().told("folders")["folders"][0] == str(folder)
    assert opened(PUBLIC).told("folders") == {"folders": []}


def test_captions_are_read_in_the_encoding_that_is_chosen_and_written_from_it(page, folder):
    (folder / "11.txt").write_bytes("까치".encode("cp949"))
    before = tree_bytes(folder)
    told = page.whole()["encodings"]
    assert told["sentence"] == (
        "2 captions are not in UTF-8, which training refuses. Read as: Shift-JIS (1), CP949 (1)"
    )
    assert (told["choice"], told["choices"][:2]) == ("auto", [["auto", "guessed file by file"], ["cp932", "Shift-JIS"]])

    chosen = json.dumps({"encoding": "gbk"})
    told = page.whole(view=chosen)["encodings"]
    assert (told["choice"], "Read as: GBK (" in told["sentence"]) == ("gbk", True)
    row = next(row for row in page.told("rows", view=chosen, offset=0, count=99)["rows"] if row["name"] == "11.png")
    assert (
        row["caption"]
        == page.told("one", view=chosen, path=row["path"])["text"]
        == "까치".encode("cp949").decode("gbk")
    )

    korean = json.dumps({"encoding": "CP949"})
    page.whole(view=korean)
    only = json.dumps({"paths": [row["path"]]})
    shown = page.send("preview", tool="utf8", values={}, view=korean, filter=only).json()
    assert [(one["name"], one["after"]) for one in shown["changes"]] == [("11.txt", "까치")]
    assert tree_bytes(folder) == before
    assert page.send("apply", tool="utf8", values={}, view=korean, filter=only).status_code == 200
    deadline = time.monotonic() + PATIENCE
    while (folder / "11.txt").read_bytes() != "까치".encode() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (folder / "11.txt").read_bytes() == "까치".encode()
    refused = page.ask("overview", view=json.dumps({"encoding": "klingon"}))
    assert refused.json()["problem"]["what"] == "There is no such encoding."


def test_what_is_called_small_and_alike_can_be_set(looked):
    def counts(**view):
        found = looked.whole(view=json.dumps(view))
        return {one["flag"]: (one["label"], one["count"]) for one in found["flags"] if one["flag"] in ("tiny", "alike")}

    assert counts() == {"tiny": ("Smaller than 256 pixels", 1), "alike": ("The same or look alike", 2)}
    assert counts(tiny=320)["tiny"] == ("Smaller than 320 pixels", 5)
    assert counts(near=64)["alike"][1] > 2
    assert looked.ask("overview", view=json.dumps({"near": 65})).json()["problem"]["what"] == (
        "It has to be a whole number from 0 to 64."
    )


def test_which_of_two_kinds_of_captions_is_read_can_be_chosen(page, folder):
    (folder / "01.caption").write_text("the other one", "utf-8")
    assert page.whole()["suffixes"] == {
        "choice": "",
        "choices": [["", "what the folder uses most"], [".txt", ".txt"], [".caption", ".caption"]],
    }
    view = json.dumps({"suffix": ".caption"})
    page.whole(view=view)
    rows = page.told("rows", view=view, offset=0, count=1)["rows"]

    assert (rows[0]["caption"], page.row("01.png")["caption"]) == ("the other one", "sks girl, red hair, smile")
    page.send(
        "caption",
        view=view,
        path=rows[0]["path"],
        text="new",
        stamp=page.told("one", view=view, path=rows[0]["path"])["stamp"],
    )
    assert (folder / "01.caption").read_bytes() == b"new"
    assert page.ask("overview", view=json.dumps({"suffix": ".exe"})).status_code == 400


def test_pictures_come_small_and_upright_and_only_pictures_come(page, folder):
    answer = page.client.get("/tanren/api/data/picture", params={"path": str(folder / "10 turned.jpg"), "side": 160})
    image = Image.open(io.BytesIO(answer.content))

    # Stored as 400x300 with orientation 6.
    assert (answer.headers["content-type"], image.size) == ("image/jpeg", (120, 160))
    see_through = page.client.get("/tanren/api/data/picture", params={"path": str(folder / "06 透明.png"), "side": 160})
    assert Image.open(io.BytesIO(see_through.content)).mode == "RGBA"
    for name, status in (("07 broken.jpg", 422), ("01.txt", 400), ("../nothing.png", 400)):
        refused = page.client.get("/tanren/api/data/picture", params={"path": str(folder / name), "side": 160})
        assert refused.status_code == status, name


def test_a_public_page_looks_within_its_folders_and_changes_nothing(opened, folder, tmp_path):
    before = tree_bytes(folder)
    page = opened(PUBLIC)
    answer = page.send("apply", tool="add", values={"tags": "x"})

    assert answer.status_code == 403
    assert tree_bytes(folder) == before


def test_a_folder_that_is_not_there_is_said(opened, tmp_path):
    page = opened()
    page.folder = tmp_path / "nowhere"

    assert page.ask("overview").json()["problem"]["what"].endswith("is not there.")
    page.folder = ""
    assert page.ask("overview").json()["problem"]["what"] == "No folder was named."


def test_every_tool_has_a_name_of_its_own():
    names = [tool.name for group in all_groups() for tool in group.tools]

    assert sorted(names) == sorted(set(names))


def test_copies_are_made_beside_the_pictures_and_undone(page, folder):
    before = tree_bytes(folder.parent)
    page.whole()
    state = page.do("resize", out="small", how="longest", size="64", format="png")

    made = sorted(path.name for path in (folder.parent / "small").glob("*.png"))
    assert state["said"] == f"11 pictures were made in {folder.parent / 'small'}."
    assert len(state["notes"]) == 1 and "07 broken.jpg" in state["notes"][0]
    assert made[:3] == ["01.png", "02.png", "03.png"]
    assert Image.open(folder.parent / "small" / "02.png").size == (64, 48)
    assert (folder.parent / "small" / "02.txt").read_bytes() == (folder / "02.txt").read_bytes()
    (operation, *_) = page.told("history")["operations"]
    assert (operation["title"], operation["place"]) == ("resized pictures", "small")
    assert page.send("undo").status_code == 200
    assert tree_bytes(folder.parent) == before


def test_what_a_tool_makes_of_a_picture_is_shown_before_anything_is_written(looked):
    answer = looked.told("sample", tool="lines", values=json.dumps({"strength": 20, "out": ""}))

    assert answer["path"].endswith("01.png")
    image = Image.open(io.BytesIO(base64.b64decode(answer["after"].partition(",")[2])))
    assert (image.size, image.mode, image.getextrema()) == ((320, 320), "L", (0, 255))


def test_pairs_that_do_not_fit_are_named(page, folder):
    controls = folder.parent / "controls"
    controls.mkdir()
    Image.new("L", (320, 320)).save(controls / "01.png")
    Image.new("L", (32, 64)).save(controls / "02.png")
    Image.new("L", (32, 64)).save(controls / "left over.png")
    page.whole()

    notes = page.send("preview", tool="pairs", values={"others": str(controls)}).json()["notes"]

    assert notes[0] == "2 of 12 pictures have a partner."
    assert notes[1].startswith("10 without a partner: 03.webp, 04.bmp")
    assert notes[2:] == ["1 partners without a picture: left over.png", "1 partners of another shape: 02.png"]


def test_a_folder_with_repeats_is_laid_out_and_a_dataset_file_written(page, folder):
    page.whole()

    page.do("layout", out="training", repeats=3, name="sks girl")
    page.do("dataset", file="mine", size="768", batch=2)

    assert (folder.parent / "training" / "3_sks girl" / "10 turned.caption").exists()
    written = parse_toml((folder.parent / "mine.toml").read_text("utf-8"), "mine.toml")
    assert written["datasets"][0]["resolution"] == [768, 768]
    assert written["datasets"][0]["subsets"][0]["image_dir"] == str(folder)


def test_transparent_pictures_are_drawn_for_regularization_by_the_trainers_process(page, folder):
    page.whole()
    state = page.do("class", out="reg", **{"class": "girl"}, count=2, transparent=True, size="64")

    assert (state["problem"], state["said"]) == (None, "2 written, 0 left as they are, 0 failed.")
    names = sorted(path.name for path in (folder.parent / "reg" / "1_girl").glob("*.png"))
    assert names == ["girl_0000000000.png", "girl_0000000001.png"]
    assert page.send("undo").status_code == 200
    assert not list((folder.parent / "reg").rglob("*.png"))


def test_a_model_is_tried_on_one_picture_and_nothing_is_written(page, folder, tmp_path):
    pytest.importorskip("onnxruntime")
    from onnx_models import write_first_colour, write_tagger

    tagger, model = write_tagger(tmp_path / "tagger"), write_first_colour(tmp_path / "u2net.onnx")
    page.whole()
    before = tree_bytes(tmp_path / "pictures")

    def tried(tool, **values):
        answer = page.send("try", tool=tool, values=values, path=str(folder / "03.webp"))
        assert answer.status_code == 200, answer.text
        deadline = time.monotonic() + PATIENCE
        while (state := page.told("work"))["is_working"] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert state["said"] == "This is what would be made of 03.webp. Nothing was written.", state
        return state["trial"]

    # It has a caption, which would be left as it is.
    trial = tried("tag", model=str(tagger), mode="fill", general=0.05)
    assert (trial["name"], trial["made"], len(trial["texts"])) == ("03.webp", [], 1)
    assert trial["texts"][0].startswith("03.webp: ")
    trial = tried("cut_out", model=str(model))
    image = Image.open(io.BytesIO(base64.b64decode(trial["made"][0].partition(",")[2])))
    assert (image.size, image.mode, trial["texts"]) == ((300, 400), "RGBA", [])
    assert tree_bytes(tmp_path / "pictures") == before
    assert page.told("history")["operations"] == []
    refused = page.send("try", tool="add", values={"tags": "a"})
    assert refused.json()["problem"]["what"] == "There is no picture to try it on."


def test_a_model_that_is_not_there_is_said_with_what_helps(page):
    page.whole()
    state = page.do("tag", model="/nowhere/tagger", download=False)

    assert state["problem"]["what"]
    assert state["problem"]["fix"]


def test_captions_go_into_a_metadata_file_and_come_back_from_it(page, folder):
    page.whole()
    before = tree_bytes(folder)
    values, alike = json.dumps({"as_tags": True, "sizes": True}), json.dumps({"flag": "alike"})
    answer = page.ask("table", tool="into_table", values=values, filter=alike)
    assert answer.headers["content-disposition"] == 'attachment; filename="captions.json"'
    assert answer.json() == {
        "09 twin a.png": {"tags": "sks girl, hat", "image_size": [384, 384]},
        "09 twin b.jpg": {"tags": "sks girl, hat, hat", "image_size": [352, 352]},
    }

    assert page.do("into_table", file="all", sizes=False)["said"] == f"Written: {folder.parent / 'all.json'}"
    table = json.loads((folder.parent / "all.json").read_text("utf-8"))
    assert table["02.jpg"] == {"caption": "sks girl, 桜色の髪, 笑顔"}
    table = {"01.png": {**table["01.png"], "caption": "new one"}, "gone.png": {"caption": "nobody"}}
    shown = page.send("preview", tool="table", values={"table": json.dumps(table), "mode": "replace"}).json()
    assert [(one["name"], one["after"]) for one in shown["changes"]] == [("01.txt", "new one")]
    assert shown["notes"] == ["1 entry is about no picture here: gone.png"]
    assert tree_bytes(folder) == before
    (folder.parent / "lines.jsonl").write_text('{"image_path": "11.png", "caption": "from a line"}\n', "utf-8")
    page.do("table", table=str(folder.parent / "lines.jsonl"), mode="fill")
    assert (folder / "11.txt").read_bytes() == b"from a line"
    page.do("table", table='{"image_path": "11", "caption": "a"}\n{"image_path": "nobody"}', mode="replace")
    assert (folder / "11.txt").read_bytes() == b"a"
    assert [page.send("undo").status_code for _ in range(3)] == [200, 200, 200]
    assert tree_bytes(folder) == before


def test_a_metadata_file_may_be_larger_than_other_requests(page):
    page.whole()
    table = json.dumps({f"n{number}.png": {"caption": "x" * 100} for number in range(20_000)})

    answer = page.send("preview", tool="table", values={"table": table, "mode": "fill"})
    assert (answer.status_code, answer.json()["count"]) == (200, 0)
    refused = page.send("caption", path="a.png", text="x" * 2_000_000, stamp="")
    assert (refused.status_code, refused.json()["problem"]["what"]) == (413, "The request is larger than 1024 KiB.")


@pytest.mark.parametrize(
    "table",
    [
        '{"image_path": "11.png", "caption": "of one line"}',
        '{"11.png": {"caption": "of one line"}}',
        '{"11.png":\n{"caption": "of one line"}}',
        '{"image_path": "11.png", "caption": "of one line"}\n{"image_path": "11b.png", "caption": "x"}',
    ],
)
def test_a_metadata_file_is_read_as_lines_or_as_one_object_by_what_it_holds(looked, table):
    shown = looked.send("preview", tool="table", values={"table": table, "mode": "replace"}).json()

    assert [(one["name"], one["after"]) for one in shown["changes"]] == [("11.txt", "of one line")]


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ("{", "Line 1 is not JSON"),
        ('{"a.png": 1}', "'a.png': expected an object with caption and tags."),
        ("[]", "A metadata file holds one object: picture to its caption and tags."),
        ('[\n {"image_path": "a.png"}\n]', "A metadata file holds one object: picture to its caption and tags."),
        ("image,caption\na.png,hat", "Line 1 is not JSON"),
        ("/nowhere/captions.json", "is not there"),
    ],
)
def test_a_metadata_file_that_is_none_is_said(looked, table, what):
    answer = looked.send("preview", tool="table", values={"table": table, "mode": "fill"})

    assert what in answer.json()["problem"]["what"]
