"""Draw one picture with a loaded model: start from noise, follow a sampler, decode.

Everything random comes from the picture's own seed, on the CPU: the same seed gives the same picture on every device,
whatever was drawn before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from ..data.batch import TextStates, whole_picture_sizes
from ..diffusion.samplers import KNOWN, make_sampler, takes_generator
from ..errors import NumericError
from ..families.base import Model
from ..formats.infotext import write_infotext
from ..formats.sample_prompts import SamplePrompt

STEPS = 30
SCALE = 7.5


@dataclass(frozen=True)
class Picture:
    """What to draw; nothing is left open.

    Args:
        size_wh: pixels, multiples of the model's latent cell.
        steps: as the sampler counts them.
        scale: of classifier-free guidance; 1 and below draw without it and without the negative prompt.
        sampler: a key of `samplers.KNOWN`.
    """

    prompt: str
    negative_prompt: str
    size_wh: tuple[int, int]
    seed: int
    steps: int = STEPS
    scale: float = SCALE
    sampler: str = "ddim"

    def parameters(self, clip_skip: int | None) -> str:
        """The text that AUTOMATIC1111 and Forge write into their pictures, so that "PNG info" reads ours."""
        width, height = self.size_wh
        facts: dict[str, object] = {
            "Steps": self.steps,
            "Sampler": KNOWN[self.sampler].title,
            "CFG scale": f"{self.scale:g}",
            "Seed": self.seed,
            "Size": f"{width}x{height}",
        }
        if clip_skip:
            facts["Clip skip"] = clip_skip
        return write_infotext(self.prompt, self.negative_prompt, facts)


def picture_of(prompt: SamplePrompt, model: Model, *, sampler: str, seed: int) -> Picture:
    """Fill in what a prompt leaves open: the sampler, the seed, the numbers of its model."""
    return Picture(
        prompt=prompt.prompt,
        negative_prompt=prompt.negative_prompt or "",
        size_wh=prompt.size_wh(model.family.latents.downscale),
        seed=seed if prompt.seed is None else prompt.seed,
        steps=prompt.sample_steps or STEPS,
        scale=SCALE if prompt.scale is None else prompt.scale,
        sampler=prompt.sample_sampler if prompt.sample_sampler in KNOWN else sampler,
    )


@torch.no_grad()
def draw_picture(model: Model, picture: Picture, *, on_step: Callable[[], None] = lambda: None) -> Image.Image:
    """Draw a picture.

    Args:
        model: with whatever network is attached to it, at its present strength.
        picture: what to draw.
        on_step: called after each call of the model.

    Raises:
        NumericError: the model's numbers are not finite.
    """
    family, device = model.family, model.placement.device
    generator = torch.Generator().manual_seed(picture.seed)
    sampler = make_sampler(picture.sampler, model.prediction_type)
    sampler.set_timesteps(picture.steps, device=device)
    width, height = (side // family.latents.downscale for side in picture.size_wh)
    noise = torch.randn(1, family.latents.channels, height, width, generator=generator)
    latents = noise.to(device) * sampler.init_noise_sigma
    guide = Guidance(model, picture)
    extra = {"generator": generator} if takes_generator(sampler) else {}
    for timestep in sampler.timesteps:
        prediction = guide(sampler.scale_model_input(latents, timestep), timestep)
        latents = sampler.step(prediction, timestep, latents, **extra).prev_sample
        on_step()
    if not torch.isfinite(latents).all():
        raise NumericError(
            what="The model's numbers became infinite or NaN while a picture was drawn.",
            fix="Try --no_half_vae, bf16 or a lower learning rate.",
        )
    # A network that asks for autocast must not make the VAE compute in half precision: --no_half_vae.
    with torch.autocast(device.type, enabled=False):
        return _image(family.decode_latents(model, latents.float()))


class Guidance:
    """The model's prediction for a prompt, drawn away from the negative prompt when the scale asks for it.

    Source: Ho and Salimans 2022, arXiv:2207.12598, equation 6, with kohya's scale (1 is no guidance).
    """

    def __init__(self, model: Model, picture: Picture) -> None:
        self.model, self.scale = model, picture.scale
        positive, negative = model.family.encode_prompts(model, [picture.prompt], [picture.negative_prompt])
        self.text = _stacked(negative, positive) if self.is_on else positive
        self.sizes = whole_picture_sizes(picture.size_wh, self.count).to(model.placement.device)

    @property
    def is_on(self) -> bool:
        """Guidance needs two predictions; at 1 and below the prompt's own is taken."""
        return self.scale > 1

    @property
    def count(self) -> int:
        """Predictions at a time."""
        return 2 if self.is_on else 1

    def __call__(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """Prediction for latents (1, C, h, w), in float32."""
        batch, timesteps = latents.expand(self.count, -1, -1, -1), timestep.expand(self.count)
        prediction = self.model.family.predict(self.model, batch, timesteps, self.text, self.sizes).float()
        if not self.is_on:
            return prediction
        without, with_prompt = prediction.chunk(2)
        return without + self.scale * (with_prompt - without)


def _stacked(first: TextStates, second: TextStates) -> TextStates:
    pooled = None
    if first.pooled is not None and second.pooled is not None:
        pooled = torch.cat([first.pooled, second.pooled])
    return TextStates(torch.cat([first.hidden, second.hidden]), pooled)


def _image(pixels: Tensor) -> Image.Image:
    """Pixels (1, 3, H, W) in -1..1 as a picture."""
    levels = ((pixels[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())
