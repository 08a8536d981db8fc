"""A diffusion model of a few hundred weights that is a family like any other."""

import torch
import torch.nn.functional as F
from tanren.data.batch import Batch, SampleKey, TextStates
from tanren.diffusion.schedules import NoiseSchedule
from tanren.families.base import BaseNames, Family, LatentGeometry, LoraTarget, Model, Placement, TextRules
from tanren.networks.lora import attach
from tanren.options.blocks import SD_BLOCKS
from tanren.options.network import NetworkOptions
from torch import nn

WIDTH = 6


class Denoiser(nn.Module):
    """A 1 x 1 convolution, stronger at high timesteps, shifted by the text."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(4, 4, 1)
        self.text = nn.Linear(WIDTH, 4)

    def forward(self, latents, timesteps, hidden):
        strength = 0.5 + timesteps.view(-1, 1, 1, 1) / 1000
        return self.mix(latents) * strength + self.text(hidden.mean(dim=1))[:, :, None, None]


class TextEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(256, WIDTH)
        self.project = nn.Linear(WIDTH, WIDTH)

    def forward(self, captions):
        ids = torch.tensor([list(caption.encode()[:8].ljust(8)) for caption in captions])
        return self.project(self.embed(ids))


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Conv2d(3, 4, 1)
        self.decode = nn.Conv2d(4, 3, 1)


def encode_pixels(model, pixels, noise):
    return model.vae.encode(F.avg_pool2d(pixels, 8)) + 0.1 * noise


def decode_latents(model, latents):
    return model.vae.decode(F.interpolate(latents, scale_factor=8)).tanh()


def encode_text(model, captions):
    return TextStates(model.text_encoders[0](captions))


def encode_prompts(model, prompts, negatives):
    return encode_text(model, prompts), encode_text(model, negatives)


def predict(model, noisy_latents, timesteps, text, sizes):
    return model.denoiser(noisy_latents, timesteps, text.hidden)


def lora_targets(model):
    return [
        LoraTarget("lora_unet_mix", model.denoiser.mix, "unet", "Transformer2DModel", 1),
        LoraTarget("lora_unet_text", model.denoiser.text, "unet", "Transformer2DModel", 1),
        LoraTarget("lora_te_project", model.text_encoders[0].project, "text_encoder", "CLIPMLP", None),
    ]


FAMILY = Family(
    name="tiny",
    title="Tiny",
    latents=LatentGeometry(channels=4, downscale=8, scale=1.0),
    bucket_step=64,
    blocks=SD_BLOCKS,
    unet_path=str,
    base_names=lambda settings: BaseNames("tiny", False, "tiny", "tiny", None, 64),
    load=lambda settings, placement, report: tiny_model(),
    encode_pixels=encode_pixels,
    decode_latents=decode_latents,
    encode_text=encode_text,
    encode_prompts=encode_prompts,
    predict=predict,
    lora_targets=lora_targets,
)


def tiny_model(prediction_type="epsilon"):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = Denoiser(), Autoencoder(), TextEncoder()
    for part in parts:
        part.requires_grad_(False)
    denoiser, vae, text_encoder = parts
    cpu = Placement(torch.device("cpu"), torch.float32, torch.float32)
    schedule = NoiseSchedule.stable_diffusion()
    return Model(FAMILY, denoiser, vae, [text_encoder], [None], schedule, prediction_type, cpu, TextRules())


def tiny_network(model, **options):
    """A LoRA whose `up` is not zero, so that its multiplier matters."""
    network = attach(lora_targets(model), NetworkOptions(network_dim=2, **options), seed=1)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.trainable():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return network


def tiny_batch(images=(0, 1), *, pixels=False, epoch=0, mask=None, loss_weights=None, preserve=None):
    """Samples whose content depends on their number alone."""
    latents = [torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(100 + image)) for image in images]
    pictures = [torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(image)) * 2 - 1 for image in images]
    sizes = torch.full((len(images), 2), 64)
    return Batch(
        keys=[SampleKey(epoch, 0, image, 0) for image in images],
        paths=[f"{image}.png" for image in images],
        captions=[f"picture {image}" for image in images],
        bucket_wh=(64, 64),
        latents=None if pixels else torch.stack(latents),
        pixels=torch.stack(pictures) if pixels else None,
        posterior_noise=torch.stack(latents) if pixels else None,
        text=None,
        mask=mask,
        loss_weights=torch.ones(len(images)) if loss_weights is None else torch.tensor(loss_weights),
        preserve_output=torch.zeros(len(images), dtype=torch.bool) if preserve is None else torch.tensor(preserve),
        original_hw=sizes,
        crop_top_left=torch.zeros_like(sizes),
        target_hw=sizes,
    )
