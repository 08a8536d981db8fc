"""Step 1: the autoencoder.

    PYTHONPATH=trainer python tools/micro_model/train_autoencoder.py WORK_DIR

There is no KL term: it can put a latent channel to sleep for good. The latents are standardized by running
statistics and get noise of a fixed size instead, which no channel can escape. At the end the statistics are folded
into quant_conv and post_quant_conv, so that latents times scaling_factor have mean 0 and deviation 1.
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

CROP_STEPS = 6000  # on 32-pixel crops: four times cheaper, and steps are what it needs
WHOLE_STEPS = 3000
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
    statistics = RunningStatistics(channels=MICRO_SD.vae["latent_channels"])
    total, started = CROP_STEPS + WHOLE_STEPS, time.process_time()
    losses: list[float] = []
    for step in range(total):
        pixels = draw_batch(pools, crops=step < CROP_STEPS)
        mean = vae.encode(pixels).latent_dist.mean
        latents = statistics.standardize(mean)
        noisy_latents = latents + LATENT_NOISE * torch.randn_like(latents)
        restored = vae.decode(statistics.restore(noisy_latents)).sample
        # The small pull on the latents keeps the encoder from outrunning the statistics.
        loss = picture_loss(restored, pixels) + 1e-3 * latents.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(learning_rate(step, total))
        average.update()
        losses.append(float((restored - pixels).detach().abs().mean()))
        if (step + 1) % 250 == 0:
            recent = sum(losses[-250:]) / 250
            seconds = time.process_time() - started
            print(f"step {step + 1}/{total}  L1 {recent:.4f}  {seconds:.0f} CPU s", flush=True)
    average.swap()
    fold_statistics(vae, pools)
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


class RunningStatistics:
    """Per-channel mean and deviation of the latents, followed with a delay of about 50 steps."""

    def __init__(self, channels: int) -> None:
        self.mean = torch.zeros(1, channels, 1, 1)
        self.deviation = torch.ones(1, channels, 1, 1)
        self.steps = 0

    def standardize(self, latents: Tensor) -> Tensor:
        self.steps += 1
        with torch.no_grad():
            rate = max(0.02, 1 / self.steps)
            self.mean.lerp_(latents.mean((0, 2, 3), keepdim=True), rate)
            spread = (latents - self.mean).square().mean((0, 2, 3), keepdim=True).sqrt()
            self.deviation.lerp_(spread, rate)
        return (latents - self.mean) / self.deviation

    def restore(self, latents: Tensor) -> Tensor:
        return latents * self.deviation + self.mean


@torch.no_grad()
def fold_statistics(vae: AutoencoderKL, pools: list[tuple[Tensor, Tensor]]) -> None:
    """Moves mean and deviation of the world's latents into the two 1x1 convolutions around them."""
    means = [vae.encode(to_pixels(world[:400])).latent_dist.mean.transpose(0, 1).flatten(1) for world, _ in pools]
    latents = torch.cat(means, dim=1).double()
    center = latents.mean(1).float()
    gain = (1 / (latents.std(1) * MICRO_SD.latent_scale)).float()

    channels = len(gain)
    encode, decode = vae.quant_conv, vae.post_quant_conv
    encode.weight[:channels] *= gain[:, None, None, None]
    encode.bias[:channels] = (encode.bias[:channels] - center) * gain
    encode.weight[channels:] = 0
    encode.bias[channels:] = 2 * math.log(POSTERIOR_DEVIATION / MICRO_SD.latent_scale)
    decode.bias += decode.weight[..., 0, 0] @ center
    decode.weight /= gain[None, :, None, None]


if __name__ == "__main__":
    main()
