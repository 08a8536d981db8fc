"""What the autoencoder keeps: signal to noise, the effect of each latent channel, the judge on restored pictures.

PYTHONPATH=trainer python tools/micro_model/check_autoencoder.py VAE_DIR [SHEET.png]
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from configs import MICRO_SD
from diffusers import AutoencoderKL
from pictures import as_bytes, draw_busy, draw_world, to_pictures, to_pixels
from PIL import Image
from tanren.micro.drawing import render
from tanren.micro.score import score
from tanren.micro.world import BACKGROUNDS, COLORS, NEW_SHAPES, PICTURE_SIZES_WH, Scene, Words
from torch import Tensor

SEED = 9000
COUNT = 192


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vae_dir", type=Path)
    parser.add_argument("sheet", type=Path, nargs="?")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    vae = AutoencoderKL.from_pretrained(arguments.vae_dir).eval()

    for size_wh in PICTURE_SIZES_WH:
        scenes, pictures = draw_world(COUNT, size_wh, SEED)
        pixels = to_pixels(pictures)
        latents = vae.encode(pixels).latent_dist.mean
        restored = vae.decode(latents).sample
        report(f"world {size_wh}", pixels, restored)
        print("   ", score(to_pictures(restored), [scene.words for scene in scenes]))
    report_channels(vae)
    busy = to_pixels(draw_busy(COUNT, (64, 64), SEED + 1))
    restored_busy = vae(busy).sample
    report("busy", busy, restored_busy)
    new_words, new_pictures = draw_new_shapes()
    restored_new = vae(to_pixels(new_pictures)).sample
    report("new shapes", to_pixels(new_pictures), restored_new)
    print("   ", score(to_pictures(restored_new), new_words))
    if arguments.sheet:
        write_sheet(arguments.sheet, vae, busy)


def report(title: str, pixels: Tensor, restored: Tensor) -> None:
    decibels = -10 * torch.log10((pixels - restored).square().mean() / 4)
    print(f"{title}: {decibels:.1f} dB")


def report_channels(vae: AutoencoderKL) -> None:
    """A channel whose noise does not show carries nothing and would only make the denoiser's work harder."""
    pixels = to_pixels(draw_world(64, (64, 64), SEED + 2)[1])
    latents = vae.encode(pixels).latent_dist.mean
    scaled = latents * MICRO_SD.latent_scale
    print("latents: mean", rounded(scaled.mean((0, 2, 3))), "deviation", rounded(scaled.std((0, 2, 3))))
    print("correlation", rounded(torch.corrcoef(scaled.transpose(0, 1).flatten(1)).triu(1).flatten()))
    plain = vae.decode(latents).sample
    effects = []
    for channel in range(latents.shape[1]):
        moved = latents.clone()
        moved[:, channel] += 0.3 / MICRO_SD.latent_scale * torch.randn_like(moved[:, channel])
        effects.append((vae.decode(moved).sample - plain).abs().mean())
    print("mean change by noise of 0.3 deviations, per channel:", rounded(torch.stack(effects)))


def rounded(values: Tensor) -> list[float]:
    return [round(float(value), 3) for value in values if value != 0]


def draw_new_shapes() -> tuple[list[Words], Tensor]:
    rng = np.random.default_rng(SEED + 3)
    words = [
        Words(NEW_SHAPES[place % 3], str(rng.choice(list(COLORS))), str(rng.choice(list(BACKGROUNDS))))
        for place in range(COUNT)
    ]
    scenes = [Scene(words, x=rng.uniform(-1, 1), y=rng.uniform(-1, 1)) for words in words]
    return words, as_bytes([render(scene, (64, 64), rng) for scene in scenes])


def write_sheet(path: Path, vae: AutoencoderKL, busy: Tensor) -> None:
    """Originals above what comes back: twelve of the world, twelve busy ones."""
    rows = []
    for pixels in (to_pixels(draw_world(12, (64, 64), SEED)[1]), to_pixels(draw_new_shapes()[1][:12]), busy[:12]):
        for shown in (pixels, vae(pixels).sample):
            rows.append(np.concatenate(to_pictures(shown), axis=1))
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST).save(path)


if __name__ == "__main__":
    main()
