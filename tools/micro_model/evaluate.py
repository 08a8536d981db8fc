"""The figures of the model card: pictures from a finished file, judged.

PYTHONPATH=trainer python tools/micro_model/evaluate.py FILE [SHEET.png]
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sampling import MicroModel, MicroXlModel, generate, load_any
from tanren.micro.drawing import Pixels
from tanren.micro.judge import judge, steepness
from tanren.micro.score import Shares, score
from tanren.micro.world import PICTURE_SIZES_WH, Words, known_words, prompt, spread

Model = MicroModel | MicroXlModel
SEED = 70_000
ORIGINALS = (24, 32, 48, 64, 256, 1024)  # pixels
CROPS = (0, 8, 16, 24, 32)  # pixels from the left
SAMPLERS = {"DDIM 10, guidance 4": (10, 4.0), "DDIM 20, guidance 1": (20, 1.0), "DDIM 20, guidance 7": (20, 7.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("sheet", type=Path, nargs="?")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_any(arguments.file)

    trained = [words for words in known_words() if not words.is_held_out]
    held_out = [words for words in known_words() if words.is_held_out]
    for place, size_wh in enumerate(PICTURE_SIZES_WH):
        title = f"{size_wh[0]}x{size_wh[1]}"
        count = 2 * len(trained) if place == 0 else 96
        pictures = show(f"{title}, trained combinations", model, spread(trained, count, SEED), size_wh)
        if arguments.sheet and place == 0:
            write_sheet(arguments.sheet, pictures[:48])
        show(f"{title}, held-out combinations", model, spread(held_out, 200 if place == 0 else 60, SEED), size_wh)
    show_sizes(model, trained)
    for title, (steps, guidance) in SAMPLERS.items():
        words = spread(trained, 96, SEED + 2)
        judged(f"64x64, {title}", generate_words(model, words, (64, 64), steps, guidance), words)
    words = spread(trained, 96, SEED + 3)
    prompts = [f"masterpiece, best quality, {prompt(w)}, ohwx" for w in words]
    judged("64x64, with unknown words around", generate(model, prompts, seed=SEED), words)
    if isinstance(model, MicroXlModel):
        show_conditions(model, trained)


def show(title: str, model: Model, words: list[Words], size_wh: tuple[int, int]) -> list[Pixels]:
    pictures = generate_words(model, words, size_wh, steps=20, guidance=4.0)
    judged(title, pictures, words)
    return pictures


def show_sizes(model: Model, trained: list[Words]) -> None:
    words = spread(trained, 96, SEED + 1)
    sized = [replace(w, size="small" if place % 2 else "big") for place, w in enumerate(words)]
    shares = judged("64x64, with size words", generate_words(model, sized, (64, 64), 20, 4.0), sized)
    print(f"    mean radius: small {shares.small_radius:.3f}, big {shares.big_radius:.3f}", flush=True)


def show_conditions(model: MicroXlModel, trained: list[Words]) -> None:
    """What the size conditions do: a small original is soft, a crop further right shows the shape further left."""
    prompts = [prompt(words) for words in spread(trained, 64, SEED + 4)]
    for side in ORIGINALS:
        pictures = generate(model, prompts, seed=SEED, sizes=(side, side, 0, 0, 64, 64))
        print(f"original of {side} pixels: steepness of edges {mean_of(steepness, pictures):.3f}", flush=True)
    for left in CROPS:
        pictures = generate(model, prompts, seed=SEED, sizes=(96, 96, 0, left, 64, 64))
        print(f"crop from {left}: shape at {mean_of(place_across, pictures):.3f} of the width", flush=True)


def mean_of(measure: Callable[[Pixels], float | None], pictures: list[Pixels]) -> float:
    values = [measure(picture) for picture in pictures]
    return float(np.mean([value for value in values if value is not None]))


def place_across(picture: Pixels) -> float | None:
    """Centre of the object as a share of the width."""
    verdict = judge(picture)
    return verdict.center_xy[0] if verdict.radius else None


def generate_words(
    model: Model, words: list[Words], size_wh: tuple[int, int], steps: int, guidance: float
) -> list[Pixels]:
    prompts = [prompt(w) for w in words]
    return generate(model, prompts, size_wh, seed=SEED, steps=steps, guidance=guidance)


def judged(title: str, pictures: list[Pixels], words: list[Words]) -> Shares:
    shares = score(pictures, words)
    print(f"{title}: {shares}", flush=True)
    return shares


def write_sheet(path: Path, pictures: list[Pixels], columns: int = 12) -> None:
    rows = [np.concatenate(pictures[start : start + columns], axis=1) for start in range(0, len(pictures), columns)]
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST).save(path)


if __name__ == "__main__":
    main()
