"""diffusers reads a LoRA that was trained here and draws the same pictures with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from recipes.training import train
from tanren.checkpoint.weights import load_weights, save_weights
from tanren.diffusion.samplers import make_sampler
from tanren.engine.sampling import Picture, draw_picture
from tanren.events import Report
from tanren.families import sd
from tanren.families.base import Placement
from tanren.models.build import build_text_encoder, build_unet, build_vae, quiet_libraries
from tanren.models.clip_tokenizer import clip_tokenizer
from tanren.models.configs import Configs
from tanren.models.lean import make_lean
from tanren.models.load import open_base
from tanren.models.save import ModelParts, write_single_file
from tanren.models.save_folder import write_folder
from tanren.networks.module_names import OWN
from tanren.networks.modules import attach_network
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.network import NetworkOptions
from tanren.options.spec import Settings
from tiny_models import TINY, full_size_sd15
from transformers import CLIPTextConfig, CLIPTextModel

PICTURE = Picture(
    prompt="a big red star, sks waves",
    negative_prompt="gray, ugly",
    size_wh=(64, 64),
    seed=5,
    steps=8,
    scale=4.0,
    sampler="ddim",
)
# Of 255: pictures that people tell apart, and pictures that only a program can.
VISIBLE, INVISIBLE = 10, 2
CPU = Placement(torch.device("cpu"), torch.float32, torch.float32)


@pytest.fixture(scope="module", params=["", "conv_dim=4"], ids=["plain", "convolutions"])
def lora(request, micro, pictures, tmp_path_factory):
    """A LoRA that has learned enough to change every picture."""
    out = tmp_path_factory.mktemp("out")
    arguments = [request.param, "conv_alpha=2"] if request.param else None
    train(micro, pictures, out, network_args=arguments, learning_rate="2e-2", max_train_epochs=3)
    return out / "waves.safetensors"


@pytest.fixture(scope="module")
def pipeline(micro, tmp_path_factory):
    """diffusers' own pipeline, from a folder with the same weights."""
    folder = diffusers_folder(micro, tmp_path_factory.mktemp("diffusers"))
    with quiet_libraries():
        pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, local_files_only=True)
    pipe.scheduler = make_sampler("ddim", "epsilon")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def diffusers_folder(checkpoint, folder):
    source = open_base(str(checkpoint))
    place = torch.device("cpu"), torch.float32, Report()
    configs = Configs(source.kind.family, source.unet.config, source.vae.config, (source.text_encoders[0].config,))
    unet, vae = build_unet(source.unet, *place), build_vae(source.vae, *place)
    parts = ModelParts(configs, unet, vae, (build_text_encoder(source.text_encoders[0], *place),))
    return write_folder(folder, parts, dtype=torch.float32)


def our_model(checkpoint):
    groups = [ModelOptions(pretrained_model_name_or_path=str(checkpoint)), AttentionOptions(), DatasetOptions()]
    return sd.load(Settings("train_network", groups), CPU, Report())


def our_network(model, file):
    network = attach_network(
        model, NetworkOptions(network_module=OWN, network_weights=str(file), dim_from_weights=True), 0, load_weights
    )
    network.eval()
    make_lean(model.denoiser)
    return network


def our_picture(model):
    return np.asarray(draw_picture(model, PICTURE)).astype(int)


def their_picture(pipe):
    width, height = PICTURE.size_wh
    images = pipe(
        PICTURE.prompt,
        negative_prompt=PICTURE.negative_prompt,
        width=width,
        height=height,
        num_inference_steps=PICTURE.steps,
        guidance_scale=PICTURE.scale,
        generator=torch.Generator().manual_seed(PICTURE.seed),
    ).images
    return np.asarray(images[0]).astype(int)


def apart(one, other):
    return int(np.abs(one - other).max())


def test_diffusers_draws_the_same_picture_with_a_trained_lora(micro, lora, pipeline):
    model = our_model(micro)
    without = our_picture(model)
    network = our_network(model, lora)
    with_lora = our_picture(model)
    network.set_multiplier(0)
    at_nothing = our_picture(model)

    theirs_without = their_picture(pipeline)
    pipeline.load_lora_weights(lora)
    try:
        theirs_with_lora = their_picture(pipeline)
        pipeline.set_adapters(pipeline.get_active_adapters(), 0.0)
        theirs_at_nothing = their_picture(pipeline)
    finally:
        pipeline.unload_lora_weights()

    assert apart(without, with_lora) > VISIBLE
    assert apart(with_lora, theirs_with_lora) < INVISIBLE
    assert apart(without, theirs_without) < INVISIBLE
    assert apart(without, at_nothing) == 0
    assert apart(theirs_without, theirs_at_nothing) == 0


MIDDLE_SIZE = {"block_out_channels": (64, 128, 192, 192), "cross_attention_dim": 64, "norm_num_groups": 16}


@pytest.fixture(
    params=[pytest.param("middle", id="middle size"), pytest.param("full", id="full size", marks=pytest.mark.proof)]
)
def random_checkpoint(request, tmp_path):
    """Random weights in the ldm layout: large enough for differences between kernels to show."""
    path = tmp_path / "model.safetensors"
    if request.param == "full":
        yield full_size_sd15(path)
    else:
        tiny = TINY["sd1"]
        text = {**tiny.text_encoders[0], "hidden_size": 64, "intermediate_size": 128}
        configs = Configs("sd1", {**tiny.unet, **MIDDLE_SIZE}, tiny.vae, (text,))
        with torch.random.fork_rng(), quiet_libraries():
            torch.manual_seed(1)
            unet, vae = UNet2DConditionModel(**configs.unet), AutoencoderKL(**configs.vae)
            parts = ModelParts(configs, unet, vae, (CLIPTextModel(CLIPTextConfig(**text)),))
        yield write_single_file(path, parts, dtype=torch.float16)
    path.unlink()


@torch.no_grad()
def test_one_prediction_of_a_unet_is_the_same_in_diffusers(random_checkpoint, tmp_path):
    model = our_model(random_checkpoint)
    lora = random_lora(model, tmp_path / "random.safetensors")
    unet, width = model.denoiser, model.denoiser.config.cross_attention_dim
    generator = torch.Generator().manual_seed(3)
    latents, text = torch.randn(2, 4, 16, 16, generator=generator), torch.randn(2, 77, width, generator=generator)
    timesteps = torch.tensor([40, 700])

    network = our_network(model, lora)
    ours = unet(latents, timesteps, text, return_dict=False)[0]
    network.set_multiplier(0)
    ours_at_nothing = unet(latents, timesteps, text, return_dict=False)[0]

    theirs = their_unet(unet.config, model, lora)
    with_lora = theirs.unet(latents, timesteps, text, return_dict=False)[0]
    theirs.unload_lora_weights()
    without = theirs.unet(latents, timesteps, text, return_dict=False)[0]

    size = without.abs().max()
    difference, effect = (ours - with_lora).abs().max() / size, (ours - ours_at_nothing).abs().max() / size
    print(f"of the largest value, the LoRA changes {effect:.2f} and diffusers differs by {difference:.1e}")
    assert effect > 0.05
    torch.testing.assert_close(ours, with_lora, rtol=0, atol=1e-4 * float(size))
    torch.testing.assert_close(ours_at_nothing, without, rtol=0, atol=1e-4 * float(size))


def random_lora(model, path):
    """As large as training makes them, in every layer and in convolutions too."""
    options = NetworkOptions(
        network_module=OWN, network_dim=8, network_alpha=4, network_args=("conv_dim=4", "conv_alpha=2")
    )
    network = attach_network(model, options, 0, load_weights)
    generator = torch.Generator().manual_seed(4)
    weights = network.tensors()
    for name in weights:
        if name.endswith("lora_up.weight"):
            weights[name] = 0.05 * torch.randn(weights[name].shape, generator=generator)
    save_weights(path, weights, torch.float32, {})
    network.remove()
    return path


def their_unet(config, model, lora):
    """diffusers' U-Net over the same memory, with the LoRA put on by diffusers; ours is made of other modules."""
    with torch.device("meta"), quiet_libraries():
        unet = UNet2DConditionModel.from_config(config)
    unet.load_state_dict(model.denoiser.state_dict(), assign=True)
    pipe = StableDiffusionPipeline(
        vae=model.vae,
        text_encoder=model.text_encoders[0],
        tokenizer=clip_tokenizer(),
        unet=unet,
        scheduler=make_sampler("ddim", "epsilon"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.load_lora_weights(lora)
    return pipe
