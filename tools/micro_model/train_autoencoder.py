"""Step 1: the autoencoder.

    PYTHONPATH=trainer python tools/micro_model/train_autoencoder.py WORK_DIR

There is no KL term: it can put a latent channel to sleep for good. The latents are whitened by running statistics and
get noise of a fixed size instead, which no channel can escape. At the end the whitening is folded into quant_conv and
post_quant_conv, so that latents times scaling_factor have mean 0, deviation 1 and no correlation.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from configs import MICRO_SD, build_vae
from diffusers import AutoencoderKL
from muon import MovingAverage, MuonWithAdamW
from pictures import draw_busy, draw_world, to_pixels
from torch import Tensor

CROP_STEPS = 5000  # on 32-pixel crops: four times cheaper, and steps are what it needs
WHOLE_STEPS = 1600
CROP = 32
BATCH = 8
LATENT_NOISE = 0.08  # deviations
POSTERIOR_DEVIATION = 0.03  # what the finished encoder reports as its uncertainty
SEED = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    work_dir = parser.parse_args().work_dir
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    vae = train()
    vae.save_pretrained(work_dir / "vae")


def train() -> AutoencoderKL:
    pools = picture_pools()
    vae = build_vae(MICRO_SD).to(memory_format=torch.channels_last)
    optimizer = MuonWithAdamW(vae.parameters(), lr=0.02, adamw_lr=2e-3, momentum=0.9)
    average = MovingAverage(vae.parameters(), decay=0.995)
    whitening = RunningWhitening(channels=MICRO_SD.vae["latent_channels"])
    total, started = CROP_STEPS + WHOLE_STEPS, time.process_time()
    losses: list[float] = []
    for step in range(total):
        pixels = draw_batch(pools, crops=step < CROP_STEPS)
        mean = vae.encode(pixels).latent_dist.mean
        latents = whitening.whiten(mean)
        restored = vae.decode(latents + LATENT_NOISE * torch.randn_like(latents)).sample
        loss = picture_loss(restored, pixels) + 0.01 * distance_from_white(latents)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(learning_rate(step, total))
        average.update()
        losses.append(float((restored - pixels).detach().abs().mean()))
        if (step + 1) % 250 == 0:
            recent = sum(losses[-250:]) / 250
            seconds = time.process_time() - started
            weakest = whitening.weakest_direction()
            print(f"step {step + 1}/{total}  L1 {recent:.4f}  weakest {weakest:.1e}  {seconds:.0f} CPU s", flush=True)
    average.swap()
    fold_whitening(vae, whitening, pools)
    return vae.eval()


def picture_pools() -> list[tuple[Tensor, Tensor]]:
    """Pairs of world and busy pictures of one size each; the first size is drawn most often."""
    sizes = ((64, 64), (96, 64), (64, 96), (96, 96))
    counts = ((4000, 3000), (800, 500), (800, 500), (800, 500))
    return [
        (draw_world(world, size, SEED + 10 * place)[1], draw_busy(busy, size, SEED + 10 * place + 1))
        for place, (size, (world, busy)) in enumerate(zip(sizes, counts, strict=True))
    ]


def draw_batch(pools: list[tuple[Tensor, Tensor]], crops: bool) -> Tensor:
    """BATCH pictures of one size, five of the world to three busy ones, (B, 3, H, W) in -1..1."""
    place = 0 if torch.rand(()) < 0.7 else int(torch.randint(1, len(pools), ()))
    world, busy = pools[place]
    from_world = BATCH * 5 // 8
    pictures = torch.cat(
        [
            world[torch.randint(len(world), (from_world,))],
            busy[torch.randint(len(busy), (BATCH - from_world,))],
        ]
    )
    if crops:
        top = int(torch.randint(pictures.shape[2] - CROP + 1, ()))
        left = int(torch.randint(pictures.shape[3] - CROP + 1, ()))
        pictures = pictures[..., top : top + CROP, left : left + CROP]
    return to_pixels(pictures).contiguous(memory_format=torch.channels_last)


def picture_loss(restored: Tensor, pixels: Tensor) -> Tensor:
    """Absolute and squared error, and the absolute error of neighbouring differences, which sharpens edges."""
    error = restored - pixels
    across = error[..., 1:] - error[..., :-1]
    down = error[..., 1:, :] - error[..., :-1, :]
    return error.abs().mean() + error.square().mean() + 0.5 * (across.abs().mean() + down.abs().mean())


def learning_rate(step: int, total: int) -> float:
    """Short warm-up, constant for a third, then a cosine to 2 percent."""
    if step < 20:
        return (step + 1) / 20
    progress = max(0.0, step / total - 0.33) / 0.67
    return 0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * progress))


class RunningWhitening:
    """Makes the latent channels uncorrelated and of deviation 1, by statistics followed with a delay of about 50 steps.

    The decoder sees only whitened latents: a channel that repeats another one, or says little, is stretched until its
    noise matters, so each has to carry something of its own.
    """

    def __init__(self, channels: int) -> None:
        self.mean = torch.zeros(channels, dtype=torch.float64)
        self.covariance = torch.eye(channels, dtype=torch.float64)
        self.steps = 0

    def whiten(self, latents: Tensor) -> Tensor:
        self.steps += 1
        with torch.no_grad():
            samples = latents.transpose(0, 1).flatten(1).double()
            rate = max(0.02, 1 / self.steps)
            self.mean.lerp_(samples.mean(1), rate)
            centered = samples - self.mean[:, None]
            self.covariance.lerp_(centered @ centered.T / samples.shape[1], rate)
        centered_latents = latents - self.mean[:, None, None].float()
        return torch.einsum("oi,bihw->bohw", self.matrix.float(), centered_latents)

    @property
    def matrix(self) -> Tensor:
        return inverse_root(self.covariance)

    def weakest_direction(self) -> float:
        """Variance of the direction that varies least, as a share of the strongest; near 0 it carries nothing."""
        values = torch.linalg.eigvalsh(self.covariance)
        return float(values[0] / values[-1])


def distance_from_white(latents: Tensor) -> Tensor:
    """How far the batch's own covariance is from the identity; keeps directions from fading and from running away."""
    samples = latents.transpose(0, 1).flatten(1)
    return (torch.cov(samples) - torch.eye(len(samples))).square().sum()


def inverse_root(covariance: Tensor) -> Tensor:
    """The symmetric matrix that whitens, C**(-1/2); directions without variance are not blown up beyond 1:10000."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors @ torch.diag(values.clamp(min=1e-8 * float(values.max())).rsqrt()) @ vectors.T


@torch.no_grad()
def fold_whitening(vae: AutoencoderKL, trained: RunningWhitening, pools: list[tuple[Tensor, Tensor]]) -> None:
    """Moves a whitening measured on the world's pictures alone into the 1x1 convolutions around the latents.

    The decoder has learned the running whitening w = W (m - a) of the encoder's output m. The new latents are
    z = V (m - b), so that w = W V^-1 z + W (b - a): exactly what post_quant_conv is given to undo.
    """
    means = [vae.encode(to_pixels(world[:400])).latent_dist.mean.transpose(0, 1).flatten(1) for world, _ in pools]
    latents = torch.cat(means, dim=1).double()
    center = latents.mean(1)
    matrix = inverse_root(torch.cov(latents)) / MICRO_SD.latent_scale
    undo = trained.matrix @ torch.linalg.inv(matrix)
    shift = trained.matrix @ (center - trained.mean)

    channels = len(center)
    encode, decode = vae.quant_conv, vae.post_quant_conv
    weight, bias = encode.weight[:channels, :, 0, 0].double(), encode.bias[:channels].double()
    encode.weight[:channels, :, 0, 0] = (matrix @ weight).float()
    encode.bias[:channels] = (matrix @ (bias - center)).float()
    encode.weight[channels:] = 0
    encode.bias[channels:] = 2 * math.log(POSTERIOR_DEVIATION / MICRO_SD.latent_scale)
    mixing = decode.weight[:, :, 0, 0].double()
    decode.weight[:, :, 0, 0] = (mixing @ undo).float()
    decode.bias += (mixing @ shift).float()


if __name__ == "__main__":
    main()
