"""Pictures from a micro model, with diffusers' own scheduler: training is judged by code that is not the product's."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from configs import noise_schedule
from diffusers import AutoencoderKL, UNet2DConditionModel
from pictures import to_pictures
from safetensors import safe_open
from tanren.micro.drawing import Pixels
from tanren.models import text_keys, unet_keys, vae_keys
from tanren.models.clip_tokenizer import clip_tokenizer
from tanren.models.configs import CONFIG_ENTRY
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

BATCH = 32


@dataclass
class MicroModel:
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderKL


def load(folder: Path) -> MicroModel:
    """The parts as the training steps leave them, one diffusers folder each."""
    return MicroModel(
        clip_tokenizer(),
        CLIPTextModel.from_pretrained(folder / "text_encoder").eval(),
        UNet2DConditionModel.from_pretrained(folder / "unet").eval(),
        AutoencoderKL.from_pretrained(folder / "vae").eval(),
    )


def load_single_file(path: Path) -> MicroModel:
    """The parts of a packed file, computed in single precision."""
    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()[CONFIG_ENTRY])
        tensors = {name: file.get_tensor(name).float() for name in list(file.keys())}
    unet = UNet2DConditionModel(**config["unet"])
    unet.load_state_dict(own_names(tensors, unet_keys.unet_table(), unet_keys.PREFIX))
    vae = AutoencoderKL(**config["vae"])
    weights = own_names(tensors, vae_keys.vae_table(), vae_keys.PREFIX)
    vae.load_state_dict({name: weights[name].reshape(own.shape) for name, own in vae.state_dict().items()})
    text_encoder = CLIPTextModel(CLIPTextConfig(**config["text_encoder"]))
    text_encoder.load_state_dict(
        {
            name.removeprefix(text_keys.SD1_PREFIX): tensor
            for name, tensor in tensors.items()
            if name.startswith(text_keys.SD1_PREFIX)
        }
    )
    return MicroModel(clip_tokenizer(), text_encoder.eval(), unet.eval(), vae.eval())


def own_names(tensors: Mapping[str, Tensor], table: Mapping[str, str], prefix: str) -> dict[str, Tensor]:
    """The tensors with this prefix under diffusers' names."""
    reverse = {theirs: ours for ours, theirs in table.items()}
    return {
        str(unet_keys.renamed(name.removeprefix(prefix), reverse)): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def token_ids(tokenizer: CLIPTokenizer, captions: Sequence[str], length: int = 77) -> Tensor:
    """(B, length), padded with the end token."""
    return torch.tensor(tokenizer(list(captions), padding="max_length", max_length=length, truncation=True).input_ids)


@torch.no_grad()
def generate(
    model: MicroModel,
    prompts: Sequence[str],
    size_wh: tuple[int, int] = (64, 64),
    seed: int = 0,
    steps: int = 20,
    guidance: float = 4.0,
) -> list[Pixels]:
    """One picture per prompt by DDIM with classifier-free guidance; the empty caption is the negative."""
    width, height = size_wh
    generator = torch.Generator().manual_seed(seed)
    scheduler = noise_schedule()
    scheduler.set_timesteps(steps)
    pictures: list[Pixels] = []
    for start in range(0, len(prompts), BATCH):
        batch = list(prompts[start : start + BATCH])
        ids = token_ids(model.tokenizer, batch + [""] * len(batch))
        text = model.text_encoder(input_ids=ids).last_hidden_state
        latents = torch.randn(len(batch), 4, height // 8, width // 8, generator=generator)
        for timestep in scheduler.timesteps:
            both = model.unet(torch.cat([latents, latents]), timestep, text).sample
            with_text, without_text = both.chunk(2)
            noise = without_text + guidance * (with_text - without_text)
            latents = scheduler.step(noise, timestep, latents).prev_sample
        pictures += to_pictures(model.vae.decode(latents / model.vae.config.scaling_factor).sample)
    return pictures
