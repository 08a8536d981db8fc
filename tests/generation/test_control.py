"""Control networks (ControlNet-LLLite) and their pictures."""

import numpy as np
import pytest
import torch
from generation.drawing import scene
from safetensors.torch import save_file
from tanren.generate import main
from tanren.networks.lllite import attach
from tanren.options.lllite import LlliteOptions

pytestmark = pytest.mark.filterwarnings("ignore:__array")
# Of 255 levels: batches and merged weights round differently.
ROUNDING = 2


def random_control(path, targets, seed):
    """A control network with weights that show: it changes pictures by some forty levels, another picture by twenty."""
    network = attach(targets, LlliteOptions(cond_emb_dim=8, network_dim=4), seed)
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: torch.randn(one.shape, generator=generator) * (3 if ".up." in name else 1)
        for name, one in network.tensors().items()
    }
    network.remove()
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def controls(place, targets):
    return [random_control(place / f"control {seed}.safetensors", targets, seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def guides(place):
    return [scene(place / f"guide {index}.png", color) for index, color in enumerate([(0, 0, 0), (120, 30, 200)])]


def difference(one, other):
    return int(np.abs(one - other).max())


@pytest.mark.option("control_net_lllite_models", "guide_image_path", "control_net_multipliers")
def test_a_control_picture_steers_the_picture_by_its_strength(studio, controls, guides):
    words = (f"--control_net_lllite_models={controls[0]}", f"--guide_image_path={guides[0]}")
    steered = studio.pixels(*words)

    assert difference(steered, studio.pixels()) > 2 * ROUNDING
    other_guide = (f"--control_net_lllite_models={controls[0]}", f"--guide_image_path={guides[1]}")
    assert difference(steered, studio.pixels(*other_guide)) > 2 * ROUNDING
    assert difference(steered, studio.pixels(*words, "--control_net_multipliers=0.5")) > 2 * ROUNDING
    assert studio.changes(*words, "--control_net_multipliers=0") == 0


@pytest.mark.option("control_net_ratios")
def test_a_control_network_acts_in_a_part_of_the_steps(studio, controls, guides):
    words = (f"--control_net_lllite_models={controls[0]}", f"--guide_image_path={guides[0]}")
    whole, half, first = (studio.pixels(*words, f"--control_net_ratios={ratio}") for ratio in (1, 0.5, 0))

    assert difference(whole, studio.pixels(*words)) == 0
    assert min(difference(whole, half), difference(half, first), difference(first, studio.pixels())) > 0
    # With four steps, a ratio of 0.3 ends between the second (at 0.25) and the third (at 0.5).
    assert difference(half, studio.pixels(*words, "--control_net_ratios=0.3")) > 0


def test_two_networks_take_their_pictures_in_pairs_alone_and_in_a_batch(studio, controls, guides):
    words = ("--control_net_lllite_models", *controls, "--guide_image_path", guides[0], guides[1], guides[1], guides[0])
    several = (*words, "--images_per_prompt=2")

    alone, together = studio.draw(*several), studio.draw(*several, "--batch_size=2")

    by_seed = {picture.facts["seed"]: picture.pixels for picture in together}
    assert len(by_seed) == 2
    assert max(difference(one.pixels, by_seed[one.facts["seed"]]) for one in alone) <= ROUNDING
    pairs_swapped = ("--control_net_lllite_models", *controls, "--guide_image_path", *guides[::-1], *guides)
    swapped = studio.draw(*pairs_swapped, "--images_per_prompt=2")
    assert min(difference(one.pixels, two.pixels) for one, two in zip(alone, swapped, strict=True)) > 2 * ROUNDING


def test_control_goes_together_with_a_lora(studio, controls, guides, lora):
    control = (f"--control_net_lllite_models={controls[0]}", f"--guide_image_path={guides[0]}")
    both = studio.pixels(*control, f"--network_weights={lora}")

    assert difference(both, studio.pixels(*control)) > 2 * ROUNDING
    assert difference(both, studio.pixels(f"--network_weights={lora}")) > 2 * ROUNDING
    assert difference(both, studio.pixels(*control, f"--network_weights={lora}", "--network_merge")) <= ROUNDING


@pytest.mark.option("highres_fix_disable_control_net")
def test_the_second_stage_may_be_drawn_without_control(studio, controls, guides):
    control = (f"--control_net_lllite_models={controls[0]}", f"--guide_image_path={guides[0]}")
    words = (*control, "--W=128", "--H=128", "--highres_fix_scale=0.5", "--highres_fix_steps=4")
    first, second = studio.draw(*words, "--highres_fix_save_1st")
    same, other = studio.draw(*words, "--highres_fix_save_1st", "--highres_fix_disable_control_net")

    assert difference(first.pixels, same.pixels) == 0
    assert difference(second.pixels, other.pixels) > 0


def test_a_file_that_is_no_control_network_is_refused(studio, lora, guides, capfd):
    words = [f"--ckpt={studio.model}", "--prompt=a", f"--control_net_lllite_models={lora}"]
    assert main("sdxl_gen_img", [*words, f"--guide_image_path={guides[0]}"]) == 4
    assert "This is no ControlNet-LLLite." in capfd.readouterr().err


WRONG = [
    (["--control_net_lllite_models={control}"], "a control network needs pictures"),
    (["--guide_image_path={guide}"], "--guide_image_path: It needs --control_net_lllite_models"),
    (
        ["--control_net_lllite_models", "{control}", "{control}", "--guide_image_path={guide}"],
        "--guide_image_path: 1 control pictures cannot be shared out among 2 models.",
    ),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_networks_and_pictures_that_do_not_fit_are_told(studio, controls, guides, capfd, words, message):
    line = [word.format(control=controls[0], guide=guides[0]) for word in words]
    assert main("sdxl_gen_img", [f"--ckpt={studio.model}", "--prompt=a", *line]) == 2
    assert message in capfd.readouterr().err


def test_control_is_for_sdxl(sd_studio, controls, guides, capfd):
    words = [f"--control_net_lllite_models={controls[0]}", f"--guide_image_path={guides[0]}"]
    assert main("gen_img", [f"--ckpt={sd_studio.model}", "--prompt=a", *words]) == 2
    assert "ControlNet-LLLite is for SDXL, and this model is not." in capfd.readouterr().err
