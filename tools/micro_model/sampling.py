"""Pictures from a micro model, with diffusers' own scheduler: training is judged by code that is not the product's."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from configs import noise_schedule
from diffusers import AutoencoderKL, UNet2DConditionModel
from pictures import to_pictures
from safetensors import safe_open
from tanren.micro.drawing import Pixels
from tanren.micro.export import write_folder
from tanren.models import text_keys, unet_keys, vae_keys
from tanren.models.clip_tokenizer import EOS_TOKEN_ID, clip_tokenizer
from tanren.models.configs import CONFIG_ENTRY
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

BATCH = 32


@dataclass
class MicroModel:
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderKL

    def conditions(self, captions: Sequence[str], sizes: Sequence[int]) -> dict[str, Any]:
        """What the U-Net is told besides latents and timestep; `sizes` are of no interest to it."""
        return {"encoder_hidden_states": self.text_encoder(input_ids=token_ids(self.tokenizer, captions))[0]}


@dataclass
class MicroXlModel:
    tokenizer: CLIPTokenizer
    text_encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection]
    unet: UNet2DConditionModel
    vae: AutoencoderKL

    def conditions(self, captions: Sequence[str], sizes: Sequence[int]) -> dict[str, Any]:
        """As for `MicroModel`; sizes are original height and width, crop top and left, target height and width."""
        ids = token_ids(self.tokenizer, captions)
        return pair_conditions(self.text_encoders, ids, torch.tensor([list(sizes)] * len(captions)))


def pair_conditions(
    encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection], ids: Tensor, sizes: Tensor
) -> dict[str, Any]:
    """Conditions of SDXL: both encoders' states before their last layer, the second one's pooled state, the sizes.

    Args:
        ids: (B, length), padded with the end token.
        sizes: (B, 6), pixels.
    """
    first = encoders[0](input_ids=ids, output_hidden_states=True).hidden_states[-2]
    second = encoders[1](input_ids=pad_with_zero(ids), output_hidden_states=True)
    return {
        "encoder_hidden_states": torch.cat([first, second.hidden_states[-2]], dim=-1),
        "added_cond_kwargs": {"text_embeds": second.text_embeds, "time_ids": sizes},
    }


def pad_with_zero(ids: Tensor) -> Tensor:
    """The ids for OpenCLIP: zeros behind the first end token."""
    ends = (ids == EOS_TOKEN_ID).cumsum(1)
    return torch.where(ends > 1, 0, ids)


def load(folder: Path) -> MicroModel:
    """The parts as the training steps leave them, one diffusers folder each."""
    return MicroModel(
        clip_tokenizer(),
        CLIPTextModel.from_pretrained(folder / "text_encoder").eval(),
        UNet2DConditionModel.from_pretrained(folder / "unet").eval(),
        AutoencoderKL.from_pretrained(folder / "vae").eval(),
    )


def load_xl(folder: Path) -> MicroXlModel:
    """The same for SDXL, also from a diffusers folder."""
    encoders = (
        CLIPTextModel.from_pretrained(folder / "text_encoder").eval(),
        CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2").eval(),
    )
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    return MicroXlModel(clip_tokenizer(), encoders, unet, AutoencoderKL.from_pretrained(folder / "vae").eval())


def load_any(path: Path) -> MicroModel | MicroXlModel:
    """The parts of a packed file of either kind, computed in single precision."""
    with safe_open(path, framework="pt") as file:
        family = json.loads(file.metadata()[CONFIG_ENTRY])["family"]
    if family != "sdxl":
        return load_single_file(path)
    with tempfile.TemporaryDirectory() as folder:
        return load_xl(write_folder(path, Path(folder)))


def load_single_file(path: Path) -> MicroModel:
    """The parts of a packed SD file, computed in single precision."""
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
    model: MicroModel | MicroXlModel,
    prompts: Sequence[str],
    size_wh: tuple[int, int] = (64, 64),
    seed: int = 0,
    steps: int = 20,
    guidance: float = 4.0,
    sizes: Sequence[int] | None = None,
    eta: float = 0.0,
) -> list[Pixels]:
    """One picture per prompt by DDIM with classifier-free guidance; the empty caption is the negative.

    Args:
        eta: share of new noise at each step; 0 adds none, 1 as much as DDPM does.
        sizes: what SDXL is told; not given: a whole picture from a large enough original.
    """
    width, height = size_wh
    generator = torch.Generator().manual_seed(seed)
    scheduler = noise_schedule()
    scheduler.set_timesteps(steps)
    told = sizes or (height, width, 0, 0, height, width)
    pictures: list[Pixels] = []
    for start in range(0, len(prompts), BATCH):
        batch = list(prompts[start : start + BATCH])
        conditions = model.conditions(batch + [""] * len(batch), told)
        latents = torch.randn(len(batch), 4, height // 8, width // 8, generator=generator)
        for timestep in scheduler.timesteps:
            both = model.unet(torch.cat([latents, latents]), timestep, **conditions).sample
            with_text, without_text = both.chunk(2)
            noise = without_text + guidance * (with_text - without_text)
            latents = scheduler.step(noise, timestep, latents, eta=eta, generator=generator).prev_sample
        pictures += to_pictures(model.vae.decode(latents / model.vae.config.scaling_factor).sample)
    return pictures
