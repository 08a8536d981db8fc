"""SDXL in miniature: both text encoders and the U-Net, with the autoencoder of micro-SD.

    PYTHONPATH=trainer python tools/micro_model/train_sdxl.py WORK_DIR SD_WORK_DIR
    PYTHONPATH=trainer python tools/micro_model/train_sdxl.py WORK_DIR SD_WORK_DIR --round 2

SD_WORK_DIR holds a finished micro-SD. Its autoencoder is taken over with another scaling factor, and its text encoder
is where encoder 2 begins. The size conditions mean what they mean in SDXL: a picture whose original was smaller than
the training size is soft, and a crop may cut the shape off.
"""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from configs import MICRO_SD, MICRO_SDXL, build_text_encoder, build_unet
from diffusers import AutoencoderKL, UNet2DConditionModel
from muon import MovingAverage, MuonWithAdamW
from pictures import as_bytes
from PIL import Image
from sampling import MicroXlModel, generate, pair_conditions
from tanren.micro.drawing import Pixels, render
from tanren.micro.score import score
from tanren.micro.world import PICTURE_SIZES_WH, Scene, draw_scene, known_words, prompt, spread
from tanren.models.clip_tokenizer import clip_tokenizer
from torch import Tensor, nn
from train_denoiser import (
    SCHEDULE,
    Round,
    TrainedRows,
    draw_step_kind,
    draw_token_ids,
    encode,
    posterior_deviation,
    world_tokens,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection

SEED = 40
# Pictures of each size: whole and sharp, soft, cut out of a larger one.
PICTURES = {size_wh: (14000, 3000, 3000) if size_wh == (64, 64) else (3600, 700, 700) for size_wh in PICTURE_SIZES_WH}
ENLARGED = (2.0, 4.0)  # a soft picture was this many times smaller
CANVAS = 1.5  # the side of a canvas over that of the crop
LARGEST_ORIGINAL = 2048  # pixels

ROUNDS = {
    1: Round(4800, peak=1.0, constant_until=0.3, mixed_from=0.55, full_length_from=0.92, seed=SEED, even_cost=True),
    2: Round(
        2500,
        peak=0.4,
        constant_until=0.2,
        mixed_from=0.0,
        full_length_from=0.8,
        seed=SEED + 1,
        other_sizes=0.6,
        largest=0.15,
        even_cost=True,
    ),
}


@dataclass(frozen=True)
class Pool:
    """Cached pictures of one size with what SDXL is told about them.

    Attributes:
        mean: (count, 4, height / 8, width / 8), scaled.
        deviation: of the encoder's posterior, scaled; the same for all.
        sizes: (count, 6) original height and width, crop top and left, target height and width, in pixels; 0 for an
            original stands for any that is large enough.
    """

    scenes: list[Scene]
    mean: Tensor
    deviation: float
    sizes: Tensor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("sd_work_dir", type=Path)
    parser.add_argument("--round", type=int, choices=sorted(ROUNDS), default=1)
    parser.add_argument("--steps", type=int, help="another number of steps, to try something out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plan = ROUNDS[arguments.round]
    if arguments.steps:
        plan = replace(plan, steps=arguments.steps)
    work_dir, sd_work_dir = arguments.work_dir, arguments.sd_work_dir
    work_dir.mkdir(parents=True, exist_ok=True)
    vae = take_over_autoencoder(work_dir, sd_work_dir)
    train(work_dir, sd_work_dir, plan, cached_pools(work_dir, sd_work_dir), vae, goes_on=arguments.round > 1)


def take_over_autoencoder(work_dir: Path, sd_work_dir: Path) -> AutoencoderKL:
    """micro-SD's autoencoder with SDXL's scaling factor: scaled latents stay the same numbers."""
    polished = sd_work_dir / "vae_polished"
    vae = AutoencoderKL.from_pretrained(polished if polished.exists() else sd_work_dir / "vae").eval()
    factor = MICRO_SD.latent_scale / MICRO_SDXL.latent_scale
    channels = vae.config.latent_channels
    with torch.no_grad():
        vae.quant_conv.weight[:channels] *= factor
        vae.quant_conv.bias[:channels] *= factor
        vae.quant_conv.bias[channels:] += 2 * np.log(factor)
        vae.post_quant_conv.weight /= factor
    vae.register_to_config(scaling_factor=MICRO_SDXL.latent_scale, sample_size=MICRO_SDXL.vae["sample_size"])
    vae.save_pretrained(work_dir / "vae")
    return vae


def cached_pools(work_dir: Path, sd_work_dir: Path) -> dict[tuple[int, int], Pool]:
    """Draws every picture and encodes it once."""
    file = work_dir / "latents.pt"
    source = AutoencoderKL.from_pretrained(sd_work_dir / "vae").eval()
    kept = torch.load(file) if file.exists() else {}
    pools = {}
    for place, size_wh in enumerate(PICTURES):
        scenes, pictures, sizes = draw_pictures(size_wh, SEED + 1000 + place)
        if size_wh not in kept:
            kept[size_wh] = encode(source, pictures)
        pools[size_wh] = Pool(scenes, kept[size_wh], posterior_deviation(source), sizes)
    torch.save(kept, file)
    return pools


def draw_pictures(size_wh: tuple[int, int], seed: int) -> tuple[list[Scene], Tensor, Tensor]:
    """Scenes, their pictures as bytes (count, 3, height, width), and sizes (count, 6)."""
    rng = np.random.default_rng(seed)
    width, height = size_wh
    drawings = (draw_whole, draw_soft, draw_cropped)
    kinds = [drawing for drawing, count in zip(drawings, PICTURES[size_wh], strict=True) for _ in range(count)]
    scenes = [draw_scene(rng) for _ in kinds]
    drawn = [drawing(scene, size_wh, rng) for drawing, scene in zip(kinds, scenes, strict=True)]
    sizes = [(*original_hw, *crop_tl, height, width) for _, original_hw, crop_tl in drawn]
    return scenes, as_bytes([picture for picture, _, _ in drawn]), torch.tensor(sizes)


Drawn = tuple[Pixels, tuple[int, int], tuple[int, int]]


def draw_whole(scene: Scene, size_wh: tuple[int, int], rng: np.random.Generator) -> Drawn:
    return render(scene, size_wh, rng), (0, 0), (0, 0)


def draw_soft(scene: Scene, size_wh: tuple[int, int], rng: np.random.Generator) -> Drawn:
    """What enlarging a small original leaves."""
    width, height = size_wh
    factor = rng.uniform(*ENLARGED)
    small_wh = round(width / factor), round(height / factor)
    image = Image.fromarray(render(scene, size_wh, rng)).resize(small_wh, Image.Resampling.BOX)
    return np.asarray(image.resize(size_wh, Image.Resampling.BICUBIC)), (small_wh[1], small_wh[0]), (0, 0)


def draw_cropped(scene: Scene, size_wh: tuple[int, int], rng: np.random.Generator) -> Drawn:
    """A window of a larger picture; its shape is as large as in a whole one."""
    width, height = size_wh
    canvas_wh = round(width * CANVAS), round(height * CANVAS)
    left, top = (int(rng.integers(0, room - side + 1)) for room, side in zip(canvas_wh, size_wh, strict=True))
    picture = render(scene, canvas_wh, rng, radius_of=min(size_wh))
    return picture[top : top + height, left : left + width], (0, 0), (top, left)


def train(
    work_dir: Path,
    sd_work_dir: Path,
    plan: Round,
    pools: dict[tuple[int, int], Pool],
    vae: AutoencoderKL,
    goes_on: bool,
) -> None:
    torch.manual_seed(plan.seed)
    tokenizer = clip_tokenizer()
    first, second, unet = opened(work_dir) if goes_on else beginning(sd_work_dir)
    unet.to(memory_format=torch.channels_last)
    inner(first).encoder.layers[-1].requires_grad_(False)  # nobody reads what they say
    inner(first).final_layer_norm.requires_grad_(False)
    tokens = world_tokens(tokenizer)
    tables = [TrainedRows(inner(encoder).embeddings.token_embedding, tokens) for encoder in (first, second)]
    for encoder, rows in zip((first, second), tables, strict=True):
        inner(encoder).embeddings.token_embedding = rows
    modules = (first, second, unet)
    of_tables = {id(rows.rows) for rows in tables}
    weights = [p for module in modules for p in module.parameters() if p.requires_grad and id(p) not in of_tables]
    optimizer = MuonWithAdamW(
        weights, lr=0.015, adamw_lr=1e-3, momentum=0.95, weight_decay=0.03, dtype=torch.bfloat16, calmed=calmed(unet)
    )
    for rows in tables:
        optimizer.add_to_adamw(rows.rows)
    average = MovingAverage([*weights, *(rows.rows for rows in tables)], decay=0.998)
    model = MicroXlModel(tokenizer, (first, second), unet, vae)

    torch.manual_seed(plan.seed + 100)
    rng = np.random.default_rng(plan.seed + 100)
    started, losses = time.time(), []
    for step in range(plan.steps):
        size_wh, length = draw_step_kind(plan, step / plan.steps, rng)
        pool = pools[size_wh]
        chosen = rng.integers(0, len(pool.scenes), plan.batch(size_wh))
        ids = draw_token_ids([pool.scenes[place] for place in chosen], tokenizer, length, rng)
        conditions = pair_conditions(model.text_encoders, ids, told_sizes(pool.sizes[chosen], rng))
        loss = denoising_loss(unet, conditions, pool, torch.from_numpy(chosen), plan.noise_bias)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(plan.learning_rate(step))
        average.update()
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            recent = sum(losses[-100:]) / 100
            print(f"step {step + 1}/{plan.steps}  loss {recent:.4f}  {time.time() - started:.0f} s", flush=True)
        if (step + 1) % 500 == 0 or step + 1 == plan.steps:
            average.swap()
            save_and_look(work_dir, model, tables)
            average.swap()


def calmed(unet: UNet2DConditionModel) -> dict[nn.Parameter, float]:
    """Slower learning rates for the layers inside transformers, the slower the more of them are in a row."""
    factors = {}
    for name, parameter in unet.named_parameters():
        if ".transformer_blocks." in name:
            transformer = unet.get_submodule(name.split(".transformer_blocks.")[0])
            factors[parameter] = 1 / len(transformer.transformer_blocks) ** 0.5
    return factors


def inner(encoder: CLIPTextModel | CLIPTextModelWithProjection) -> Any:
    """The transformer, which has a name of its own where a projection follows it."""
    return getattr(encoder, "text_model", encoder)


def beginning(sd_work_dir: Path) -> tuple[CLIPTextModel, CLIPTextModelWithProjection, UNet2DConditionModel]:
    """New parts, except for encoder 2, which knows what micro-SD's knows."""
    first, second = build_text_encoder(MICRO_SDXL, 0), build_text_encoder(MICRO_SDXL, 1)
    known = CLIPTextModel.from_pretrained(sd_work_dir / "text_encoder").state_dict()
    missing, unexpected = second.load_state_dict({f"text_model.{n}": w for n, w in known.items()}, strict=False)
    assert missing == ["text_projection.weight"] and not unexpected, (missing, unexpected)
    return first.train(), second.train(), build_unet(MICRO_SDXL)


def opened(work_dir: Path) -> tuple[CLIPTextModel, CLIPTextModelWithProjection, UNet2DConditionModel]:
    return (
        CLIPTextModel.from_pretrained(work_dir / "text_encoder").train(),
        CLIPTextModelWithProjection.from_pretrained(work_dir / "text_encoder_2").train(),
        UNet2DConditionModel.from_pretrained(work_dir / "unet").train(),
    )


def told_sizes(sizes: Tensor, rng: np.random.Generator) -> Tensor:
    """The sizes of a batch, (B, 6), with some original for those that may have any."""
    told = sizes.clone()
    for row in told:
        if row[0] == 0:
            height, width = int(row[4]), int(row[5])
            factor = (LARGEST_ORIGINAL / max(height, width)) ** rng.random()
            row[0], row[1] = round(height * factor), round(width * factor)
    return told


def denoising_loss(
    unet: UNet2DConditionModel, conditions: dict[str, Any], pool: Pool, chosen: Tensor, noise_bias: float
) -> Tensor:
    """Mean squared error of the predicted noise; `chosen` (B,) are places in the pool."""
    mean = pool.mean[chosen]
    timesteps = (torch.rand(len(chosen)).pow(noise_bias) * 1000).long().clamp(max=999)
    latents = mean + pool.deviation * torch.randn_like(mean)
    noise = torch.randn_like(latents)
    noisy_latents = SCHEDULE.add_noise(latents, noise, timesteps).contiguous(memory_format=torch.channels_last)
    return (unet(noisy_latents, timesteps, **conditions).sample - noise).square().mean()


def save_and_look(work_dir: Path, model: MicroXlModel, tables: list[TrainedRows]) -> None:
    """Writes the parts and judges a few pictures of them."""
    for encoder, rows in zip(model.text_encoders, tables, strict=True):
        inner(encoder).embeddings.token_embedding = rows.write_back()
    model.text_encoders[0].save_pretrained(work_dir / "text_encoder")
    model.text_encoders[1].save_pretrained(work_dir / "text_encoder_2")
    model.unet.save_pretrained(work_dir / "unet")
    words = spread(known_words(), 48, seed=1)
    print("   ", score(generate(model, [prompt(w) for w in words], seed=1), words), flush=True)
    for encoder, rows in zip(model.text_encoders, tables, strict=True):
        inner(encoder).embeddings.token_embedding = rows


if __name__ == "__main__":
    main()
