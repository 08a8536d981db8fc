"""Whole models on disk, read back by diffusers and transformers."""

import json

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save
from tanren.models.configs import CONFIG_ENTRY
from tanren.models.save import ldm_tensors, write_single_file, write_tensors
from tanren.models.save_folder import write_folder
from tiny_models import tiny_parts, tiny_sd
from transformers import CLIPTextModel


def assert_equal_weights(found, wanted):
    found, wanted = found.state_dict(), wanted.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_diffusers_reads_our_single_file(tmp_path, family):
    parts = tiny_parts(family)
    path = write_single_file(tmp_path / "model.safetensors", parts, dtype=torch.float32)
    folder = write_folder(tmp_path / "configs", parts, dtype=torch.float32)

    unet = UNet2DConditionModel.from_single_file(str(path), config=str(folder / "unet"), local_files_only=True)
    vae = AutoencoderKL.from_single_file(str(path), config=str(folder / "vae"), local_files_only=True)

    assert_equal_weights(unet, parts.unet)
    assert_equal_weights(vae, parts.vae)


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_diffusers_and_transformers_read_our_folder(tmp_path, family):
    parts = tiny_parts(family)
    folder = write_folder(tmp_path / "model", parts, dtype=torch.float32)

    assert_equal_weights(UNet2DConditionModel.from_pretrained(folder, subfolder="unet"), parts.unet)
    assert_equal_weights(AutoencoderKL.from_pretrained(folder, subfolder="vae"), parts.vae)
    assert_equal_weights(CLIPTextModel.from_pretrained(folder / "text_encoder"), parts.text_encoders[0])


def test_a_pipeline_opens_from_our_folder(tmp_path):
    folder = write_folder(tmp_path / "model", tiny_parts(), dtype=torch.float32)

    pipe = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)

    assert len(pipe.tokenizer) == 49408
    assert pipe.tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert_equal_weights(pipe.text_encoder, tiny_parts().text_encoders[0])


def test_text_encoder_folders_keep_the_level_text_model(tmp_path):
    folder = write_folder(tmp_path / "model", tiny_parts(), dtype=torch.float16)

    names = load_file(folder / "text_encoder" / "model.safetensors").keys()

    assert all(name.startswith("text_model.") for name in names)


def test_a_v_prediction_folder_says_so(tmp_path):
    folder = write_folder(tmp_path / "model", tiny_parts(), dtype=torch.float16, v_prediction=True)

    assert json.loads((folder / "scheduler" / "scheduler_config.json").read_text())["prediction_type"] == "v_prediction"


def test_single_files_have_the_published_names():
    names = ldm_tensors(tiny_parts())

    assert names.keys() >= {
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
        "model.diffusion_model.output_blocks.2.1.conv.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight",
        "first_stage_model.decoder.up.3.block.0.norm1.weight",
    }
    assert names["first_stage_model.encoder.mid.attn_1.q.weight"].shape == (8, 8, 1, 1)
    assert names["model.diffusion_model.middle_block.1.proj_in.weight"].shape == (24, 24, 1, 1)


def test_sd2_files_have_one_layer_more_as_readers_expect():
    tensors = ldm_tensors(tiny_parts("sd2"))
    prefix = "cond_stage_model.model.transformer.resblocks"

    assert torch.equal(tensors[f"{prefix}.3.ln_1.bias"], tensors[f"{prefix}.2.ln_1.bias"])
    assert f"{prefix}.4.ln_1.bias" not in tensors
    assert tensors["cond_stage_model.model.text_projection"].tolist() == torch.ones(16, 16).tolist()
    assert tensors["cond_stage_model.model.logit_scale"] == 1
    assert tensors["model.diffusion_model.middle_block.1.proj_in.weight"].shape == (24, 24)


def test_models_of_another_size_carry_their_configs(tmp_path):
    path = tiny_sd(tmp_path / "model.safetensors")

    with safe_open(path, "pt") as file:
        entry = json.loads(file.metadata()[CONFIG_ENTRY])

    assert entry["family"] == "sd1"
    assert entry["unet"]["block_out_channels"] == [8, 16, 24, 24]
    assert entry["text_encoder"]["num_hidden_layers"] == 3


def test_same_weights_same_bytes(tmp_path):
    one = tiny_sd(tmp_path / "one.safetensors", dtype=torch.float16)
    two = tiny_sd(tmp_path / "two.safetensors", dtype=torch.float16)

    assert one.read_bytes() == two.read_bytes()


def test_bytes_are_those_of_the_safetensors_library(tmp_path):
    tensors = {"b": torch.arange(6.0).view(2, 3), "a": torch.zeros(()), "c.weight": torch.ones(2, 3).T}
    path = write_tensors(tmp_path / "a.safetensors", tensors, dtype=torch.float32, metadata={"format": "pt"})

    assert path.read_bytes() == save({n: t.contiguous() for n, t in tensors.items()}, {"format": "pt"})


def test_a_pipeline_opens_from_our_single_file_without_a_network(tmp_path):
    path = tiny_sd(tmp_path / "model.safetensors")
    folder = write_folder(tmp_path / "configs", tiny_parts(), dtype=torch.float32)

    pipe = StableDiffusionPipeline.from_single_file(str(path), config=str(folder), local_files_only=True)

    assert_equal_weights(pipe.text_encoder, tiny_parts().text_encoders[0])
    assert_equal_weights(pipe.unet, tiny_parts().unet)
    assert_equal_weights(pipe.vae, tiny_parts().vae)
