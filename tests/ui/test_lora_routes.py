"""The routes of the LoRA files' page: what is told, what is changed, and who may ask for it."""

from __future__ import annotations

import base64
import io
import json
import sys
import time

import pytest

pytest.importorskip("starlette.testclient")
pytest.importorskip("httpx")

from network_files import SD1_LORA, payload_of, write_network
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tanren.formats.safetensors_header import read_header
from tanren.jobs.shelf import Shelf
from tanren.library.cover import cover_values
from tanren.ui import routes
from tanren.ui.access import Access
from tanren.ui.answers import Desk
from tanren.ui.exchange import import_text
from tanren.ui.guard import Guard
from tanren.ui.host_standalone import Standalone

BASE = "http://127.0.0.1:7870"
PUBLIC = Access(is_public=True, why="--listen is set", opt_in="Start it with --token.")
META = {
    "ss_output_name": "cat",
    "ss_base_model_version": "sd_v1",
    "ss_v2": "False",
    "ss_learning_rate": "0.0001",
    "ss_sd_model_name": "/home/hanako/anime.safetensors",
    "ss_tag_frequency": json.dumps({"10_cat": {"cat": 9, "solo": 4}, "1_dog": {"solo": 3}}),
    "modelspec.description": "old",
}


@pytest.fixture
def path(tmp_path):
    return write_network(tmp_path / "猫 cat.safetensors", SD1_LORA, META)


@pytest.fixture
def around(tmp_path):
    return Standalone(tmp_path / "data")


def client(around, access=None):
    access = access or around.access
    desk = Desk(around, Shelf(around.data_dir), Guard(access))
    app = Starlette()
    routes.install(app, desk)
    return TestClient(app, base_url=BASE)


@pytest.fixture
def page(around):
    return client(around)


def get(page, question, path, **more):
    return page.get(f"/tanren/api/lora/{question}", params={"path": str(path), **more})


def post(page, action, path, **more):
    return page.post(f"/tanren/api/lora/{action}", json={"path": str(path), **more})


# What is told


def test_a_file_is_told_with_kind_facts_tags_and_what_lies_beside_it(page, path):
    path.with_suffix(".json").write_text('{"activation text": "sks", "preferred weight": 0.8}', "utf-8")

    told = get(page, "file", path).json()

    assert (told["name"], told["alias"], told["family"], told["family_source"]) == (
        "猫 cat.safetensors",
        "cat",
        "Stable Diffusion 1",
        "derived",
    )
    assert told["triggers"] == [{"words": "sks", "source": "activation text of the WebUI", "is_guess": False}]
    assert told["tags"][0] == {"folder": "10_cat", "pictures": None, "count": 2, "tags": [["cat", 9], ["solo", 4]]}
    rows = {row["title"]: row["text"] for group in told["facts"] for row in group["rows"]}
    assert (rows["Learning rate"], rows["Stable Diffusion 2"]) == ("0.0001", "no")
    assert [one["title"] for one in told["beside"]["shown"]] == ["Trigger words", "Preferred weight"]
    assert told["can_undo"] is False


def test_facts_and_reasons_come_in_the_language_of_the_page(path, tmp_path):
    path.with_suffix(".json").write_text("{half", "utf-8")

    told = get(client(Standalone(tmp_path / "data", language="ja_JP")), "file", path).json()

    rows = {row["key"]: (row["title"], row["text"]) for group in told["facts"] for row in group["rows"]}
    assert (rows["ss_learning_rate"], rows["ss_v2"]) == (("学習率", "0.0001"), ("Stable Diffusion 2", "いいえ"))
    assert told["warnings"] == ["猫 cat.json を読み込めません。"]


def test_raw_metadata_come_as_they_are(page, path):
    assert get(page, "raw", path).json()["metadata"] == META


def test_pictures_are_encoded_anew(page, tmp_path):
    Image.new("RGB", (30, 20), "red").save(tmp_path / "red.jpg")
    path = write_network(tmp_path / "a.safetensors", SD1_LORA, cover_values(tmp_path / "red.jpg"))
    (tmp_path / "red.jpg").rename(tmp_path / "a.preview.jpg")

    for which in ("cover", "preview"):
        answer = get(page, "picture", path, which=which)
        assert (answer.headers["content-type"], Image.open(io.BytesIO(answer.content)).size) == ("image/png", (30, 20))


def test_a_file_without_a_picture_says_so(page, path):
    assert get(page, "picture", path, which="cover").json()["problem"]["what"] == "There is no cover in this file."
    assert "no picture beside" in get(page, "picture", path, which="preview").json()["problem"]["what"]


def test_hashes_are_computed_and_held_against_those_that_are_stored(page, tmp_path):
    path = write_network(tmp_path / "a.safetensors", SD1_LORA, {"sshs_model_hash": "0" * 64})

    told = get(page, "hashes", path).json()

    assert told["auto_v3"] == told["tensors"][:12].upper()
    assert "sshs_model_hash is 0000000000000000…, but the tensors have" in told["problems"][0]


def test_two_files_are_compared(page, path, tmp_path):
    other = write_network(tmp_path / "b.safetensors", SD1_LORA, {**META, "ss_learning_rate": "0.001"})

    told = page.get("/tanren/api/lora/compare", params={"first": str(path), "second": str(other)}).json()

    assert told["settings"] == [
        {"key": "ss_learning_rate", "title": "Learning rate", "first": "0.0001", "second": "0.001"}
    ]
    assert (told["tags"], told["tag_count"], told["kinds"]) == ([], 0, [])


def test_settings_to_train_again_are_taken_over_by_the_form_with_what_no_file_remembers(page, path):
    told = get(page, "again", path).json()

    imported = import_text("train_network", told["text"], "The text")

    assert imported.title == "Settings of a LoRA file"
    assert imported.options["learning_rate"] == 0.0001
    assert imported.notes == told["unknown"]
    assert "The captions: only how often each tag occurs." in told["unknown"]


def test_settings_of_a_leco_go_into_its_own_form_with_its_prompts(page, tmp_path):
    pair = {"target": "girl", "positive": "girl, long hair", "action": "enhance", "resolution_hw": [512, 512]}
    meta = {"ss_leco_prompt_count": "3", "ss_leco_preview": json.dumps([pair]), "ss_learning_rate": "0.001"}
    told = get(page, "again", write_network(tmp_path / "slider.safetensors", SD1_LORA, meta)).json()

    imported = import_text("train_leco", told["text"], "The text")

    assert told["command"] == "train_leco"
    assert imported.options["prompts_file"] == {
        "prompts": [{"target": "girl", "positive": "girl, long hair", "action": "enhance", "resolution": 512}]
    }
    assert 'target = "girl"' in next(one["value"] for one in told["options"] if one["name"] == "prompts_file")
    assert told["unknown"][0] == "Further prompts: there were 3, the file tells the first 1."


def test_the_base_model_is_found_by_its_hash_whatever_it_is_called(path, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    (models / "renamed.safetensors").write_bytes(bytes(0x120000))
    (models / "anime.safetensors").write_bytes(bytes([1]) * 0x120000)
    meta = {**META, "ss_sd_model_hash": "de2f256064a0"[:8]}
    write_network(path, SD1_LORA, meta)
    around = Standalone(tmp_path / "data", settings={"models_dir": str(models)})

    told = get(client(around), "again", path).json()

    assert {"name": "pretrained_model_name_or_path", "value": str(models / "renamed.safetensors")}.items() <= next(
        one for one in told["options"] if one["name"] == "pretrained_model_name_or_path"
    ).items()
    assert told["base"] == "Base model found on this machine: renamed.safetensors; it has the same hash."


def test_what_cannot_be_trained_is_said(page, tmp_path):
    shapes = {"lllite_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q.down.0.weight": (16, 320)}
    path = write_network(tmp_path / "a.safetensors", shapes, {})

    assert "no trainer here makes such files" in get(page, "again", path).json()["problem"]["what"]


# What is changed


def test_an_edit_is_planned_written_and_undone(page, path):
    before, payload = path.read_bytes(), payload_of(path)
    asked = {"set": {"modelspec.description": "new"}, "unset": ["ss_learning_rate"], "beside": {"description": "new"}}
    mark = get(page, "file", path).json()["mark"]

    planned = post(page, "edit", path, **asked, dry_run=True).json()
    assert path.read_bytes() == before
    assert planned["inside"] == [
        {"key": "ss_learning_rate", "title": "Learning rate", "before": "0.0001", "after": None},
        {"key": "modelspec.description", "title": "Description", "before": "old", "after": "new"},
    ]
    assert planned["beside"] == [{"key": "description", "title": "Description", "before": None, "after": "new"}]
    assert planned["hashes"][1].startswith("Stays: the tensor hash")

    written = post(page, "edit", path, **asked, mark=mark).json()
    assert (written["is_written"], written["file"]["can_undo"]) == (True, True)
    assert read_header(path).metadata["modelspec.description"] == "new"
    assert payload_of(path) == payload
    assert json.loads(path.with_suffix(".json").read_text("utf-8")) == {"description": "new"}

    assert post(page, "undo", path).json()["file"]["can_undo"] is False
    assert path.read_bytes() == before
    assert not path.with_suffix(".json").exists()


def test_a_file_that_was_changed_meanwhile_is_not_written(page, path):
    mark = get(page, "file", path).json()["mark"]
    write_network(path, SD1_LORA, {"ss_output_name": "by somebody else"})

    answer = post(page, "edit", path, set={"modelspec.author": "me"}, mark=mark)

    assert (answer.status_code, answer.json()["problem"]["what"]) == (
        400,
        "The file has changed since it was looked at.",
    )
    assert read_header(path).metadata == {"ss_output_name": "by somebody else"}


def test_keys_that_hosts_need_are_lost_only_when_that_is_meant(page, path):
    refused = post(page, "edit", path, unset=["ss_v2"], dry_run=True)
    allowed = post(page, "edit", path, unset=["ss_v2"], may_lose_family=True, dry_run=True)

    assert "Hosts file the LoRA by these keys" in refused.json()["problem"]["what"]
    assert [one["key"] for one in allowed.json()["inside"]] == ["ss_v2"]
    assert get(page, "file", path).json()["family_keys"] == ["ss_base_model_version", "ss_v2"]


def test_private_words_are_shown_before_they_go(page, path):
    planned = post(page, "edit", path, scrub=True, dry_run=True).json()

    assert planned["users"] == ["hanako"]
    assert planned["folders"][0] == {"before": "10_cat", "after": "10_folder 1"}
    assert {"key": "ss_sd_model_name", "title": "Base model"}.items() <= planned["inside"][0].items()


def test_cover_and_card_picture_come_from_the_page(page, path):
    picture = io.BytesIO()
    Image.new("RGB", (9, 9), "blue").save(picture, "JPEG")
    data = base64.b64encode(picture.getvalue()).decode()

    post(page, "edit", path, cover=data, preview=data)

    assert read_header(path).metadata["modelspec.thumbnail"].startswith("data:image/jpeg;base64,")
    assert Image.open(path.with_name("猫 cat.preview.png")).size == (9, 9)


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"set": {"a": 1}}, "It is not a list of fields with their texts."),
        ({"unset": "a"}, "It is not a list of names."),
        ({"beside": ["a"]}, "It is not a list of fields with their values."),
        ({"cover": "???"}, "This is no picture."),
        ({"cover": "AAAA"}, "The cover cannot be used: it is no picture that can be decoded (UnidentifiedImageError)."),
        ({"set": {"ssmd_rating": "five"}}, "'five' is no rating."),
        ({"beside": {"preferred weight": "much"}}, "'much' is no weight."),
        ({"set": {"sshs_model_hash": "x"}}, "These are hashes of the tensors and cannot be edited."),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_written(page, path, asked, what):
    whole = path.read_bytes()

    assert post(page, "edit", path, **asked).json()["problem"]["what"] == what
    assert path.read_bytes() == whole


def test_undo_without_an_edit_says_that_there_is_nothing(page, path):
    assert post(page, "undo", path).json()["problem"]["fix"] == "Nothing to undo."


# Dropped files


def dropped(page, path, size=None):
    whole = path.read_bytes()
    header = whole[: 8 + int.from_bytes(whole[:8], "little")]
    body = {"name": path.name, "size": size or len(whole), "header": base64.b64encode(header).decode()}
    return page.post("/tanren/api/lora/dropped", json=body)


def test_a_dropped_file_is_shown_from_its_header_alone(page, path):
    told = dropped(page, path).json()

    assert (told["path"], told["alias"], told["family"], told["name"]) == (None, "cat", "Stable Diffusion 1", path.name)


def test_a_dropped_file_that_lies_among_the_loras_is_opened_there(path, tmp_path):
    around = Standalone(tmp_path / "data", settings={"lora_dir": str(tmp_path)})

    assert dropped(client(around), path).json()["path"] == str(path)


def test_a_dropped_file_that_is_cut_off_is_refused(page, path):
    answer = dropped(page, path, size=path.stat().st_size - 1)

    assert "It is cut off" in answer.json()["problem"]["what"]


# Norms


def test_norms_are_computed_in_a_process_of_the_trainer(page, path):
    pytest.importorskip("torch")
    assert get(page, "norms", path).json() == {"state": "none"}

    told = post(page, "norms/start", path).json()
    until = time.monotonic() + 300
    while told["state"] == "running" and time.monotonic() < until:
        time.sleep(0.1)
        told = get(page, "norms", path).json()

    assert (told["state"], told["problem"]) == ("done", "")
    assert {block["part"] for block in told["blocks"]} == {"unet", "te"}
    assert (told["done"], told["total"]) == (2, 2)


def test_a_computation_is_cancelled(page, path, monkeypatch, tmp_path):
    endless = tmp_path / "endless.py"
    endless.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n", "utf-8")
    endless.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(endless))

    assert post(page, "norms/start", path).json()["state"] == "running"
    post(page, "norms/cancel", path)
    until = time.monotonic() + 60
    while get(page, "norms", path).json()["state"] == "running" and time.monotonic() < until:
        time.sleep(0.05)

    assert get(page, "norms", path).json() == {"state": "ended", "done": 0, "total": 0, "blocks": None, "problem": ""}


# Who may ask


@pytest.mark.parametrize("action", ["edit", "undo", "dropped", "norms/start", "norms/cancel"])
def test_nothing_is_changed_where_others_can_reach_the_page(around, path, action):
    answer = post(client(around, PUBLIC), action, path, set={"ss_output_name": "x"})

    assert answer.status_code == 403
    assert read_header(path).metadata == META


@pytest.mark.parametrize("question", ["file", "raw", "picture", "hashes", "again", "norms"])
def test_files_outside_of_the_allowed_folders_are_not_looked_at(path, tmp_path, question):
    around = Standalone(tmp_path / "data", PUBLIC, allowed=[tmp_path / "loras"])

    answer = get(client(around, PUBLIC), question, path)

    assert answer.status_code == 400
    assert "hanako" not in answer.text


@pytest.mark.parametrize("text", ["", "../cat.safetensors", "http://x/a.safetensors", "a\0.safetensors", "/etc/passwd"])
def test_what_is_no_model_file_is_refused(page, text):
    assert get(page, "file", text).status_code == 400


def test_a_foreign_page_cannot_ask(page, path):
    answer = page.get(
        "/tanren/api/lora/file", params={"path": str(path)}, headers={"Origin": "http://evil.example", "Host": BASE[7:]}
    )

    assert answer.status_code == 403
