"""LoRA files for SDXL as other programs read them: diffusers itself, and the naming rules of A1111 and ComfyUI."""

import re

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from tanren.checkpoint.diffusers_lora import save_for_diffusers
from tanren.checkpoint.weights import load_weights, save_weights
from tanren.diffusion.samplers import make_sampler
from tanren.engine.sampling import Picture, draw_picture
from tanren.events import Report
from tanren.families import sdxl
from tanren.families.base import Placement
from tanren.models.build import quiet_libraries
from tanren.models.lean import make_lean
from tanren.models.save import ldm_tensors
from tanren.models.save_folder import write_folder
from tanren.networks.modules import attach_network
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.network import NetworkOptions
from tanren.options.spec import Settings
from tiny_models import tiny_parts

PICTURE = Picture("a big red star", "gray, ugly", (64, 96), seed=5, steps=3, scale=4.0)
VISIBLE, INVISIBLE = 8, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("sdxl") / "model", tiny_parts("sdxl"), dtype=torch.float32)


def our_model(folder):
    groups = [ModelOptions(pretrained_model_name_or_path=str(folder)), AttentionOptions(), DatasetOptions()]
    place = Placement(torch.device("cpu"), torch.float32, torch.float32)
    return sdxl.load(Settings("sdxl_train_network", groups), place, Report())


@pytest.fixture(scope="module", params=[(), ("conv_dim=4", "conv_alpha=2")], ids=["plain", "convolutions"])
def lora(request, folder, tmp_path_factory):
    """As large as training makes them, in every layer."""
    network = attach_network(
        our_model(folder),
        NetworkOptions(network_module="networks.lora", network_dim=4, network_alpha=2, network_args=request.param),
        0,
        load_weights,
    )
    generator = torch.Generator().manual_seed(4)
    weights = network.tensors()
    for name in weights:
        if name.endswith("lora_up.weight"):
            weights[name] = 0.3 * torch.randn(weights[name].shape, generator=generator)
    path = tmp_path_factory.mktemp("lora") / "lora.safetensors"
    save_weights(path, weights, torch.float32, {})
    return path


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


@pytest.mark.option("save_model_as")
def test_diffusers_draws_the_same_picture_with_our_lora_in_kohyas_names_and_in_its_own(folder, lora, tmp_path):
    pytest.importorskip("peft")
    model = our_model(folder)
    plain = np.asarray(draw_picture(model, PICTURE)).astype(int)
    network = attach_network(
        model,
        NetworkOptions(network_module="networks.lora", network_weights=str(lora), dim_from_weights=True),
        0,
        load_weights,
    )
    network.eval()
    own_file = tmp_path / "pytorch_lora_weights.safetensors"
    save_for_diffusers(own_file, load_weights(lora), None, {}, paths=network.diffusers_paths())
    make_lean(model.denoiser)
    ours = np.asarray(draw_picture(model, PICTURE)).astype(int)

    with quiet_libraries():
        pipe = StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True, add_watermarker=False)
    pipe.scheduler = make_sampler("ddim", "epsilon")
    pipe.set_progress_bar_config(disable=True)
    pipe.load_lora_weights(lora)
    theirs = their_picture(pipe)
    pipe.unload_lora_weights()
    pipe.load_lora_weights(tmp_path)
    theirs_in_own_names = their_picture(pipe)

    assert np.abs(ours - plain).max() > VISIBLE
    assert np.abs(ours - theirs).max() < INVISIBLE
    assert np.abs(ours - theirs_in_own_names).max() < INVISIBLE


def modules_of_a_checkpoint():
    """Underscored module paths of a single file, by part: U-Net, embedder 0 and embedder 1."""
    parts = {"model.diffusion_model.": set(), "conditioner.embedders.0.": set(), "conditioner.embedders.1.": set()}
    for name in ldm_tensors(tiny_parts("sdxl")):
        for prefix, found in parts.items():
            if name.startswith(prefix):
                path = name.removeprefix(prefix)
                found.add(re.sub(r"[._](weight|bias|in_proj_weight)$", "", path).replace(".", "_"))
    return parts.values()


def layers(lora):
    return {name.partition(".")[0] for name in load_weights(lora)}


def test_webuis_find_every_layer_of_the_unet_under_the_checkpoint_s_own_path(lora):
    """A1111 looks for `diffusion_model_…`, ComfyUI for `lora_unet_` and the path with underscores."""
    unet, _, _ = modules_of_a_checkpoint()
    names = {name.removeprefix("lora_unet_") for name in layers(lora) if name.startswith("lora_unet_")}

    assert len(names) in (722, 788)
    assert names <= unet


def test_webuis_find_every_layer_of_text_encoder_1(lora):
    """A1111 puts `0_transformer_text_model` in place of `lora_te1_text_model`; ComfyUI has the names in a table."""
    _, first, _ = modules_of_a_checkpoint()
    names = {name for name in layers(lora) if name.startswith("lora_te1_")}

    assert len(names) == 18
    assert {name.replace("lora_te1_text_model", "transformer_text_model") for name in names} <= first


def test_webuis_find_every_layer_of_text_encoder_2_and_all_four_projections_of_its_attention(lora):
    """A1111 knows the layers by OpenCLIP's paths; q, k and v stand in one matrix, and all four must be there."""
    _, _, second = modules_of_a_checkpoint()
    found = {}
    for name in layers(lora):
        match = re.fullmatch(r"lora_te2_text_model_encoder_layers_(\d+)_(.+)", name)
        if match:
            part = match[2].replace("mlp_fc1", "mlp_c_fc").replace("mlp_fc2", "mlp_c_proj").replace("self_attn", "attn")
            found.setdefault(f"model_transformer_resblocks_{match[1]}_", set()).add(part)

    assert len(found) == 4
    for block, parts in found.items():
        assert parts == {*(f"attn_{kind}_proj" for kind in ("q", "k", "v", "out")), "mlp_c_fc", "mlp_c_proj"}
        assert {block + part for part in ("attn_out_proj", "mlp_c_fc", "mlp_c_proj")} <= second
        assert f"{block}attn" in second


def test_no_layer_has_a_name_outside_the_three_parts(lora):
    assert all(name.startswith(("lora_unet_", "lora_te1_text_model_", "lora_te2_text_model_")) for name in layers(lora))
