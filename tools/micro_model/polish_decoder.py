"""Step 3: the decoder alone, for cleaner edges. The encoder stays, so it can run beside step 2.

    PYTHONPATH=trainer python tools/micro_model/polish_decoder.py WORK_DIR

Reads WORK_DIR/vae, writes WORK_DIR/vae_polished. The decoder learns to undo noise of the size that sampling leaves
in the latents.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from configs import MICRO_SD
from diffusers import AutoencoderKL
from muon import MovingAverage, MuonWithAdamW
from pictures import draw_busy, draw_world, to_pixels
from torch import Tensor
from train_autoencoder import picture_loss

STEPS = 3500
BATCH = 16
LATENT_NOISE = 0.07  # deviations
SEED = 2
# Size, world pictures, busy pictures, share of the steps.
POOLS = (
    ((64, 64), 8000, 3000, 0.7),
    ((96, 64), 1500, 500, 0.1),
    ((64, 96), 1500, 500, 0.1),
    ((96, 96), 1500, 500, 0.1),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    work_dir = parser.parse_args().work_dir
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    vae = AutoencoderKL.from_pretrained(work_dir / "vae")
    polish(vae)
    vae.save_pretrained(work_dir / "vae_polished")


def polish(vae: AutoencoderKL) -> None:
    vae.requires_grad_(False)
    vae.to(memory_format=torch.channels_last)
    weights = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = MuonWithAdamW(weights, lr=0.01, adamw_lr=1e-3, momentum=0.95)
    average = MovingAverage(weights, decay=0.995)
    pools = [
        (draw_world(world, size, SEED + 10 * place)[1], draw_busy(busy, size, SEED + 10 * place + 1))
        for place, (size, world, busy, _) in enumerate(POOLS)
    ]
    shares = torch.tensor([share for *_, share in POOLS])
    started, losses = time.process_time(), []
    for step in range(STEPS):
        pixels = draw_batch(*pools[int(torch.multinomial(shares, 1))])
        with torch.no_grad():
            latents = vae.encode(pixels).latent_dist.mean
        noise = torch.randn_like(latents) * (LATENT_NOISE / MICRO_SD.latent_scale)
        loss = picture_loss(vae.decode(latents + noise).sample, pixels)
        optimizer.zero_grad()
        loss.backward()
        rate = min(1.0, (step + 1) / 20) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * step / STEPS)))
        optimizer.step(rate)
        average.update()
        losses.append(loss.item())
        if (step + 1) % 250 == 0:
            recent = sum(losses[-250:]) / 250
            print(f"step {step + 1}/{STEPS}  loss {recent:.4f}  {time.process_time() - started:.0f} CPU s", flush=True)
    average.swap()


def draw_batch(world: Tensor, busy: Tensor) -> Tensor:
    """Three world pictures to a busy one, (B, 3, H, W) in -1..1."""
    from_world = BATCH * 3 // 4
    pictures = torch.cat(
        [world[torch.randint(len(world), (from_world,))], busy[torch.randint(len(busy), (BATCH - from_world,))]]
    )
    return to_pixels(pictures).contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
