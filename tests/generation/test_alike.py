"""Every way to draw: the same picture again, alone and in a batch, without a network and with one of strength 0, and
with a network applied and merged."""

import numpy as np
import pytest
from generation.drawing import half_mask, scene
from generation.test_control import random_control

pytestmark = pytest.mark.filterwarnings("ignore:__array")
# Of 255 levels: batches and merged weights round differently.
ROUNDING = 2
THREE = ("--images_per_prompt=3", "--steps=2")
COLORS = [(200, 30, 30), (20, 60, 220), (10, 120, 40)]
TWO_STAGES = ("--W=128", "--H=128", "--highres_fix_scale=0.5", "--highres_fix_steps=2")


@pytest.fixture(scope="module")
def ways(place, targets):
    """Words of each way; three pictures each, of three seeds and with three pictures to begin with or to follow."""
    for index, color in enumerate(COLORS):
        (place / "starts").mkdir(exist_ok=True)
        (place / "masks").mkdir(exist_ok=True)
        scene(place / "starts" / f"{index}.png", color)
        half_mask(place / "masks" / f"{index}.png", right=index == 1)
    starts, masks = f"--image_path={place / 'starts'}", f"--mask_path={place / 'masks'}"
    network = random_control(place / "a control.safetensors", targets, 5)
    control = (f"--control_net_lllite_models={network}", f"--guide_image_path={place / 'starts'}")
    return {
        "from noise": ("--sampler=euler_a",),
        "from pictures": (starts, "--strength=0.8", "--prompt=a red circle", "--sampler=euler_a"),
        "in part": (starts, masks, "--strength=1", "--prompt=a red circle"),
        "in two stages": (*TWO_STAGES, "--strength=0.7"),
        "in two stages of latents with control": (*TWO_STAGES, "--highres_fix_latents_upscaling", *control),
        "with control": control,
        "with the last layer of the text encoders": ("--clip_skip=1", "--vae_batch_size=2"),
        "against the empty prompt": ("--negative_scale=2", "--prompt=a red circle --n blue", "--vae_batch_size=0.3"),
    }


WAYS = [
    *("from noise", "from pictures", "in part", "in two stages", "in two stages of latents with control"),
    *("with control", "with the last layer of the text encoders", "against the empty prompt"),
]


def by_seed(pictures):
    found = {picture.facts["seed"]: picture.pixels for picture in pictures}
    assert len(found) == len(pictures) == 3
    return found


def apart(some, others):
    assert some.keys() == others.keys()
    return max(int(np.abs(some[seed] - others[seed]).max()) for seed in some)


def least_apart(pictures):
    one, two, three = pictures.values()
    return min(int(np.abs(a - b).max()) for a, b in ((one, two), (one, three), (two, three)))


@pytest.mark.parametrize("way", WAYS)
def test_pictures_are_the_same_alone_and_in_a_batch(studio, ways, way):
    alone = by_seed(studio.draw(*THREE, *ways[way]))
    together = by_seed(studio.draw(*THREE, *ways[way], "--batch_size=3"))

    assert apart(alone, together) <= ROUNDING
    assert least_apart(alone) > 2 * ROUNDING


@pytest.mark.parametrize("way", WAYS)
def test_a_lora_of_strength_0_draws_the_same_picture_again_bit_for_bit(studio, ways, way, lora):
    plain = by_seed(studio.draw(*THREE, *ways[way]))
    silent = by_seed(studio.draw(*THREE, *ways[way], f"--network_weights={lora}", "--network_mul=0"))

    assert apart(plain, silent) == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_merged_lora_draws_what_the_applied_one_draws(studio, ways, way, lora):
    plain = by_seed(studio.draw(*THREE, *ways[way]))
    applied = by_seed(studio.draw(*THREE, *ways[way], f"--network_weights={lora}"))
    merged = by_seed(studio.draw(*THREE, *ways[way], f"--network_weights={lora}", "--network_merge"))

    assert apart(applied, merged) <= ROUNDING
    assert apart(applied, plain) > 2 * ROUNDING
