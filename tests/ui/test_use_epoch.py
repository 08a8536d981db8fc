"""A chosen epoch lands in the LoRA folder with everything its card needs, and nothing that was there is lost."""

from __future__ import annotations

import json

import pytest
from PIL import Image, PngImagePlugin
from tanren.errors import DataError, ModelFileError, UsageError
from tanren.formats.safetensors_header import header_bytes, lay_out
from tanren.ui.host import detect
from tanren.ui.host_standalone import Standalone
from tanren.ui.use_epoch import Card, card_beside, prompt_for, use_epoch
from ui.host_stand_in.host_modules import FLAVOURS, running

SD1 = {"ss_v2": "False", "ss_base_model_version": "sd_v1", "modelspec.architecture": "stable-diffusion-v1/lora"}


def write_lora(path, metadata):
    entries = lay_out([("lora_unet_mid_block.lora_down.weight", "F16", (4, 8))])
    path.write_bytes(header_bytes(metadata, entries) + bytes(64))
    return path


@pytest.fixture(params=FLAVOURS)
def flavour(request):
    return request.param


@pytest.fixture
def host(flavour, tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running(flavour, tmp_path / "webui", None) as stand_in:
        yield stand_in


@pytest.fixture
def epoch(tmp_path):
    return write_lora(tmp_path / "moon-000004.safetensors", metadata=SD1)


@pytest.fixture
def sample(tmp_path):
    picture = Image.new("RGBA", (1600, 800), (200, 30, 30, 255))
    notes = PngImagePlugin.PngInfo()
    notes.add_text("parameters", "/home/somebody/secret")
    picture.save(tmp_path / "sample.png", pnginfo=notes)
    return tmp_path / "sample.png"


def test_the_file_its_preview_and_its_card_lie_in_the_lora_folder(host, epoch, sample):
    used = use_epoch(detect(), epoch, name="moon", card=Card("mymoon", 0.7, "four epochs"), preview=sample)

    assert used.path == host.lora_dir / "moon.safetensors"
    assert used.path.read_bytes() == epoch.read_bytes()
    assert json.loads((host.lora_dir / "moon.json").read_text("utf-8")) == {
        "activation text": "mymoon",
        "preferred weight": 0.7,
        "sd version": "SD1",
        "description": "four epochs",
    }
    with Image.open(host.lora_dir / "moon.preview.png") as preview:
        assert (preview.format, preview.mode, preview.size, preview.info) == ("PNG", "RGB", (1024, 512), {})


def test_without_a_name_the_copy_is_called_like_the_epoch(host, epoch):
    assert use_epoch(detect(), epoch).name == "moon-000004"


def test_the_webui_lists_the_file_and_looks_at_side_data_anew(host, epoch):
    use_epoch(detect(), epoch, name="moon")

    assert list(host["networks"].available_networks) == ["moon"]
    assert host["modules.ui_extra_networks"].extra_pages[1].lister.resets == 1


def test_a_name_that_is_taken_gets_a_number(host, epoch, tmp_path):
    write_lora(host.lora_dir / "moon.safetensors", metadata={"ss_v2": "True"})
    before = (host.lora_dir / "moon.safetensors").read_bytes()

    assert use_epoch(detect(), epoch, name="moon").name == "moon-2"
    other = write_lora(tmp_path / "other.safetensors", metadata={"ss_v2": "False"})
    assert use_epoch(detect(), other, name="moon").name == "moon-3"
    assert (host.lora_dir / "moon.safetensors").read_bytes() == before


def test_a_preview_that_a_lost_file_left_behind_is_not_written_over(host, epoch, sample):
    (host.lora_dir / "moon.preview.png").write_bytes(b"somebody's picture")

    assert use_epoch(detect(), epoch, name="moon", preview=sample).name == "moon-2"
    assert (host.lora_dir / "moon.preview.png").read_bytes() == b"somebody's picture"


def test_the_same_file_twice_is_there_once_and_its_card_keeps_what_others_wrote(host, epoch):
    use_epoch(detect(), epoch, name="moon", card=Card("mymoon", 0.7, "mine"))
    side = host.lora_dir / "moon.json"
    side.write_text(json.dumps({**json.loads(side.read_text()), "notes": "good hands", "negative text": "sun"}))

    used = use_epoch(detect(), epoch, name="moon", card=Card("mymoon", 0.9))

    assert (used.name, used.was_there) == ("moon", True)
    assert json.loads(side.read_text()) == {
        "activation text": "mymoon",
        "preferred weight": 0.9,
        "sd version": "SD1",
        "description": "mine",
        "notes": "good hands",
        "negative text": "sun",
    }
    assert sorted(path.name for path in host.lora_dir.iterdir()) == ["moon.json", "moon.safetensors"]


@pytest.mark.parametrize("name", ["../moon", "a/b", "CON", "moon?", "mo\x00on"])
def test_a_name_that_is_no_file_name_is_refused(host, epoch, name):
    with pytest.raises(UsageError) as refused:
        use_epoch(detect(), epoch, name=name)

    assert refused.value.where == "name"
    assert list(host.lora_dir.iterdir()) == []


def test_an_epoch_that_is_gone_is_named(host, tmp_path):
    with pytest.raises(ModelFileError) as refused:
        use_epoch(detect(), tmp_path / "gone.safetensors")

    assert refused.value.what == "gone.safetensors is not there any more."


def test_an_epoch_in_diffusers_layout_is_refused(host, tmp_path):
    path = tmp_path / "moon" / "pytorch_lora_weights.safetensors"
    path.parent.mkdir()
    path.write_bytes(header_bytes({}, lay_out([("unet.mid_block.lora_A.weight", "F16", (4, 8))])) + bytes(64))

    with pytest.raises(ModelFileError) as refused:
        use_epoch(detect(), path)

    assert refused.value.what == "moon is in diffusers' layout, which WebUIs do not read."
    assert list(host.lora_dir.iterdir()) == []


def test_a_preview_that_is_no_picture_stops_before_anything_is_written(host, epoch, tmp_path):
    (tmp_path / "sample.png").write_bytes(b"no picture")

    with pytest.raises(DataError) as refused:
        use_epoch(detect(), epoch, preview=tmp_path / "sample.png")

    assert refused.value.what == "sample.png cannot be read as a picture."
    assert list(host.lora_dir.iterdir()) == []


def test_a1111_forgets_weights_it_kept_under_this_name(tmp_path, monkeypatch, epoch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running("a1111", tmp_path / "webui", epoch) as host:
        host.load_for_picture()
        host["networks"].networks_in_memory.update({"moon": "old weights", "sun": "kept"})
        layer = host["modules.sd_models"].model_data.sd_model.layers[0]
        layer.network_current_names = (("moon", 1.0, 1.0, None),)

        use_epoch(detect(), epoch, name="moon")

        assert host["networks"].networks_in_memory == {"sun": "kept"}
        assert layer.network_current_names != (("moon", 1.0, 1.0, None),)


def test_forge_forgets_all_three_places_that_kept_this_path(tmp_path, monkeypatch, epoch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running("forge", tmp_path / "webui", epoch) as host:
        host.load_for_picture()
        model = host["modules.sd_models"].model_data.sd_model
        model.current_lora_hash = str([[str(host.lora_dir / "moon.safetensors"), 1.0, 1.0, False]])
        read = host["networks"].load_lora_state_dict
        read(str(epoch))

        use_epoch(detect(), epoch, name="moon")

        assert read.cache_info().currsize == 0
        assert model.current_lora_hash == "[]"
        assert model.forge_objects.unet.model.lora_loader.loaded_hash == "tanren"
        assert model.forge_objects.clip.patcher.model.lora_loader.loaded_hash == "tanren"


def test_the_prompt_to_try_it_names_the_file_its_weight_and_the_trigger(host, epoch):
    used = use_epoch(detect(), epoch, name="moon", card=Card("mymoon, night", 0.8))

    assert prompt_for(detect(), used.path) == "<lora:moon:0.8> mymoon, night"


def test_the_prompt_uses_the_alias_of_the_card_unless_two_files_share_it(host, epoch, tmp_path):
    host.aliases = {"moon-000004": "moon"}
    used = use_epoch(detect(), epoch)
    assert prompt_for(detect(), used.path) == "<lora:moon:0.8>"

    host.aliases["moon-000008"] = "moon"
    later = write_lora(tmp_path / "moon-000008.safetensors", metadata={"ss_v2": "False", "ss_epoch": "8"})
    used = use_epoch(detect(), later)
    assert prompt_for(detect(), used.path) == "<lora:moon-000008:0.8>"


def test_a_weight_of_zero_means_the_usual_one(host, epoch):
    used = use_epoch(detect(), epoch, card=Card(weight=0))

    assert card_beside(used.path).weight == 0.8


def test_standalone_copies_to_the_folder_that_was_chosen(tmp_path, epoch, sample):
    surroundings = Standalone(tmp_path / "data")

    used = use_epoch(surroundings, epoch, name="moon", preview=sample, folder=tmp_path / "LoRAs")

    assert sorted(path.name for path in (tmp_path / "LoRAs").iterdir()) == [
        "moon.json",
        "moon.preview.png",
        "moon.safetensors",
    ]
    assert prompt_for(surroundings, used.path, Card("mymoon")) == "<lora:moon:0.8> mymoon"


def test_standalone_without_a_folder_asks_for_one(tmp_path, epoch):
    with pytest.raises(UsageError) as refused:
        use_epoch(Standalone(tmp_path / "data"), epoch)

    assert refused.value.what == "Where LoRAs are used is not known here."
