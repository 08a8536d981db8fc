"""SDXL in the train form: the base model decides what is trained, the form follows, and what was typed stays."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from model_files import FULL_WIDTH, SD1_SHAPES, SDXL_SHAPES, write_model
from PIL import Image
from tanren.errors import Problems
from tanren.jobs.shelf import Shelf
from tanren.ui import base_models
from tanren.ui.base_models import MICRO_SD
from tanren.ui.checking import check
from tanren.ui.context import Context
from tanren.ui.guard import Guard
from tanren.ui.host import DeviceFacts, HostCheckpoint
from tanren.ui.host_standalone import Standalone
from tanren.ui.presets import presets
from tanren.ui.settings_files import SHELL
from tanren.ui.train_form import BASE_MODEL, TrainForm
from tanren.ui.trainings import BASE_KIND, TRAININGS, all_fields

SD1_PRESET, SDXL_PRESET = "Character · 8 GB", "Character · SDXL, 8 GB"
GIB = 2**30


class OnCard(Standalone):
    """This machine, with a graphics card of some size, and a model in use with a VAE beside it."""

    def checkpoint(self):
        path = self.setting("in_use")
        return HostCheckpoint(Path(path), Path(path).name, Path(path).with_suffix(".vae.pt")) if path else None

    def device(self):
        return DeviceFacts("gpu", "a card", int(self.setting("card", 0) * GIB), int(self.setting("card", 0) * GIB))


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    write_model(folder / "anime.safetensors", SD1_SHAPES)
    write_model(folder / "tags.safetensors", SDXL_SHAPES)
    (folder / "old.ckpt").write_bytes(b"PK\x03\x04 a zip file of weights")
    (folder / "ponyXL.ckpt").write_bytes(b"PK\x03\x04 a zip file of weights")
    return folder


@pytest.fixture
def form(tmp_path, models):
    return form_in(tmp_path, models)


def form_in(tmp_path, models, **settings):
    around = OnCard(tmp_path / "data", settings={"models_dir": str(models), **settings})
    return TrainForm(Context(around, Shelf(around.data_dir), Guard(around.access)))


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "5_mychr1"
    folder.mkdir()
    for number in range(2):
        Image.new("RGB", (1024, 1024), (number * 90, 90, 10)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("mychr1, a ball", "utf-8")
    return str(folder)


@pytest.fixture
def sdxl(form, pictures):
    """A form that only waits for Start, with an SDXL model and the preset for it."""
    raw, _ = form.fitted({**form.at_first(), BASE_MODEL: "tags.safetensors"}, SD1_PRESET, "train_network")
    return {**raw, "pictures": pictures, "output_name": "mychr1", "trigger": "mychr1"}


def named(form, name):
    return {**form.at_first(), BASE_MODEL: name}


def wishes_in(plan):
    return {label: json.loads(html.unescape(wish)) for wish, label in re.findall('data-wish="(.*?)">(.*?)<', plan)}


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("anime.safetensors", "train_network"),
        ("tags.safetensors", "sdxl_train_network"),
        ("old.ckpt", "train_network"),
        ("ponyXL.ckpt", "sdxl_train_network"),
        (MICRO_SD, "train_network"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "sdxl_train_network"),
        ("runwayml/stable-diffusion-v1-5", "train_network"),
        ("", "train_network"),
    ],
)
def test_the_base_model_decides_what_is_trained(form, name, command):
    assert form.training(named(form, name)).command == command


def test_the_sentence_above_the_form_says_what_is_trained_and_why(form):
    told = form.about_model(named(form, "tags.safetensors"))

    assert "This trains a LoRA for Stable Diffusion XL (SDXL): the base model is an SDXL model." in told
    assert "sdxl_train_network" in told
    assert "This trains a LoRA for Stable Diffusion 1 and 2: " in form.about_model(named(form, "anime.safetensors"))


def test_a_kind_that_a_file_does_not_tell_is_asked_for_and_only_then(form):
    plan = form.plan(named(form, "old.ckpt"), SD1_PRESET)
    chosen = {**named(form, "old.ckpt"), BASE_KIND: "Stable Diffusion XL (SDXL)"}

    assert f"tanren-field-{BASE_KIND}" not in hidden_in(plan)
    assert f"tanren-field-{BASE_KIND}" in hidden_in(form.plan(named(form, "tags.safetensors"), SD1_PRESET))
    assert form.training(chosen).command == "sdxl_train_network"
    assert form.training({**chosen, BASE_MODEL: "anime.safetensors"}).command == "train_network"


def hidden_in(plan):
    return re.search('data-hidden="(.*?)"', plan)[1].split()


def test_fields_that_the_training_does_not_have_are_hidden(form):
    of_sdxl = hidden_in(form.plan(named(form, "tags.safetensors"), SD1_PRESET))
    of_sd = hidden_in(form.plan(named(form, "anime.safetensors"), SD1_PRESET))

    assert {"tanren-field-v2", "tanren-field-clip_skip", "tanren-field-text_encoder_lr"} <= set(of_sdxl)
    assert {"tanren-field-text_encoder_lr1", "tanren-field-text_encoder_lr2"} <= set(of_sd)
    assert not {"tanren-field-text_encoder_lr", "tanren-field-v2"} & set(of_sd)


def test_what_stands_in_hidden_fields_is_never_sent(form, sdxl):
    raw = {**sdxl, "v2": True, "clip_skip": "2", "text_encoder_lr": "1e-5"}

    options = form.options(raw, Problems())

    assert not {"v2", "clip_skip", "text_encoder_lr"} & set(options)
    assert options["network_train_unet_only"] is True


def test_the_rates_of_both_text_encoders_stand_where_the_one_rate_stands():
    names = [field.name for field in all_fields()]
    place = names.index("text_encoder_lr")

    assert names[place : place + 3] == ["text_encoder_lr", "text_encoder_lr1", "text_encoder_lr2"]
    assert len(names) == len(set(names))
    assert len({field.group for field in all_fields()[place : place + 3]}) == 1


def test_another_kind_of_model_brings_its_first_preset_while_nothing_was_changed(form, pictures):
    before = {**named(form, "tags.safetensors"), "pictures": pictures, "output_name": "mychr1"}

    raw, preset = form.fitted(before, SD1_PRESET, "train_network")

    assert preset == SDXL_PRESET
    assert (raw["resolution"], raw["network_train_unet_only"]) == ("1024,1024", True)
    assert (raw["pictures"], raw["output_name"], raw[BASE_MODEL]) == (pictures, "mychr1", "tags.safetensors")
    back, preset = form.fitted({**raw, BASE_MODEL: "anime.safetensors"}, preset, "sdxl_train_network")
    assert (preset, back["resolution"], back["network_train_unet_only"]) == (SD1_PRESET, "512,512", False)


@pytest.mark.parametrize(("name", "typed"), [("network_dim", "99"), ("length", "3"), ("resolution", "wide")])
def test_what_somebody_typed_stays_when_the_kind_of_model_changes(form, name, typed):
    before = {**named(form, "tags.safetensors"), name: typed, "text_encoder_lr": "3e-5\n1e-5"}

    raw, preset = form.fitted(before, SD1_PRESET, "train_network")

    assert preset == ""
    assert (raw[name], raw["text_encoder_lr1"], raw["text_encoder_lr2"]) == (typed, "3e-5", "1e-5")
    assert "No preset is chosen" in form.about_preset(raw, preset)
    again, _ = form.fitted({**raw, BASE_MODEL: "anime.safetensors"}, "", "sdxl_train_network")
    assert (again[name], again["text_encoder_lr"]) == (typed, "3e-5\n1e-5")


def test_a_plan_for_another_training_than_is_laid_out_asks_for_its_form(form):
    raw = named(form, "tags.safetensors")

    assert 'data-fit="sdxl_train_network"' in form.plan(raw, SD1_PRESET, laid_out="train_network")
    assert 'data-fit=""' in form.plan(raw, SD1_PRESET, laid_out="sdxl_train_network")
    assert form.fitted(raw, SD1_PRESET, "sdxl_train_network") == (raw, SD1_PRESET)


def test_an_embedded_model_brings_its_example(form):
    raw, preset = form.fitted({**form.at_first(), BASE_MODEL: "tags.safetensors"}, SD1_PRESET, "train_network")

    raw, preset = form.fitted({**raw, BASE_MODEL: MICRO_SD}, preset, "sdxl_train_network")

    assert preset == "Quick try · CPU, no model needed"
    assert (raw["resolution"], raw[BASE_MODEL]) == ("64,64", MICRO_SD)
    assert raw["pictures"].endswith("pictures")


@pytest.mark.parametrize(
    ("gigabytes", "preset"),
    [
        (7.8, "Character · SDXL, 8 GB"),
        (11.6, "Character · SDXL, 12 GB"),
        (15.7, "Character, quality · SDXL, 16 to 24 GB"),
        (23.9, "Character, quality · SDXL, 16 to 24 GB"),
    ],
)
def test_the_first_preset_for_sdxl_fits_the_card(tmp_path, models, gigabytes, preset):
    form = form_in(tmp_path, models, card=gigabytes)

    assert form.fitted(named(form, "tags.safetensors"), SD1_PRESET, "train_network")[1] == preset


def test_a_page_opened_beside_an_sdxl_model_begins_with_sdxl(tmp_path, models):
    (models / "anime.safetensors").unlink()
    (models / "old.ckpt").unlink()
    (models / "ponyXL.ckpt").unlink()
    form = form_in(tmp_path, models)

    assert (form.at_first()[BASE_MODEL], form.preset_at_first()) == ("tags.safetensors", SDXL_PRESET)
    assert form.at_first()["resolution"] == "1024,1024"


def test_the_model_that_a_webui_uses_is_proposed_with_its_vae_which_goes_with_no_other_kind(tmp_path, models, pictures):
    form = form_in(tmp_path, models, in_use=str(models / "tags.safetensors"))
    vae = str(models / "tags.vae.pt")

    raw = {**form.at_first(), "pictures": pictures}

    assert (raw[BASE_MODEL], raw["vae"], form.preset_at_first()) == ("tags.safetensors", vae, SDXL_PRESET)
    assert 'data-changed=""' in form.plan(raw, SDXL_PRESET)
    assert form.chosen_preset(raw, "Style · SDXL, 12 GB")["vae"] == vae
    other, preset = form.fitted({**raw, BASE_MODEL: "anime.safetensors"}, SDXL_PRESET, "sdxl_train_network")
    assert (other["vae"], preset) == ("", SD1_PRESET)
    back, preset = form.fitted({**other, BASE_MODEL: "tags.safetensors"}, SD1_PRESET, "train_network")
    assert (back["vae"], preset) == (vae, SDXL_PRESET)
    own = {**raw, "vae": "/own.vae.pt", BASE_MODEL: "anime.safetensors"}
    assert form.fitted(own, SDXL_PRESET, "sdxl_train_network")[0]["vae"] == "/own.vae.pt"


def test_presets_are_those_of_the_training_and_say_what_they_are_for(form, sdxl):
    names = form.preset_names("sdxl_train_network")

    assert names == [
        "Character · SDXL, 8 GB",
        "Character · SDXL, 12 GB",
        "Character, quality · SDXL, 16 to 24 GB",
        "Anime character · Pony, Illustrious, NoobAI, 12 GB",
        "Style · SDXL, 12 GB",
        "Quick try of SDXL · CPU, no model needed",
    ]
    assert not set(names) & set(form.preset_names("train_network"))
    assert "at 1024 pixels; the U-Net learns, in 8 bits" in form.about_preset(sdxl, SDXL_PRESET)
    assert "GPU with 8 GB." in form.about_preset(sdxl, SDXL_PRESET)


@pytest.mark.parametrize("preset", presets(Path("nowhere"), "sdxl_train_network"), ids=lambda preset: preset.id)
def test_a_preset_for_sdxl_fits_the_card_it_names(preset, pictures):
    model = {BASE_MODEL: "stabilityai/stable-diffusion-xl-base-1.0", "sample_prompts": ["a ball"]}
    data = {"dataset_config": {"datasets": [{"subsets": [{"image_dir": pictures, "num_repeats": 5}]}]}}
    named = re.search("GPU with ([0-9]+) GB", preset.requires)
    if named is None:
        pytest.skip("for a machine without a GPU")

    found = check("sdxl_train_network", {**preset.options, **model, **data}, device=DeviceFacts("gpu", "a card", 1, 1))

    assert found.memory.need.upper < int(named[1]) * GIB


def test_an_own_preset_is_kept_for_the_training_it_was_made_of(form, sdxl):
    text = form.save_preset({**sdxl, "network_dim": "48"}, "mine", replace=False)

    assert text in form.preset_names("sdxl_train_network")
    assert text not in form.preset_names("train_network")
    assert form.chosen_preset(sdxl, text)["network_dim"] == 48


def test_the_plan_of_sdxl_names_both_text_encoders(form, sdxl):
    both = {**sdxl, "network_train_unet_only": False, "cache_text_encoder_outputs": False, "mixed_precision": "bf16"}

    told = form.plan({**both, "text_encoder_lr1": "1e-5", "text_encoder_lr2": "2e-5"}, SDXL_PRESET)
    same = form.plan({**both, "text_encoder_lr1": "1e-5", "text_encoder_lr2": "1e-5"}, SDXL_PRESET)
    off = form.plan({**both, "text_encoder_lr1": "0", "text_encoder_lr2": "0"}, SDXL_PRESET)

    assert "Text encoders: 4 layers trained with AdamW8bit, learning rate 1e-05 (CLIP-L), 2e-05 (OpenCLIP bigG)" in told
    assert "Text encoders: 4 layers trained with AdamW8bit, learning rate 1e-05<" in same
    assert "Text encoders: not trained, because its learning rate is 0" in off
    assert "Text encoders: not trained, as chosen" in form.plan(sdxl, SDXL_PRESET)


def test_a_job_of_an_sdxl_form_is_one_of_its_command(form, sdxl):
    answer = form.start(sdxl, "click 1")

    (job,) = form.context.shelf.all()
    assert f'data-started="{job.id}"' in answer
    assert job.spec().command == "sdxl_train_network"
    assert job.spec().options["resolution"] == [1024, 1024]
    retried = job.retry(request_id="click 2", changes={})
    assert retried.spec().command == "sdxl_train_network"


def test_settings_are_written_for_the_command_of_the_training(form, sdxl):
    _, line = form.exported({**sdxl, "text_encoder_lr1": "1e-5"}, SHELL)

    assert line.startswith("python launch.py sdxl_train_network ")
    assert "--text_encoder_lr1=1e-05" in line


def test_captions_that_vary_come_with_buttons_that_mend_it(form, sdxl):
    raw = {**sdxl, "shuffle_caption": True, "network_train_unet_only": False}

    wishes = wishes_in(form.plan(raw, SDXL_PRESET))

    assert wishes == {
        "Train the U-Net only": {"network_train_unet_only": True},
        "Turn off shuffling": {"shuffle_caption": False},
        "Turn off “Cache captions”": {"cache_text_encoder_outputs": False},
    }
    for wish in ("Train the U-Net only", "Turn off shuffling"):
        raw = form.granted(raw, json.dumps(wishes[wish]))
    assert 'data-can-start="true"' in form.plan(raw, SDXL_PRESET)


def test_several_ways_of_varying_captions_are_turned_off_by_one_button(form, sdxl):
    raw = {**sdxl, "shuffle_caption": True, "caption_dropout_rate": "0.1"}

    (label, wish), _ = wishes_in(form.plan(raw, SDXL_PRESET)).items()

    assert label == "Let captions stay as they are"
    assert 'data-can-start="true"' in form.plan(form.granted(raw, json.dumps(wish)), SDXL_PRESET)


def test_a_model_that_says_it_predicts_v_offers_the_flags(form, sdxl, models):
    write_model(models / "tags.safetensors", {**SDXL_SHAPES, "v_pred": (1,), "ztsnr": (1,)})

    wishes = wishes_in(form.plan(sdxl, SDXL_PRESET))

    assert wishes["Turn on “v-prediction model”"] == {"v_parameterization": True}
    assert wishes["Turn on “Zero terminal SNR”"] == {"zero_terminal_snr": True}


@pytest.mark.parametrize(
    ("shapes", "name", "resolution", "told", "button"),
    [
        (
            SDXL_SHAPES,
            "tags.safetensors",
            "512,512",
            "SDXL was made for 1024 pixels",
            "1024,1024",
        ),
        (SD1_SHAPES, "anime.safetensors", "1024,1024", "Stable Diffusion 1 was made for 512 pixels", "512,512"),
    ],
)
def test_a_size_that_the_model_was_not_made_for_is_told(form, sdxl, models, shapes, name, resolution, told, button):
    write_model(models / name, shapes | FULL_WIDTH)

    plan = form.plan({**sdxl, BASE_MODEL: name, "resolution": resolution}, "")

    assert told in plan
    assert wishes_in(plan)[f"Use {button}"] == {"resolution": button}
    assert "was made for" not in form.plan({**sdxl, BASE_MODEL: name, "resolution": button}, "")
    assert "was made for" not in form.plan({**sdxl, BASE_MODEL: name, "resolution": "768,768"}, "")


@pytest.mark.rule("flt-07")
@pytest.mark.parametrize("wish", ["", "{", "[1]", '{"job_dir": "/x", "seed": {"a": 1}}', "[" * 20_000, "x" * 20_000])
def test_a_wish_of_anybody_else_changes_nothing(form, sdxl, wish):
    assert form.granted(sdxl, wish) == sdxl


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("text_encoder_lr1 = 1e-5\nnetwork_dim = 8\n", {"text_encoder_lr1": 1e-05, "text_encoder_lr2": None}),
        ('text_encoder_lr = [1e-5, 2e-5]\npretrained_model_name_or_path = "{base}"\n', {"text_encoder_lr2": 2e-05}),
        ("# Options of sdxl_train_network: …\nnetwork_dim = 8\n", {"network_dim": 8}),
        ('[tanren]\nschema = 1\ncommand = "sdxl_train_network"\n[options]\nnetwork_dim = 8\n', {"network_dim": 8}),
        ("accelerate launch sdxl_train_network.py --network_dim 8 \\\n  --text_encoder_lr 2e-5", {"network_dim": 8}),
        ('{"LoRA_type": "Standard", "sdxl": true, "network_dim": 8}', {"network_dim": 8}),
    ],
)
def test_settings_for_sdxl_lead_to_its_training(form, models, text, taken):
    base = str(models / "tags.safetensors").replace("\\", "/")

    raw, _ = form.imported(form.at_first(), text.replace("{base}", base))

    assert form.training(raw).command == "sdxl_train_network"
    assert raw[BASE_MODEL] == "tags.safetensors"
    assert {name: raw[name] for name in taken} == taken


def test_settings_for_sdxl_without_such_a_model_ask_for_one(form, models, monkeypatch):
    monkeypatch.delitem(base_models.EMBEDDED, base_models.MICRO_SDXL)
    for name in ("tags.safetensors", "ponyXL.ckpt"):
        (models / name).unlink()
    form.read_lists()

    raw, _ = form.imported(form.at_first(), "text_encoder_lr1 = 1e-5\n")

    assert form.training(raw) is TRAININGS[1]
    assert "The base model was not named." in form.plan(raw, "")


def test_settings_for_sdxl_say_what_has_no_effect_there(form):
    _, report = form.imported(form.at_first(), "# Options of sdxl_train_network:\nclip_skip = 2\n")

    assert "It has no effect: SDXL always takes the layer before the last." in report
