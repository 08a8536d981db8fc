"""Whole runs on a tiny SDXL: the same picture again, alone and in batches, and what each option changes in it."""

import io
import logging

import numpy as np
import pytest
import torch
from generation.drawing import USUAL, Studio
from PIL import ImageShow
from safetensors import safe_open
from safetensors.torch import save_file
from tanren.commands import GENERATORS
from tanren.engine.precision import choose_precision
from tanren.errors import Problems
from tanren.events import Report
from tanren.families import sdxl
from tanren.generate import main
from tanren.generation.check import examine_order
from tanren.generation.drawing import Drawer
from tanren.generation.texts import PromptEncoder
from tanren.options.parse import parse
from tanren.options.training import TrainingOptions
from tanren.recipes.generate import load
from tiny_models import tiny_sd

pytestmark = pytest.mark.filterwarnings("ignore:__array")
LEVEL = 1  # of 255: float arithmetic may round differently in a batch


def difference(one, other):
    return int(np.abs(one - other).max())


def test_the_same_seed_draws_the_same_picture(studio):
    (again,) = studio.draw("--sampler=euler_a", "--n_iter=1")
    assert difference(again.pixels, studio.pixels("--sampler=euler_a")) == 0


@pytest.mark.parametrize("sampler", ["ddim", "euler_a", "dpm_2_a", "lms", "pndm"])
def test_a_picture_is_the_same_alone_and_in_a_batch(studio, sampler):
    words = ("--prompt={e$$a|a red} {e$$circle|small square} --n blurry", f"--sampler={sampler}")
    alone, together = studio.draw(*words), studio.draw(*words, "--batch_size=3")

    by_seed = {picture.facts["seed"]: picture.pixels for picture in together}
    assert len(alone) == len(by_seed) == 4
    assert max(difference(one.pixels, by_seed[one.facts["seed"]]) for one in alone) <= LEVEL


def test_prompts_of_other_lengths_beside_it_change_no_picture(studio):
    long = " ".join(["large round"] * 60)
    lines = studio.folder / "lengths.txt"
    lines.write_text(f"a red circle --d 7\n{long} --d 8\na blue square --d 9", "utf-8")
    words = (f"--from_file={lines}", "--max_embeddings_multiples=3")

    alone, together = studio.draw(*words), studio.draw(*words, "--batch_size=3")

    by_seed = {picture.facts["seed"]: picture.pixels for picture in together}
    assert max(difference(one.pixels, by_seed[one.facts["seed"]]) for one in alone) <= LEVEL


EFFECTS = [
    pytest.param(["--prompt=a blue square"], marks=pytest.mark.option("prompt")),
    pytest.param(["--seed=8"], marks=pytest.mark.option("seed")),
    pytest.param(["--steps=5"], marks=pytest.mark.option("steps")),
    pytest.param(["--sampler=euler"], marks=pytest.mark.option("sampler")),
    pytest.param(["--scale=6"], marks=pytest.mark.option("scale")),
    pytest.param(["--clip_skip=1"], marks=pytest.mark.option("clip_skip")),
    pytest.param(["--bf16"], marks=pytest.mark.option("bf16")),
    pytest.param(["--v_parameterization"], marks=pytest.mark.option("v_parameterization")),
    pytest.param(["--original_width=2048"], marks=pytest.mark.option("original_width")),
    pytest.param(["--original_height=2048"], marks=pytest.mark.option("original_height")),
    pytest.param(["--original_width_negative=2048"], marks=pytest.mark.option("original_width_negative")),
    pytest.param(["--original_height_negative=2048"], marks=pytest.mark.option("original_height_negative")),
    pytest.param(["--crop_top=512"], marks=pytest.mark.option("crop_top")),
    pytest.param(["--crop_left=512"], marks=pytest.mark.option("crop_left")),
    pytest.param(
        ["--force_scheduler_zero_steps_offset"], marks=pytest.mark.option("force_scheduler_zero_steps_offset")
    ),
]


@pytest.mark.parametrize("words", EFFECTS)
def test_an_option_changes_the_picture(studio, words):
    assert studio.changes(*words) > 0


@pytest.mark.option("negative_scale")
def test_a_negative_prompt_of_its_own_scale_is_weighed_against_the_empty_one(studio):
    prompt = "--prompt=a red circle --n blurry"
    unheard, as_usual, strong = (studio.pixels(prompt, f"--negative_scale={scale}") for scale in (0, 3, 6))

    assert difference(unheard, studio.pixels()) <= LEVEL
    # e + 4 (p - e) - 3 (n - e) is 4 p - 3 n, which is what a scale of 4 alone gives.
    assert difference(as_usual, studio.pixels(prompt)) <= LEVEL
    assert difference(as_usual, strong) > 0


@pytest.mark.option("W", "H")
def test_width_and_height_are_those_of_the_file(studio):
    (picture,) = studio.draw("--W=96", "--H=80")
    assert picture.pixels.shape == (80, 96, 3)


@pytest.mark.option("ckpt")
def test_another_model_draws_another_picture(studio, place):
    other = Studio(tiny_sd(place / "other.safetensors", "shallow sdxl", seed=1), place / "other", "sdxl_gen_img")
    assert difference(other.pixels(), studio.pixels()) > 0


@pytest.mark.option("vae")
def test_another_vae_decodes_to_another_picture(studio, place):
    other = tiny_sd(place / "for its vae.safetensors", "shallow sdxl", seed=2)
    assert studio.changes(f"--vae={other}") > 0


@pytest.mark.option("no_half_vae")
def test_a_vae_in_full_precision_decodes_more_exactly(studio):
    assert difference(studio.pixels("--bf16", "--no_half_vae"), studio.pixels("--bf16")) > 0


@pytest.mark.option("fp16")
def test_fp16_without_a_gpu_computes_in_float32_and_says_so(studio, capfd):
    assert studio.changes("--fp16") == 0
    assert "fp16 needs a GPU" in capfd.readouterr().err


@pytest.mark.option("tokenizer_cache_dir")
def test_a_folder_of_tokenizers_is_not_needed_and_that_is_said(studio, place, capfd):
    assert studio.changes(f"--tokenizer_cache_dir={place}") == 0
    assert "--tokenizer_cache_dir has no effect here." in capfd.readouterr().err


@pytest.mark.option("zero_terminal_snr")
def test_a_schedule_that_ends_in_noise_is_begun_there(studio):
    words = ("--v_parameterization", "--zero_terminal_snr")
    assert difference(studio.pixels(*words), studio.pixels("--v_parameterization")) > 0


@pytest.mark.option("max_embeddings_multiples")
def test_what_is_longer_than_the_longest_prompt_is_cut_with_a_warning(studio, capfd):
    tail, longer = " ".join(["circle"] * 74), "--max_embeddings_multiples=2"
    cut = [studio.pixels(f"--prompt={tail} red {end}") for end in ("blue", "green")]
    assert "A prompt is 1 tokens too long; its end is cut off" in capfd.readouterr().err
    whole = [studio.pixels(f"--prompt={tail} red {end}", longer) for end in ("blue", "green")]

    assert difference(*cut) == 0
    assert difference(*whole) > 0


def test_break_begins_a_new_window(studio):
    words = "--max_embeddings_multiples=2"
    assert (
        difference(studio.pixels("--prompt=red BREAK circle", words), studio.pixels("--prompt=red circle", words)) > 0
    )


@pytest.mark.option("emb_normalize_mode")
def test_emphasis_keeps_what_it_is_told_to_keep(studio):
    prompt = "--prompt=a (red:1.8) circle"
    kept = [studio.pixels(prompt, f"--emb_normalize_mode={mode}") for mode in ("original", "abs", "none")]
    assert difference(kept[0], studio.pixels(prompt)) == 0
    assert min(difference(kept[0], kept[1]), difference(kept[0], kept[2]), difference(kept[1], kept[2])) > 0


@pytest.mark.option("batch_size")
def test_pictures_of_a_batch_are_numbered_in_it(studio):
    def numbers(*words):
        return [picture.path.name.split("_")[2] for picture in studio.draw("--images_per_prompt=2", *words)]

    assert numbers() == ["000", "000"]
    assert numbers("--batch_size=2") == ["000", "001"]


@pytest.fixture
def loaded(studio):
    def load_with(*words):
        problems, command = Problems(), GENERATORS["sdxl_gen_img"]
        line = [f"--ckpt={studio.model}", "--prompt=a", "--images_per_prompt=4", *USUAL, *words]
        settings = parse("sdxl_gen_img", command.groups, line, problems).settings
        order = examine_order(command, settings, problems)
        problems.raise_if_any()
        precision = choose_precision(TrainingOptions(), torch.device("cpu"), Report())
        return load(sdxl.FAMILY, settings, order, precision, Report()), settings, order.requests

    return load_with


@pytest.mark.option("vae_batch_size")
@pytest.mark.parametrize(
    ("words", "decoded"), [([], [4]), (["--vae_batch_size=3"], [3, 1]), (["--vae_batch_size=0.5"], [2, 2])]
)
def test_pictures_are_decoded_as_many_at_a_time_as_asked(loaded, words, decoded):
    model, settings, requests = loaded(*words)
    counts = []
    model.vae.decoder.register_forward_hook(lambda module, inputs, output: counts.append(len(output)))

    Drawer(model, settings, PromptEncoder(model)).draw(requests)

    assert counts == decoded


@pytest.mark.option("opt_channels_last")
def test_weights_of_convolutions_lie_channels_last_when_asked(loaded):
    def layout(*words):
        model, _, _ = loaded(*words)
        return model.denoiser.get_parameter("down_blocks.1.resnets.0.conv1.weight").stride()[1] == 1

    assert (layout(), layout("--opt_channels_last")) == (False, True)


@pytest.mark.option("xformers", "diffusers_xformers", "sdpa")
@pytest.mark.parametrize("flag", ["xformers", "diffusers_xformers"])
def test_attention_is_pytorchs_own_unless_xformers_is_asked_for(studio, flag, capfd):
    sdpa = studio.draw("--sdpa", "--n_iter=1")
    capfd.readouterr()
    asked = studio.draw(f"--{flag}")
    told = capfd.readouterr().err

    assert difference(sdpa[0].pixels, asked[0].pixels) <= LEVEL
    assert "xformers" in told


@pytest.mark.option("interactive", "no_preview")
@pytest.mark.parametrize(("words", "shown"), [([], 3), (["--no_preview"], 0)])
def test_typed_prompts_are_drawn_one_by_one_and_shown(studio, tmp_path, monkeypatch, caplog, words, shown):
    seen = []

    class Shelf(ImageShow.Viewer):
        def show(self, image, **options):
            seen.append(image)
            return 1

    monkeypatch.setattr(ImageShow, "_viewers", [Shelf()])
    monkeypatch.setattr("sys.stdin", io.StringIO("a red circle --d 1\na --w 9\na blue square --d 2\n\n \nlast --d 3\n"))

    out = tmp_path / "typed"
    code = main("sdxl_gen_img", [f"--ckpt={studio.model}", f"--outdir={out}", *USUAL, "--interactive", *words])

    assert code == 0 and len(seen) == shown
    assert sorted(path.stem.split("_")[-1] for path in out.iterdir()) == ["1", "2", "3"]


BROKEN = [
    ("model.diffusion_model.out.2.bias", "The model's numbers became infinite or NaN"),
    ("first_stage_model.decoder.conv_out.bias", "The VAE's numbers became infinite or NaN"),
]


@pytest.mark.parametrize(("tensor", "reason"), BROKEN)
def test_numbers_that_are_not_finite_end_the_run_with_a_reason(place, studio, capfd, tensor, reason):
    with safe_open(studio.model, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
        metadata = file.metadata()
    tensors[tensor][:] = torch.nan
    save_file(tensors, place / "broken.safetensors", metadata)

    words = [f"--ckpt={place / 'broken.safetensors'}", f"--outdir={place / 'none'}", "--prompt=a", *USUAL]
    assert main("sdxl_gen_img", words) == 7
    assert reason in capfd.readouterr().err
    assert not (place / "none").exists()


def test_help_lists_the_options(capsys):
    assert main("gen_img", ["--help"]) == 0
    shown = capsys.readouterr().out
    assert "Draw pictures with Stable Diffusion 1.x, 2.x or XL." in shown and "--highres_fix_scale FLOAT" in shown


def test_wrong_words_end_the_run_with_all_problems(capfd):
    assert main("sdxl_gen_img", ["--steps=0", "--sampler=fast"]) == 2
    told = capfd.readouterr().err
    assert "--steps" in told and "--sampler" in told
    logging.getLogger("tanren").setLevel(logging.NOTSET)
