"""Pictures from a micro model, with diffusers' own scheduler: training is judged by code that is not the product's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from configs import noise_schedule
from diffusers import AutoencoderKL, UNet2DConditionModel
from pictures import to_pictures
from tanren.micro.drawing import Pixels
from tanren.models.clip_tokenizer import clip_tokenizer
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

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
