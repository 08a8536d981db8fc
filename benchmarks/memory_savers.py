"""What each option that saves memory saves, and what it costs: full-size SDXL with random weights. Linux only.

    python benchmarks/memory_savers.py                                  all rows: 22 trainings, each of a minute or two
    python benchmarks/memory_savers.py --rows checkpointing fp8_base    some of them
    python benchmarks/memory_savers.py --model MODEL --pixels 64        with another model
    python benchmarks/memory_savers.py --gpu --pixels 1024 --steps 20   on a GPU: its memory, and seconds of the clock

Each training is a whole run of `sdxl_train_network` in a process of its own, with all of a run's phases: it loads,
caches, makes some steps and writes its file. A row compares two of them that differ in one option. All rows are
measured one after the other in one go, `--rounds` times; a training that several rows compare with is made once a
round. Two numbers are told about memory, both without pages of mapped files: the peak of the whole run, and that of its
steps, when what is not needed any more has been released. Times are CPU seconds of one thread for a step, the first one
left out: the least, and the median in brackets. On a GPU memory is what torch has given out of the GPU's, and a step's
time is that of the clock, over all steps but the first ones together: the host runs ahead of the GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

HERE = Path(__file__).resolve().parent
WRITE, MEASURE = HERE.parent / "tools" / "random_sdxl.py", HERE / "measured_run.py"
GB = 10**9
# On a GPU the first steps choose algorithms and take memory.
FIRST = 5
LATENTS, TEXT = "--cache_latents", "--cache_text_encoder_outputs"
USUAL = (LATENTS, TEXT)
SMALL = "--resolution=64"
# Gradients come while activations go, so that fusing saves where gradients are the larger part. relative_step would
# find a rate of its own, and fused updates clip otherwise.
ADAFACTOR = (
    *USUAL,
    SMALL,
    "--network_dim=128",
    "--optimizer_type=Adafactor",
    "--optimizer_args",
    "relative_step=False",
    "scale_parameter=False",
    "warmup_init=False",
    "--max_grad_norm=0",
)


@dataclass(frozen=True)
class Row:
    """One comparison: the title in the table, and the words that the two trainings have beside the common ones."""

    title: str
    without: tuple[str, ...]
    using: tuple[str, ...]


ROWS = {
    "checkpointing": Row("`--gradient_checkpointing`", USUAL, (*USUAL, "--gradient_checkpointing")),
    "latents": Row("`--cache_latents`", (TEXT,), USUAL),
    "text": Row("`--cache_text_encoder_outputs`", (LATENTS,), USUAL),
    "fp8_base": Row("`--fp8_base`", USUAL, (*USUAL, "--fp8_base")),
    "adamw8bit": Row("`--optimizer_type=AdamW8bit`", USUAL, (*USUAL, "--optimizer_type=AdamW8bit")),
    "fused": Row(
        "`--fused_backward_pass` (Adafactor, rank 128, 64 px)",
        ADAFACTOR,
        (*ADAFACTOR, "--fused_backward_pass"),
    ),
    "full_bf16": Row("`--full_bf16`", USUAL, (*USUAL, "--full_bf16")),
    "accumulation": Row(
        "batch 1, `--gradient_accumulation_steps=2`, for batch 2",
        (*USUAL, "--train_batch_size=2"),
        (*USUAL, "--gradient_accumulation_steps=2"),
    ),
}


@dataclass(frozen=True)
class Place:
    """What all trainings share.

    Args:
        folder: for the picture and results.
        model: base model.
        pixels: side of the picture.
        rank: of the LoRA.
        steps: updates, of which the first is not timed.
        on_gpu: whether to train on the GPU; otherwise there is none for the training.
    """

    folder: Path
    model: Path
    pixels: int
    rank: int
    steps: int
    on_gpu: bool = False

    @property
    def common(self) -> list[str]:
        """Words that every training has."""
        return [
            f"--pretrained_model_name_or_path={self.model}",
            f"--train_data_dir={self.folder / 'data'}",
            f"--output_dir={self.folder / 'out'}",
            f"--data_dir={self.folder / 'tanren'}",
            f"--resolution={self.pixels}",
            f"--network_dim={self.rank}",
            f"--max_train_steps={self.steps}",
            *("--network_module=networks.lora", "--network_train_unet_only", "--mixed_precision=bf16"),
            *("--caption_extension=.txt", "--max_data_loader_n_workers=0", "--seed=1", "--no_metadata"),
        ]

    def draw_picture(self) -> None:
        """Noise with a caption, twice an epoch."""
        data = self.folder / "data" / "2_noise"
        data.mkdir(parents=True)
        Image.effect_noise((self.pixels, self.pixels), 100).convert("RGB").save(data / "noise.png")
        (data / "noise.txt").write_text("a picture of noise", encoding="utf-8")


def measured(place: Place, words: Sequence[str]) -> dict[str, Any]:
    """One training: bytes of its peak and of its steps' peak, CPU seconds of its steps."""
    alone = {} if place.on_gpu else {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, str(MEASURE), "sdxl_train_network", *place.common, *words],
        env={**os.environ, **alone},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    kind = "gpu" if place.on_gpu else "peak"
    peak = max(phase.get(kind, 0) for phase in told["phases"].values())
    seconds = [statistics.fmean(told["wall"][FIRST:])] if place.on_gpu else told["cpu"]
    return {"peak": peak, "steps": told["phases"]["train"][kind], "seconds": seconds, "told": told}


def together(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several rounds of one training: the largest memory, all steps."""
    return {
        "peak": max(one["peak"] for one in found),
        "steps": max(one["steps"] for one in found),
        "seconds": [second for one in found for second in one["seconds"]],
    }


def line(row: Row, without: dict[str, Any], using: dict[str, Any]) -> str:
    """One line of the table."""
    cells = [f"{without[name] / GB:.2f} → {using[name] / GB:.2f} GB" for name in ("peak", "steps")]
    times = [
        f"{told(min(one['seconds']))} s ({told(statistics.median(one['seconds']))})" if one["seconds"] else "–"
        for one in (without, using)
    ]
    return f"| {row.title} | {' | '.join(cells)} | {' → '.join(times)} |"


def told(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds >= 2 else f"{seconds:.3f}"


def on_gpu(row: Row) -> Row:
    """The row as it is measured on a GPU, where every picture can have the same size."""
    without, using = (tuple(word for word in words if word != SMALL) for words in (row.without, row.using))
    return Row(row.title.replace(", 64 px", ""), without, using)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--model", type=Path, help="base model; not given: a full-size one is written and removed")
    parser.add_argument("--pixels", type=int, default=256, help="side of the square pictures")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2, help="of each training; the first one is not timed")
    parser.add_argument("--rounds", type=int, default=2, help="how often all of them are measured in turn")
    parser.add_argument("--gpu", action="store_true", help="train on the GPU")
    parser.add_argument("--results", type=Path, help="keep what was measured; a second start measures only the rest")
    return parser


def main() -> int:
    """Measure and print the table."""
    options = arguments().parse_args()
    rows = [on_gpu(ROWS[name]) if options.gpu else ROWS[name] for name in options.rows]
    trainings = list(dict.fromkeys(words for row in rows for words in (row.without, row.using)))
    results: dict[str, dict[str, Any]] = {}
    if options.results and options.results.is_file():
        results = json.loads(options.results.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model or Path(scratch) / "sdxl.safetensors"
        if options.model is None:
            subprocess.run([sys.executable, str(WRITE), str(model)], check=True)
        place = Place(Path(scratch), model.resolve(), options.pixels, options.rank, options.steps, options.gpu)
        place.draw_picture()
        for number in range(options.rounds):
            for words in trainings:
                key = f"{number} {' '.join(words)}"
                if key not in results:
                    results[key] = measured(place, words)
                    print(key, json.dumps(results[key]), file=sys.stderr, flush=True)
                    if options.results:
                        options.results.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(
        f"| | peak of the run | peak of its steps | {'' if options.gpu else 'CPU '}time of a step |\n|---|---|---|---|"
    )
    for row in rows:
        sides = (
            together([results[f"{number} {' '.join(words)}"] for number in range(options.rounds)])
            for words in (row.without, row.using)
        )
        print(line(row, *sides))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
