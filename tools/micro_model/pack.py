"""Step 4: the parts as one checkpoint file in Stable Diffusion's own layout, half precision, same bytes each time.

PYTHONPATH=trainer python tools/micro_model/pack.py WORK_DIR trainer/tanren/assets/micro/micro-sd.safetensors
PYTHONPATH=trainer python tools/micro_model/pack.py WORK_DIR trainer/tanren/assets/micro/micro-sdxl.safetensors

A work folder with two text encoders is SDXL's.
"""

import argparse
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from configs import MICRO_SD, MICRO_SDXL, MicroConfig
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.numpy import load_file
from tanren.formats.safetensors_header import header_bytes, lay_out
from tanren.models import unet_keys, vae_keys
from tanren.models.configs import CONFIG_ENTRY, Configs, header_entry
from tanren.models.save import ModelParts, write_single_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

TEXT_PREFIX = "cond_stage_model.transformer.text_model."
FORMAT = {"format": "pt"}
Tensors = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    if (arguments.work_dir / "text_encoder_2").exists():
        write_single_file(arguments.target, sdxl_parts(arguments.work_dir), dtype=torch.float16, metadata=FORMAT)
    else:
        tensors = as_single_file(arguments.work_dir)
        arguments.target.write_bytes(safetensors_bytes(tensors, metadata(MICRO_SD)))
    content = arguments.target.read_bytes()
    print(f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


def sdxl_parts(work_dir: Path) -> ModelParts:
    config = MICRO_SDXL
    return ModelParts(
        Configs(config.family, config.unet, config.vae, config.text_encoders),
        UNet2DConditionModel.from_pretrained(work_dir / "unet"),
        AutoencoderKL.from_pretrained(work_dir / "vae"),
        (
            CLIPTextModel.from_pretrained(work_dir / "text_encoder"),
            CLIPTextModelWithProjection.from_pretrained(work_dir / "text_encoder_2"),
        ),
    )


def as_single_file(work_dir: Path) -> Tensors:
    """All weights under their ldm names, float16."""
    polished = work_dir / "vae_polished"
    vae_dir = polished if polished.exists() else work_dir / "vae"
    unet = load_file(work_dir / "unet" / "diffusion_pytorch_model.safetensors")
    vae = load_file(vae_dir / "diffusion_pytorch_model.safetensors")
    text = load_file(work_dir / "text_encoder" / "model.safetensors")

    unet = renamed_all(unet, unet_keys.unet_table(), unet_keys.PREFIX)
    vae = renamed_all(vae, vae_keys.vae_table(), vae_keys.PREFIX)
    for name in [name for name in vae if ".attn_1." in name and vae[name].ndim == 2]:
        vae[name] = vae[name][:, :, None, None]  # ldm keeps these projections as 1x1 convolutions
    text = {TEXT_PREFIX + name.removeprefix("text_model."): tensor for name, tensor in text.items()}
    return {name: tensor.astype(np.float16) for name, tensor in (unet | vae | text).items()}


def renamed_all(tensors: Tensors, table: Mapping[str, str], prefix: str) -> Tensors:
    found = {unet_keys.renamed(name, table): tensor for name, tensor in tensors.items()}
    assert None not in found and len(found) == len(tensors)
    return {f"{prefix}{name}": tensor for name, tensor in found.items()}


def metadata(config: MicroConfig) -> dict[str, str]:
    configs = Configs(config.family, config.unet, config.vae, config.text_encoders)
    return {**FORMAT, CONFIG_ENTRY: header_entry(configs)}


def safetensors_bytes(tensors: Tensors, entries: Mapping[str, str]) -> bytes:
    """The whole file in memory; sizes and order are the library's, and nothing in it depends on the run."""
    placed = lay_out((name, "F16", tensor.shape) for name, tensor in tensors.items())
    payload = b"".join(tensors[name].tobytes() for name in placed)
    return header_bytes(entries, placed) + payload


if __name__ == "__main__":
    main()
