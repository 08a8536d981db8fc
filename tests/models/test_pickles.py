"""Checkpoints in torch's own format."""

import collections
import datetime
import os
import pickle
import random
import sys
import types
import zipfile

import pytest
import torch
from tanren.errors import ModelFileError
from tanren.models.load import open_base
from tanren.models.pickles import read_pickle
from tanren.models.save import ldm_tensors, write_single_file
from tiny_models import tiny_parts

WEIGHTS = {"a": torch.arange(3.0), "b": torch.ones(2, 2).half()}


def same(found, wanted=WEIGHTS):
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        collections.OrderedDict(WEIGHTS),
        {"state_dict": WEIGHTS, "epoch": 3, "global_step": 875000},
        {"state_dict": {"state_dict": WEIGHTS}},
        {"state_dict": {**WEIGHTS, "version": 3}, "optimizer_states": [{"state": {0: torch.zeros(2)}}]},
    ],
)
def test_weights_are_found_at_every_level(tmp_path, content):
    torch.save(content, tmp_path / "a.ckpt")

    assert same(read_pickle(tmp_path / "a.ckpt"))


def test_settings_of_training_callbacks_do_not_matter(tmp_path):
    path = tmp_path / "old.ckpt"
    save_with_callback(path)

    assert "pytorch_lightning.callbacks.model_checkpoint" in zipfile.ZipFile(path).read("old/data.pkl").decode(
        "latin-1"
    )
    assert same(read_pickle(path))


def save_with_callback(path):
    """As Stable Diffusion 1.4 was published: the callback's class is the key of its settings."""
    names = ["pytorch_lightning", "pytorch_lightning.callbacks", "pytorch_lightning.callbacks.model_checkpoint"]
    callback = type("ModelCheckpoint", (), {"__module__": names[-1]})
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    sys.modules[names[-1]].ModelCheckpoint = callback
    try:
        torch.save({"callbacks": {callback: {"best_model_score": torch.tensor(1.0)}}, "state_dict": WEIGHTS}, path)
    finally:
        for name in names:
            del sys.modules[name]


class Evil:
    def __reduce__(self):
        return (os.system, ("touch was-run",))


@pytest.mark.rule("mdl-06")
@pytest.mark.parametrize(("content", "name"), [(Evil(), "posix.system"), (datetime.date(2024, 1, 1), "datetime.date")])
def test_whatever_is_not_plain_data_is_refused_and_named(tmp_path, monkeypatch, content, name):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": WEIGHTS, "extra": content}, tmp_path / "bad.ckpt")

    with pytest.raises(ModelFileError) as caught:
        read_pickle(tmp_path / "bad.ckpt")

    assert caught.value.what == "bad.ckpt was not opened."
    assert caught.value.why == f"It could run code: it holds {name}."
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.rule("mdl-06")
def test_files_that_are_not_zip_archives_are_refused(tmp_path):
    (tmp_path / "old.ckpt").write_bytes(pickle.dumps({"a": 1}))

    with pytest.raises(ModelFileError) as caught:
        open_base(str(tmp_path / "old.ckpt"))

    assert caught.value.what == ("old.ckpt is not a zip archive, so it is damaged or in torch's format of before 2020.")
    assert caught.value.fix.startswith("Convert it to .safetensors")


@pytest.mark.rule("mdl-06")
@pytest.mark.parametrize(
    ("members", "compression", "sentence"),
    [
        (["a/data.pkl", "a/readme.txt"], zipfile.ZIP_STORED, "a.ckpt is a zip archive, but not a checkpoint."),
        (["a/version"], zipfile.ZIP_STORED, "a.ckpt is a zip archive, but not a checkpoint."),
        (["a/data.pkl", "a/data/0"], zipfile.ZIP_DEFLATED, "a.ckpt was not opened."),
    ],
)
def test_other_zip_archives_are_refused(tmp_path, members, compression, sentence):
    with zipfile.ZipFile(tmp_path / "a.ckpt", "w", compression) as archive:
        for member in members:
            archive.writestr(member, bytes(10000))

    with pytest.raises(ModelFileError) as caught:
        read_pickle(tmp_path / "a.ckpt")

    assert caught.value.what == sentence


@pytest.mark.rule("mdl-06")
def test_a_cut_off_archive_is_refused(tmp_path):
    torch.save(WEIGHTS, tmp_path / "a.ckpt")
    (tmp_path / "a.ckpt").write_bytes((tmp_path / "a.ckpt").read_bytes()[:-300])

    with pytest.raises(ModelFileError, match="not a zip archive, so it is damaged"):
        read_pickle(tmp_path / "a.ckpt")


def test_a_list_instead_of_named_weights_is_refused(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "a.ckpt")

    with pytest.raises(ModelFileError, match="holds a list instead of named weights"):
        read_pickle(tmp_path / "a.ckpt")


def test_a_ckpt_is_taken_apart_like_a_safetensors_file(tmp_path):
    torch.save({"state_dict": ldm_tensors(tiny_parts()), "global_step": 1}, tmp_path / "model.ckpt")

    source = open_base(str(tmp_path / "model.ckpt"))

    assert source.kind.family == "sd1"
    assert torch.equal(source.unet.tensors["conv_in.bias"], tiny_parts().unet.conv_in.bias)


def test_a_safetensors_file_named_ckpt_is_read_as_what_it_is(tmp_path):
    path = write_single_file(tmp_path / "model.ckpt", tiny_parts(), dtype=torch.float16)

    assert open_base(str(path)).kind.family == "sd1"


@pytest.mark.rule("mdl-06")
def test_damaged_descriptions_always_end_in_a_message(tmp_path):
    torch.save({"state_dict": WEIGHTS, "epoch": 3}, tmp_path / "whole.ckpt")
    with zipfile.ZipFile(tmp_path / "whole.ckpt") as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    draws = random.Random(0)
    read = refused = 0
    for _ in range(300):
        path = tmp_path / "damaged.ckpt"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, damaged(content, draws) if name.endswith("data.pkl") else content)
        try:
            read_pickle(path)
            read += 1
        except ModelFileError:
            refused += 1

    assert read + refused == 300
    assert refused > 200


def damaged(content, draws):
    changed = bytearray(content)
    for _ in range(draws.randint(1, 3)):
        changed[draws.randrange(len(changed))] = draws.randrange(256)
    return bytes(changed)
