"""Step 2: the text encoder and the U-Net, from nothing, on latents cached in memory.

    PYTHONPATH=trainer python tools/micro_model/train_denoiser.py WORK_DIR
    PYTHONPATH=trainer python tools/micro_model/train_denoiser.py WORK_DIR --round 2
    PYTHONPATH=trainer python tools/micro_model/train_denoiser.py WORK_DIR --round 3
    PYTHONPATH=trainer python tools/micro_model/train_denoiser.py WORK_DIR --round 4
    PYTHONPATH=trainer python tools/micro_model/train_denoiser.py WORK_DIR --round 5

WORK_DIR holds the autoencoder of step 1. The first round ends with a mixture of the picture sizes, one size per step;
the others go on from its weights with all of them. Under `torchrun --nproc_per_node 2` the batch is shared out and
gradients are averaged, which is faster where two cores are free.
"""

import argparse
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from configs import MICRO_SD, build_text_encoder, build_unet, noise_schedule
from diffusers import AutoencoderKL, UNet2DConditionModel
from muon import MovingAverage, MuonWithAdamW
from pictures import draw_world, to_pixels
from sampling import MicroModel, generate, token_ids
from tanren.micro.score import score
from tanren.micro.world import (
    BACKGROUNDS,
    COLORS,
    PICTURE_SIZES_WH,
    SHAPES,
    Scene,
    draw_caption,
    known_words,
    prompt,
    spread,
)
from tanren.models.clip_tokenizer import EOS_TOKEN_ID, clip_tokenizer
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

BATCH = 64
PICTURES = {(64, 64): 16000, (96, 64): 5000, (64, 96): 5000, (96, 96): 5000}
SHORT_CAPTION = 24  # tokens; the longest caption of the world has 14
EMPTY_CAPTIONS = 0.1
STRANGE_WORDS = 0.15  # captions with one random token in them, so that unknown words change nothing
SEED = 3


@dataclass(frozen=True)
class Round:
    """One schedule from warm-up to the end of a cosine; shares are of its steps.

    Attributes:
        peak: factor of the learning rates.
        constant_until: share before the cosine begins.
        mixed_from: share before which all pictures are 64x64.
        full_length_from: share before which captions are cut to SHORT_CAPTION tokens.
        other_sizes: share of the mixed steps that take another size than 64x64.
        largest: share of those that are 96x96, besides the third that falls to it as to the other two.
        noise_bias: timestep = 1000 * u**noise_bias; below 1, because shapes are decided where noise is high.
        even_cost: larger pictures come in smaller batches, so that every step takes the same time.
    """

    steps: int
    peak: float
    constant_until: float
    mixed_from: float
    full_length_from: float
    seed: int
    other_sizes: float = 0.6
    largest: float = 0.0
    noise_bias: float = 0.6
    even_cost: bool = False

    def batch(self, size_wh: tuple[int, int]) -> int:
        """Pictures of this size in one step, all processes together."""
        return BATCH * 64 * 64 // (size_wh[0] * size_wh[1]) if self.even_cost else BATCH

    def learning_rate(self, step: int) -> float:
        """Factor of the learning rates: up in 30 steps, constant, then a cosine to 2 percent of the peak."""
        if step < 30:
            return self.peak * (step + 1) / 30
        progress = max(0.0, step / self.steps - self.constant_until) / (1 - self.constant_until)
        return self.peak * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * progress)))


ROUNDS = {
    1: Round(5000, peak=1.0, constant_until=0.25, mixed_from=0.6, full_length_from=0.75, seed=SEED),
    2: Round(1600, peak=0.4, constant_until=0.1, mixed_from=0.0, full_length_from=0.6, seed=SEED + 1),
    3: Round(
        2000,
        peak=0.5,
        constant_until=0.25,
        mixed_from=0.0,
        full_length_from=0.7,
        seed=SEED + 2,
        other_sizes=0.75,
        even_cost=True,
    ),
    4: Round(
        4000,
        peak=0.5,
        constant_until=0.2,
        mixed_from=0.0,
        full_length_from=0.75,
        seed=SEED + 3,
        other_sizes=0.75,
        largest=0.25,
        noise_bias=0.5,
        even_cost=True,
    ),
    5: Round(
        2600,
        peak=0.4,
        constant_until=0.2,
        mixed_from=0.0,
        full_length_from=0.75,
        seed=SEED + 4,
        other_sizes=0.55,
        largest=0.1,
        even_cost=True,
    ),
}


@dataclass(frozen=True)
class Latents:
    """Cached pictures of one size.

    Attributes:
        mean: (count, 4, height / 8, width / 8), scaled.
        deviation: of the encoder's posterior, scaled; the same for all.
    """

    scenes: list[Scene]
    mean: Tensor
    deviation: float


class TrainedRows(nn.Module):
    """A token table of which only some rows learn; the others keep their random values.

    A word nobody trained must still have a direction of its own: that is what a LoRA's trigger word hangs on.
    """

    def __init__(self, table: nn.Embedding, token_ids: list[int]) -> None:
        super().__init__()
        self.table = table.requires_grad_(False)
        self.token_ids = torch.tensor(token_ids)
        self.rows = nn.Parameter(table.weight[self.token_ids].detach().clone())
        self.row_of_token = torch.full((table.num_embeddings,), -1)
        self.row_of_token[self.token_ids] = torch.arange(len(token_ids))

    def forward(self, ids: Tensor) -> Tensor:
        rows = self.row_of_token[ids]
        return torch.where((rows >= 0)[..., None], self.rows[rows.clamp(min=0)], self.table(ids))

    @torch.no_grad()
    def write_back(self) -> nn.Embedding:
        self.table.weight[self.token_ids] = self.rows
        return self.table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--round", type=int, choices=sorted(ROUNDS), default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    train(arguments.work_dir, ROUNDS[arguments.round], goes_on=arguments.round > 1)
    if dist.is_initialized():
        dist.destroy_process_group()


def train(work_dir: Path, plan: Round, goes_on: bool) -> None:
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    vae = AutoencoderKL.from_pretrained(work_dir / "vae").eval()
    tokenizer = clip_tokenizer()
    pools = cache_latents(vae, work_dir, rank)

    torch.manual_seed(plan.seed)
    if goes_on:
        text_encoder = CLIPTextModel.from_pretrained(work_dir / "text_encoder").train()
        unet = UNet2DConditionModel.from_pretrained(work_dir / "unet").train()
    else:
        text_encoder, unet = build_text_encoder(MICRO_SD), build_unet(MICRO_SD)
    rows = TrainedRows(text_encoder.embeddings.token_embedding, world_tokens(tokenizer))
    text_encoder.embeddings.token_embedding = rows
    unet.to(memory_format=torch.channels_last)
    weights = [p for p in [*text_encoder.parameters(), *unet.parameters()] if p.requires_grad and p is not rows.rows]
    optimizer = MuonWithAdamW(weights, lr=0.02, adamw_lr=1e-3, momentum=0.95, weight_decay=0.01)
    optimizer.add_to_adamw(rows.rows)
    parameters = [*weights, rows.rows]
    average = MovingAverage(parameters, decay=0.998)

    torch.manual_seed(plan.seed + 100 + rank)
    rng = np.random.default_rng(plan.seed + 100 + rank)
    sizes_rng = np.random.default_rng(plan.seed)  # the same in all processes: a step has one size
    started, losses = time.time(), []
    for step in range(plan.steps):
        size_wh, length = draw_step_kind(plan, step / plan.steps, sizes_rng)
        pool = pools[size_wh]
        chosen = rng.integers(0, len(pool.scenes), plan.batch(size_wh) // processes)
        ids = draw_token_ids([pool.scenes[place] for place in chosen], tokenizer, length, rng)
        timesteps = (torch.rand(len(chosen)).pow(plan.noise_bias) * 1000).long().clamp(max=999)
        text = text_encoder(input_ids=ids).last_hidden_state
        loss = denoising_loss(unet, text, pool, torch.from_numpy(chosen), timesteps)
        optimizer.zero_grad()
        loss.backward()
        if processes > 1:
            average_gradients(parameters, processes)
        optimizer.step(plan.learning_rate(step))
        average.update()
        losses.append(loss.item())
        if (step + 1) % 100 == 0 and rank == 0:
            recent = sum(losses[-100:]) / 100
            print(f"step {step + 1}/{plan.steps}  loss {recent:.4f}  {time.time() - started:.0f} s", flush=True)
        if ((step + 1) % 500 == 0 or step + 1 == plan.steps) and rank == 0:
            average.swap()
            save_and_look(work_dir, MicroModel(tokenizer, text_encoder, unet, vae), rows)
            average.swap()


def cache_latents(vae: AutoencoderKL, work_dir: Path, rank: int) -> dict[tuple[int, int], Latents]:
    """Draws every picture and encodes it once: the first process does, the others wait for its file."""
    file = work_dir / "latents.pt"
    drawn = {
        size_wh: draw_world(count, size_wh, seed=SEED + 1000 + place)
        for place, (size_wh, count) in enumerate(PICTURES.items())
    }
    if rank == 0 and not file.exists():
        torch.save({size_wh: encode(vae, pictures) for size_wh, (_, pictures) in drawn.items()}, file)
    if dist.is_initialized():
        dist.barrier()
    encoded = torch.load(file)
    deviation = posterior_deviation(vae)
    return {size_wh: Latents(scenes, encoded[size_wh], deviation) for size_wh, (scenes, _) in drawn.items()}


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    batches = [vae.encode(to_pixels(batch)).latent_dist.mean for batch in pictures.split(100)]
    return torch.cat(batches) * MICRO_SD.latent_scale


def posterior_deviation(vae: AutoencoderKL) -> float:
    log_variance = vae.quant_conv.bias.detach()[vae.config.latent_channels :]
    return float((0.5 * log_variance).exp().mean()) * MICRO_SD.latent_scale


def world_tokens(tokenizer: CLIPTokenizer) -> list[int]:
    """Ids of every token that a caption of the world can hold, sorted."""
    words = [*SHAPES, *COLORS, *BACKGROUNDS, "small", "big", "shape", "a", "an", "on", "picture", "photo", "of"]
    words += ["background", ","]
    return sorted({token for word in words for token in tokenizer(word).input_ids})


def draw_step_kind(plan: Round, progress: float, rng: np.random.Generator) -> tuple[tuple[int, int], int]:
    """Picture size and caption length of one step."""
    size_wh = PICTURE_SIZES_WH[0]
    if progress >= plan.mixed_from and rng.random() < plan.other_sizes:
        is_largest = plan.largest > 0 and rng.random() < plan.largest
        size_wh = PICTURE_SIZES_WH[-1 if is_largest else int(rng.integers(1, len(PICTURE_SIZES_WH)))]
    is_long = progress >= plan.full_length_from or rng.random() < 0.1
    return size_wh, 77 if is_long else SHORT_CAPTION


def draw_token_ids(scenes: list[Scene], tokenizer: CLIPTokenizer, length: int, rng: np.random.Generator) -> Tensor:
    """(B, length): captions, some of them empty, some with a strange word in them."""
    captions = ["" if rng.random() < EMPTY_CAPTIONS else draw_caption(scene.words, rng) for scene in scenes]
    ids = token_ids(tokenizer, captions, length)
    for row in ids:
        if rng.random() < STRANGE_WORDS:
            words = int((row != EOS_TOKEN_ID).sum())  # the start token counts
            place = int(rng.integers(1, words + 1))
            row[place + 1 :] = row[place:-1].clone()
            row[place] = int(rng.integers(0, 49406))
    return ids


def denoising_loss(
    unet: UNet2DConditionModel, text: Tensor, pool: Latents, chosen: Tensor, timesteps: Tensor
) -> Tensor:
    """Mean squared error of the predicted noise; `chosen` (B,) are places in the pool."""
    mean = pool.mean[chosen]
    latents = mean + pool.deviation * torch.randn_like(mean)
    noise = torch.randn_like(latents)
    noisy_latents = SCHEDULE.add_noise(latents, noise, timesteps).contiguous(memory_format=torch.channels_last)
    return (unet(noisy_latents, timesteps, text).sample - noise).square().mean()


SCHEDULE = noise_schedule()


def average_gradients(parameters: list[nn.Parameter], processes: int) -> None:
    flat = torch.cat([parameter.grad.reshape(-1) for parameter in parameters])
    dist.all_reduce(flat)
    flat /= processes
    for parameter, gradient in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad.copy_(gradient.view_as(parameter))


def save_and_look(work_dir: Path, model: MicroModel, rows: TrainedRows) -> None:
    """Writes both parts and judges a few pictures of them."""
    model.text_encoder.embeddings.token_embedding = rows.write_back()
    model.text_encoder.save_pretrained(work_dir / "text_encoder")
    model.unet.save_pretrained(work_dir / "unet")
    words = spread(known_words(), 48, seed=1)
    print("   ", score(generate(model, [prompt(w) for w in words], seed=1), words), flush=True)
    model.text_encoder.embeddings.token_embedding = rows


if __name__ == "__main__":
    main()
