"""Names of the pictures and what is written into them; the command for all kinds of models."""

import re

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tanren import __version__
from tanren.formats.infotext import read_infotext
from tanren.generate import main
from tanren.preparation.picture_text import prompt_of

pytestmark = pytest.mark.filterwarnings("ignore:__array")


@pytest.mark.option("outdir")
def test_pictures_go_to_the_folder_under_time_place_and_seed(studio):
    (picture,) = studio.draw()
    assert re.fullmatch(r"im_\d{14}_000_7\.png", picture.path.name)


@pytest.mark.option("sequential_file_name")
def test_numbers_pass_over_pictures_that_are_there(studio, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "im_000002.png")
    words = ["--W=64", "--H=64", "--steps=1", "--prompt=a", "--images_per_prompt=2", "--sequential_file_name"]

    assert main("sdxl_gen_img", [f"--ckpt={studio.model}", f"--outdir={tmp_path}", *words]) == 0

    assert sorted(path.name for path in tmp_path.iterdir()) == ["im_000001.png", "im_000002.png", "im_000003.png"]
    assert Image.open(tmp_path / "im_000002.png").size == (8, 8)


def test_a_prompt_can_name_its_picture(studio):
    words = ("--prompt=a red circle --f 丸", "--images_per_prompt=2")
    assert [picture.path.name for picture in studio.draw(*words)] == ["丸.png", "丸_2.png"]


def test_facts_of_sd_scripts_and_of_the_webui_are_in_the_picture(studio):
    words = ("--prompt={赤い} circle --n bad, worse --nl 2 --c words --ct 3", "--clip_skip=2", "--original_width=128")
    (picture,) = studio.draw(*words)

    facts = picture.facts
    assert facts == {
        "parameters": facts["parameters"],
        "prompt": "赤い circle",
        "negative-prompt": "bad, worse",
        "seed": "7",
        "sampler": "ddim",
        "steps": "4",
        "scale": "4.0",
        "negative-scale": "2.0",
        "clip-prompt": "words",
        "raw-prompt": "赤い circle --n bad, worse --nl 2 --c words --ct 3",
        "original-height": "64",
        "original-width": "128",
        "original-height-negative": "64",
        "original-width-negative": "128",
        "crop-top": "3",
        "crop-left": "0",
    }
    assert facts["parameters"] == (
        "赤い circle\nNegative prompt: bad, worse\nSteps: 4, Sampler: DDIM, CFG scale: 4, Seed: 7, Size: 64x64, "
        f"Model: tiny xl, Clip skip: 2, Version: Tanren {__version__}"
    )


def test_captions_can_be_made_of_the_prompts_in_the_pictures(studio, tmp_path):
    (picture,) = studio.draw("--prompt=a (red:1.2) circle, round --n bad")
    assert prompt_of(str(picture.path)) == "a red circle, round"
    assert prompt_of(str(picture.path), plain=False) == "a (red:1.2) circle, round"

    facts = PngInfo()
    facts.add_text("prompt", "as sd-scripts keeps it")
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png", pnginfo=facts)
    assert prompt_of(str(tmp_path / "other.png")) == "as sd-scripts keeps it"


def hires_facts(picture):
    facts = read_infotext(picture.facts["parameters"]).facts
    return {key: facts[key] for key in facts if key in ("Steps", "Size") or "Hires" in key or "Denoising" in key}


def test_two_stages_are_told_as_the_webui_tells_them(studio):
    words = ("--W=128", "--H=128", "--highres_fix_scale=0.5", "--highres_fix_steps=6", "--strength=0.5")
    first, second = studio.draw(*words, "--highres_fix_save_1st")
    facts = hires_facts(second)
    assert facts == {
        "Steps": "6",
        "Size": "64x64",
        "Denoising strength": "0.5",
        "Hires resize": "128x128",
        "Hires steps": "4",
        "Hires upscaler": "Lanczos",
    }
    assert hires_facts(first) == {"Steps": "6", "Size": "64x64"}


def test_a_folder_that_cannot_be_written_is_told(studio, tmp_path, capfd):
    (tmp_path / "file").write_text("", "utf-8")
    words = [f"--ckpt={studio.model}", f"--outdir={tmp_path / 'file'}", "--prompt=a"]
    assert main("sdxl_gen_img", words) == 2
    assert "is a file" in capfd.readouterr().err


@pytest.mark.option("v1", "v2", "sdxl")
@pytest.mark.parametrize(("flag", "code"), [("--v1", 0), ("--v2", 2), ("--sdxl", 2)])
def test_what_a_model_is_said_to_be_must_be_true(sd_studio, place, capfd, flag, code):
    words = [f"--ckpt={sd_studio.model}", f"--outdir={place / 'said'}", "--prompt=a", "--W=64", "--H=64", "--steps=1"]
    assert main("gen_img", [*words, flag]) == code
    told = capfd.readouterr().err
    assert not code or f"{flag}: tiny 1.safetensors is a Stable Diffusion 1 model." in told


def test_gen_img_draws_with_models_of_both_kinds(sd_studio, studio, place):
    (picture,) = sd_studio.draw("--clip_skip=2")
    assert picture.pixels.shape == (64, 64, 3) and "original-width" not in picture.facts
    assert np.abs(picture.pixels - sd_studio.pixels()).max() > 0

    out = place / "xl by gen_img"
    words = [f"--ckpt={studio.model}", f"--outdir={out}", "--W=64", "--H=64", "--steps=4", "--scale=4", "--seed=7"]
    assert main("gen_img", [*words, "--prompt=a red circle"]) == 0
    (path,) = out.iterdir()
    same = np.asarray(Image.open(path), dtype=np.int16)
    assert np.abs(same - studio.pixels()).max() == 0


def test_sdxl_gen_img_refuses_a_model_of_another_kind(sd_studio, capfd):
    assert main("sdxl_gen_img", [f"--ckpt={sd_studio.model}", "--prompt=a"]) == 4
    assert "Use the command of the same name without sdxl_ in front" in capfd.readouterr().err


def test_a_clip_skip_beyond_the_layers_is_refused(studio, capfd):
    assert main("sdxl_gen_img", [f"--ckpt={studio.model}", "--prompt=a", "--clip_skip=9"]) == 2
    assert "--clip_skip: 9 is more than the 3 layers of a text encoder." in capfd.readouterr().err
