"""A change of a file together with what lies beside it: one plan, one backup, one undo."""

from __future__ import annotations

import json

import pytest
from network_files import SD1_LORA, payload_of, write_network
from PIL import Image
from tanren.errors import ModelFileError, UsageError
from tanren.formats.safetensors_header import read_header
from tanren.library.backups import undo
from tanren.library.change import Wanted, apply, mark_of, planned
from tanren.library.edit import Change, Difference
from tanren.library.preview import preview_bytes

META = {"ss_output_name": "cat", "ss_v2": "False", "ss_base_model_version": "sd_v1"}


@pytest.fixture
def path(tmp_path):
    return write_network(tmp_path / "猫 cat.safetensors", SD1_LORA, META)


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def picture(path, colour):
    Image.new("RGB", (8, 8), colour).save(path)
    return path


def test_file_sidecar_and_picture_are_changed_and_brought_back_together(path, data, tmp_path):
    sidecar, preview = path.with_suffix(".json"), picture(path.with_suffix(".jpg"), "red")
    sidecar.write_text('{"description": "old", "more": [1]}', "utf-8")
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir() if one.is_file()}
    fresh = preview_bytes(picture(tmp_path / "blue.bmp.png", "blue"))
    (tmp_path / "blue.bmp.png").unlink()

    done = apply(path, Wanted(Change({"modelspec.author": "me"}), {"description": "new"}, fresh), data)

    assert done.inside == (Difference("modelspec.author", None, "me"),)
    assert done.beside == (Difference("description", "old", "new"),)
    assert json.loads(sidecar.read_text("utf-8")) == {"description": "new", "more": [1]}
    assert (path.with_name("猫 cat.preview.png").read_bytes(), preview.exists()) == (fresh, False)

    undo(path, data)

    assert {one.name: one.read_bytes() for one in tmp_path.iterdir() if one.is_file()} == before


def test_undo_takes_away_a_sidecar_and_a_picture_that_were_not_there(path, data, tmp_path):
    fresh = preview_bytes(picture(tmp_path / "blue.png", "blue"))
    whole = path.read_bytes()

    apply(path, Wanted(beside={"activation text": "sks"}, preview=fresh), data)
    assert (path.with_suffix(".json").is_file(), path.with_name("猫 cat.preview.png").is_file()) == (True, True)
    undo(path, data)

    assert (path.with_suffix(".json").exists(), path.with_name("猫 cat.preview.png").exists()) == (False, False)
    assert path.read_bytes() == whole


def test_a_sidecar_alone_is_written_without_touching_the_file(path, data):
    before = mark_of(path).stamp

    apply(path, Wanted(beside={"preferred weight": "0.8"}), data)

    assert mark_of(path).stamp == before
    assert json.loads(path.with_suffix(".json").read_text("utf-8")) == {"preferred weight": 0.8}


def test_a_change_that_changes_nothing_leaves_no_trace(path, data):
    path.with_suffix(".json").write_text('{"notes": "a"}', "utf-8")

    assert apply(path, Wanted(Change({"ss_output_name": "cat"}), {"notes": "a"}), data).is_empty
    assert not data.exists()


@pytest.mark.parametrize("changed", ["file", "sidecar"])
def test_a_file_that_somebody_changed_meanwhile_is_not_written(path, data, changed):
    mark = str(mark_of(path))
    if changed == "file":
        write_network(path, SD1_LORA, {"ss_output_name": "another one"})
    else:
        path.with_suffix(".json").write_text('{"notes": "by somebody else"}', "utf-8")
    whole = path.read_bytes()

    with pytest.raises(ModelFileError, match="has changed since it was looked at"):
        apply(path, Wanted(Change({"modelspec.author": "me"}), {"notes": "mine"}), data, mark=mark)
    assert path.read_bytes() == whole


def test_a_wrong_value_beside_keeps_the_file_as_it_was(path, data):
    whole = path.read_bytes()

    with pytest.raises(UsageError, match="is no weight"):
        apply(path, Wanted(Change({"modelspec.author": "me"}), {"preferred weight": "much"}), data)
    assert path.read_bytes() == whole


def test_a_damaged_sidecar_is_not_overwritten(path, data):
    path.with_suffix(".json").write_text("{half", "utf-8")

    with pytest.raises(UsageError, match="unreadable"):
        apply(path, Wanted(beside={"notes": "mine"}), data)
    assert path.with_suffix(".json").read_text("utf-8") == "{half"


def test_a_scrub_and_an_edit_go_together_and_tensors_stay(tmp_path, data):
    path = write_network(tmp_path / "a.safetensors", SD1_LORA, {**META, "ss_vae_name": "/home/hanako/vae.pt"})
    payload = payload_of(path)

    plan = planned(path, Wanted(Change({"modelspec.author": "H"}), scrub=True))
    apply(path, Wanted(Change({"modelspec.author": "H"}), scrub=True), data)

    assert (plan.users, [one.key for one in plan.inside]) == (("hanako",), ["ss_vae_name", "modelspec.author"])
    assert read_header(path).metadata == {**META, "ss_vae_name": "vae.pt", "modelspec.author": "H"}
    assert payload_of(path) == payload


def test_a_backup_leads_to_no_other_file(path, data):
    apply(path, Wanted(beside={"notes": "a"}), data)
    (backup,) = (data / "backups").glob("*.json")
    content = json.loads(backup.read_text("utf-8"))
    content["beside"] = {"preview": {"before": None, "kept": "../../secret.png", "written": "../secret.png"}}
    backup.write_text(json.dumps(content), "utf-8")
    secret = picture(path.parent.parent / "secret.png", "red")

    undo(path, data)

    assert secret.is_file()
