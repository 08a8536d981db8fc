"""A ControlNet-LLLite of a full-size SDXL with random weights: its file, and what it does when it is loaded."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from families.test_full_size_sdxl import GB, MEASURE, ROOT, WRITE
from networks.lllite_reader import modules_of, steer
from PIL import Image
from recipes.training import metadata, tensors
from small_datasets import noise_picture
from tanren.events import Report
from tanren.families import sdxl
from tanren.families.base import Placement
from tanren.families.layers import unet_layers
from tanren.generation.pixels import as_pixels
from tanren.networks.lllite import attach_like
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.spec import Settings

CHANNELS, DIM, SIDE = 32, 64, 256
DRAWN = ("--W=256", "--H=256", "--steps=1", "--scale=1", "--bf16", "--force_scheduler_zero_steps_offset")
# (blocks, layers in each, width, depth) as the format lists them.
LAYERS = [
    (("input_blocks_4_1", "input_blocks_5_1"), 2, 640, 2),
    (("input_blocks_7_1", "input_blocks_8_1", "middle_block_1"), 10, 1280, 3),
]
CONVOLUTIONS = {
    2: {0: (16, 3, 4, 4), 2: (32, 16, 4, 4)},
    3: {0: (16, 3, 4, 4), 2: (16, 16, 4, 4), 4: (32, 16, 2, 2)},
}

pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc"),
    pytest.mark.skipif(shutil.disk_usage("/").free < 10 * GB, reason="writes a model of 6.9 GB"),
]


def stated_shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor of a file for SDXL, written down from the format alone."""
    found: dict[str, tuple[int, ...]] = {}
    for blocks, count, width, depth in LAYERS:
        weights = {f"conditioning1.{place}": shape for place, shape in CONVOLUTIONS[depth].items()}
        weights |= {"down.0": (DIM, width), "mid.0": (DIM, DIM + CHANNELS), "up.0": (width, DIM)}
        names = [f"{block}_transformer_blocks_{number}" for block in blocks for number in range(count)]
        for layer in (f"{name}_{part}" for name in names for part in ("attn1_to_q", "attn1_to_k", "attn1_to_v")):
            found |= with_biases(layer, weights)
        for layer in (f"{name}_attn2_to_q" for name in names):
            found |= with_biases(layer, weights)
    return found


def with_biases(layer: str, weights: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    pairs = {f"lllite_unet_{layer}.{part}": shape for part, shape in weights.items()}
    return {f"{name}.weight": shape for name, shape in pairs.items()} | {
        f"{name}.bias": shape[:1] for name, shape in pairs.items()
    }


def run(*words: str) -> str:
    """A process of its own: what it printed."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The model and two pairs; the model goes when the tests have ended."""
    folder = tmp_path_factory.mktemp("full size")
    run(str(WRITE), str(folder / "model.safetensors"))
    for number in range(2):
        noise_picture(folder / "pictures" / f"{number}.png", (SIDE, SIDE), text=f"noise, number {number}")
        noise_picture(folder / "controls" / f"{number}.png", (SIDE, SIDE))
    yield folder
    (folder / "model.safetensors").unlink()


@pytest.fixture(scope="module")
def file(folder):
    """Two steps at 256 pixels, and a sample picture of what was learned."""
    (folder / "prompts.txt").write_text(
        f"noise --w {SIDE} --h {SIDE} --s 1 --d 5 --l 1 --cn {folder / 'controls' / '0.png'}", "utf-8"
    )
    words = [
        *(f"--pretrained_model_name_or_path={folder / 'model.safetensors'}", f"--output_dir={folder}"),
        *(f"--train_data_dir={folder / 'pictures'}", f"--conditioning_data_dir={folder / 'controls'}"),
        *("--caption_extension=.txt", f"--resolution={SIDE}", "--output_name=control", "--seed=1"),
        *(f"--cond_emb_dim={CHANNELS}", f"--network_dim={DIM}", "--learning_rate=1e-2", "--max_train_steps=2"),
        *("--train_batch_size=1", "--max_data_loader_n_workers=0", "--gradient_checkpointing"),
        *("--mixed_precision=bf16", "--full_bf16", "--cache_latents", "--cache_text_encoder_outputs"),
        *(f"--sample_prompts={folder / 'prompts.txt'}", "--sample_every_n_steps=2"),
    ]
    told = json.loads(run(str(MEASURE), "sdxl_train_control_net_lllite", *words).splitlines()[-1])
    print(f"\nsecond step: {told['wall'][0]:.1f} s, {told['cpu'][0]:.1f} CPU seconds")
    for name, found in told["phases"].items():
        print(f"{name}: at most {found['peak'] / GB:.2f} GB, {found['last'] / GB:.2f} at its end")
    assert max(phase["peak"] for phase in told["phases"].values()) < 8.5 * GB
    return folder / "control.safetensors"


def test_names_and_shapes_are_all_of_the_format_and_no_others(file):
    found = {name: tuple(tensor.shape) for name, tensor in tensors(file).items()}

    assert found == stated_shapes()
    assert len(found) == 1600
    assert len({name.split(".")[0] for name in found}) == 136
    assert metadata(file)["modelspec.architecture"] == "stable-diffusion-xl-v1-base/control-net-lllite"
    assert all(tensor.any() for name, tensor in tensors(file).items() if ".up.0." in name)


def test_the_file_draws_the_sample_picture_of_its_training(file, folder):
    (sample,) = (folder / "sample").iterdir()
    words = [
        *(f"--ckpt={folder / 'model.safetensors'}", "--prompt=noise --d 5", *DRAWN),
        *(f"--control_net_lllite_models={file}", f"--guide_image_path={folder / 'controls' / '0.png'}"),
    ]

    for out, strength in (("steered", 1), ("plain", 0)):
        run(
            str(ROOT / "trainer" / "sdxl_gen_img.py"),
            *words,
            f"--outdir={folder / out}",
            f"--control_net_multipliers={strength}",
        )

    steered, plain, own = (pixels(next((folder / name).iterdir())) for name in ("steered", "plain", "sample"))
    print(f"\nof 255: the control changes up to {np.abs(steered - plain).max()}")
    assert np.array_equal(steered, own)
    assert np.abs(steered - plain).max() > 2
    assert sample.suffix == ".png"


@torch.no_grad()
def test_the_loaded_file_steers_the_u_net_as_a_reader_of_files_does(file, folder):
    model = load(folder / "model.safetensors")
    model.text_encoders = ()
    unet, values = model.denoiser, tensors(file)
    control = as_pixels([Image.open(folder / "controls" / "0.png").convert("RGB")]).to(torch.bfloat16)
    network = attach_like(list(unet_layers(unet, sdxl.unet_path, sdxl.block_index)), values, "the file").eval()
    network.to(torch.device("cpu"), torch.bfloat16)

    plain = predicted(unet)
    network.show(control)
    ours = predicted(unet)
    network.remove()
    assert steer(unet, values, control, 1.0) == len(modules_of(values)) == 136
    theirs = predicted(unet)

    change, apart = float((ours - plain).abs().max()), float((ours - theirs).abs().max())
    print(f"\nthe control changes a prediction by up to {change:.4f}, a reader of files differs by {apart:.4f}")
    assert change > 0.05
    assert apart < change / 4


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.int16)


def load(path: Path):
    groups = [ModelOptions(pretrained_model_name_or_path=str(path)), AttentionOptions(), DatasetOptions()]
    placement = Placement(torch.device("cpu"), torch.bfloat16, torch.float32)
    return sdxl.load(Settings("", groups), placement, Report())


def predicted(unet: torch.nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(8)
    latents = torch.randn(1, 4, SIDE // 8, SIDE // 8, generator=generator).bfloat16()
    text = torch.randn(1, 77, 2048, generator=generator).bfloat16()
    added = {"text_embeds": torch.ones(1, 1280).bfloat16(), "time_ids": torch.full((1, 6), SIDE)}
    return unet(latents, torch.tensor([500]), text, added_cond_kwargs=added).sample.float()
