"""Editing metadata: what is written, what is refused, the way back, and that no tensor byte moves."""

from __future__ import annotations

import json
import os
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_files import SD1_LORA, payload_of, write_network
from tanren.errors import ModelFileError, ResumeError, UsageError
from tanren.formats.safetensors_header import read_header
from tanren.library.backups import backups_of, undo
from tanren.library.edit import Change, Difference, changed_metadata, edit_file, edit_files
from tanren.library.look import stamp_of
from tanren.library.sidecar import write_host_fields

META = {"ss_output_name": "cat", "ss_v2": "False", "ss_base_model_version": "sd_v1", "ss_tag_frequency": "[1,2"}
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
KEYS = st.text(string.ascii_letters + "_.猫😀 ", min_size=1, max_size=20).filter(
    lambda key: key not in ("ssmd_rating", "__metadata__")
)


def test_one_key_changes_and_everything_else_stays(tmp_path):
    path = write_network(tmp_path / "cat.safetensors", SD1_LORA, META)
    payload = payload_of(path)

    edited = edit_file(
        path, Change({"ss_output_name": "猫 😀", "modelspec.author": "me"}, ("none",)), tmp_path / "data"
    )

    assert edited.differences == (
        Difference("ss_output_name", "cat", "猫 😀"),
        Difference("modelspec.author", None, "me"),
    )
    assert read_header(path).metadata == {**META, "ss_output_name": "猫 😀", "modelspec.author": "me"}
    assert payload_of(path) == payload


def test_an_edit_that_changes_nothing_writes_nothing(tmp_path):
    path = write_network(tmp_path / "cat.safetensors", SD1_LORA, META)
    before = stamp_of(path)

    edited = edit_file(path, Change({"ss_output_name": "cat"}), tmp_path / "data")

    assert (edited.differences, edited.backup) == ((), None)
    assert stamp_of(path) == before
    assert not (tmp_path / "data").exists()


def test_edits_are_undone_one_after_the_other(tmp_path):
    path, data = write_network(tmp_path / "cat.safetensors", SD1_LORA, META), tmp_path / "data"
    original = path.read_bytes()
    edit_file(path, Change({"ss_output_name": "two"}), data)
    edit_file(path, Change({"ss_output_name": "three"}), data)

    undo(path, data)
    assert read_header(path).metadata["ss_output_name"] == "two"
    undo(path, data)

    assert path.read_bytes() == original
    with pytest.raises(UsageError, match="no earlier header"):
        undo(path, data)


def test_nothing_is_undone_on_other_tensors(tmp_path):
    path, data = write_network(tmp_path / "cat.safetensors", SD1_LORA, META), tmp_path / "data"
    edit_file(path, Change({"ss_output_name": "two"}), data)
    write_network(path, SD1_LORA, META, alpha=1.0)

    with pytest.raises(ResumeError, match="no longer those of the backup"):
        undo(path, data)


def test_damaged_backups_are_passed_over(tmp_path):
    path, data = write_network(tmp_path / "cat.safetensors", SD1_LORA, META), tmp_path / "data"
    edit_file(path, Change({"ss_output_name": "two"}), data)
    (kept,) = backups_of(path, data)
    for number, damage in enumerate(('{"path": 3}', "{", "[]", '{"schema": 9}')):
        name = kept.file.name[:-13] + f"{number:08}.json"
        kept.file.with_name(name).write_text(damage, "utf-8")

    assert backups_of(path, data) == [kept]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Change(unset=("ss_v2",)), "Hosts file the LoRA by these keys, so they are not taken out by accident."),
        (Change({"sshs_model_hash": "0"}), "These are hashes of the tensors and cannot be edited."),
        (Change(unset=("modelspec.hash_sha256",)), "These are hashes of the tensors and cannot be edited."),
        (Change({"": "x"}), "This is no name of a metadata field."),
        (Change({"__metadata__": "x"}), "This is no name of a metadata field."),
        (Change({"a\nb": "x"}), "This is no name of a metadata field."),
        (Change({"a": "\ud800"}), "The text holds half a character (a lone surrogate)."),
        (Change({"a": "x" * (8 * 2**20 + 1)}), "The value has 8388609 bytes; at most 8388608 can be stored."),
        (Change({"ssmd_rating": "eleven"}), "'eleven' is no rating."),
        (Change({"ssmd_rating": "11"}), "'11' is no rating."),
        (Change({"ss_tag_frequency": "[1,2"}), "The value is not a JSON object."),
        (Change({"ss_datasets": "{}"}), "The value is not a JSON list."),
    ],
)
def test_changes_that_cannot_be_meant_are_refused(change, message):
    with pytest.raises(UsageError) as refusal:
        changed_metadata(META, change)
    assert refusal.value.what == message


def test_family_keys_go_when_the_user_says_so():
    assert "ss_v2" not in changed_metadata(META, Change(unset=("ss_v2",), may_lose_family=True))
    assert changed_metadata(META, Change({"ss_v2": "True"}))["ss_v2"] == "True"


@pytest.mark.rule("mdl-04")
def test_saving_keeps_a_broken_value_as_it_was(tmp_path):
    path = write_network(tmp_path / "cat.safetensors", SD1_LORA, META)

    edit_file(path, Change({"ss_output_name": "x"}), tmp_path / "data")

    assert read_header(path).metadata["ss_tag_frequency"] == "[1,2"


@pytest.mark.rule("mdl-07")
def test_a_file_that_changed_since_it_was_looked_at_is_not_edited(tmp_path):
    path = write_network(tmp_path / "cat.safetensors", SD1_LORA, META)
    seen = stamp_of(path)
    write_network(path, SD1_LORA, {"ss_output_name": "somebody else's"})
    os.utime(path, ns=(1, 1))

    with pytest.raises(ModelFileError, match="has changed since it was looked at"):
        edit_file(path, Change({"ss_output_name": "mine"}), tmp_path / "data", stamp=seen)

    assert read_header(path).metadata == {"ss_output_name": "somebody else's"}
    assert not (tmp_path / "data").exists()


def test_many_files_are_checked_before_the_first_is_written(tmp_path):
    good = write_network(tmp_path / "a.safetensors", SD1_LORA, {"x": "1"})
    other = write_network(tmp_path / "b.safetensors", SD1_LORA, {**META})
    before = good.read_bytes()

    with pytest.raises(UsageError):
        edit_files([good, other], Change(unset=("x", "ss_v2")), tmp_path / "data")

    assert good.read_bytes() == before


def test_damaged_files_among_many_do_not_stop_the_others(tmp_path):
    good = write_network(tmp_path / "a.safetensors", SD1_LORA, META)
    bad = tmp_path / "b.safetensors"
    bad.write_bytes(b"nothing")

    done, refused = edit_files([bad, good], Change({"modelspec.author": "me"}), tmp_path / "data")

    assert [edited.path for edited in done] == [good]
    assert [problem.where for problem in refused] == [str(bad)]


def test_metadata_that_no_reader_takes_are_not_written(tmp_path):
    path = write_network(tmp_path / "a.safetensors", SD1_LORA, META)
    before = path.read_bytes()

    with pytest.raises(UsageError, match="at most 16777216 are read"):
        edit_file(path, Change(dict.fromkeys("abc", "x" * (6 * 2**20))), tmp_path / "data")

    assert path.read_bytes() == before


@settings(max_examples=60, deadline=None)
@given(metadata=st.dictionaries(KEYS, TEXTS, max_size=8), data=st.data())
def test_any_metadata_survive_an_edit_and_the_tensors_too(tmp_path_factory, metadata, data):
    folder = tmp_path_factory.mktemp("edit")
    path = write_network(folder / "x.safetensors", SD1_LORA, metadata)
    payload = payload_of(path)
    fresh = data.draw(st.dictionaries(KEYS.filter(lambda key: not key.startswith("ss")), TEXTS, max_size=4))
    gone = data.draw(st.lists(st.sampled_from(sorted(metadata)), max_size=2)) if metadata else []
    change = Change(fresh, tuple(gone), may_lose_family=True)

    edit_file(path, change, folder / "data")

    expected = {**{key: text for key, text in metadata.items() if key not in gone or key in fresh}, **fresh}
    assert read_header(path).metadata == expected
    assert list(read_header(path).metadata) == list(expected)
    assert payload_of(path) == payload


def test_a_value_of_a_megabyte_survives(tmp_path):
    path = write_network(tmp_path / "x.safetensors", SD1_LORA, META)
    long = "猫😀" * 150_000

    edit_file(path, Change({"modelspec.description": long}), tmp_path / "data")

    assert read_header(path).metadata["modelspec.description"] == long


def test_the_webuis_own_file_keeps_fields_it_was_not_asked_about(tmp_path):
    path = tmp_path / "cat.safetensors"
    (tmp_path / "cat.json").write_text('{"mine": [1], "notes": "old"}', "utf-8")

    write_host_fields(path, {"activation text": "猫", "preferred weight": "0.8", "notes": None})

    assert json.loads((tmp_path / "cat.json").read_text("utf-8")) == {
        "mine": [1],
        "activation text": "猫",
        "preferred weight": 0.8,
    }


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("preferred weight", "much", "is no weight"), ("notes", 3, "is not text"), ("notes", "\ud800", "is not text")],
)
def test_values_the_webui_could_not_read_are_refused(tmp_path, field, value, message):
    with pytest.raises(UsageError, match=message):
        write_host_fields(tmp_path / "cat.safetensors", {field: value})
    assert not list(Path(tmp_path).iterdir())


def test_a_damaged_file_of_the_webui_is_not_overwritten(tmp_path):
    (tmp_path / "cat.json").write_text("{", "utf-8")

    with pytest.raises(UsageError, match=r"cat\.json is unreadable"):
        write_host_fields(tmp_path / "cat.safetensors", {"notes": "x"})

    assert (tmp_path / "cat.json").read_text("utf-8") == "{"
