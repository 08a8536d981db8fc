"""One LoRA training step, ours against a plain diffusers loop with PEFT.

    python benchmarks/step.py                       a middle-sized U-Net, float32, 256 px
    python benchmarks/step.py --unet sd15 --bf16    the real SD 1.5 shapes, bfloat16
    python benchmarks/step.py --unet "thin sdxl" --pixels 64    what a fast GPU waits for: Python
    python benchmarks/step.py --unet sdxl --bf16 --device cuda --pixels 1024 --pairs 30

Both sides train the same random weights on the same noise, in turns within one process, so that whatever else the
machine does hits both. The first turns are dropped. Time is the process's CPU time per step; the ratio is the median
over the pairs. Kept activations are what autograd holds between forward and backward. Peak memory (Linux) is that of a
process of its own per side during three steps, weights included. A run counts only if both sides have the same loss at
every step. On a GPU time is that of the clock, each step waited for, and memory is what torch gave out of the GPU's.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch
from diffusers import UNet2DConditionModel
from step_sides import SIDES, UNETS, Ours, Plain, Side, Work
from tanren.objectives.denoising_inputs import InputDraws
from tanren.options.loss import LossOptions

LOSS_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
DROPPED, STEPS_FOR_MEMORY = 1, 3


def main() -> int:
    options = arguments().parse_args()
    torch.set_num_threads(1)
    dtype = torch.bfloat16 if options.bf16 else torch.float32
    work = Work(options.unet, options.pixels, options.batch, options.rank, dtype, options.device)
    if options.memory_of:
        print(json.dumps({"peak_bytes": peak_memory(work, options.memory_of)}))
        return 0
    result = compare(work, options.pairs)
    if not options.no_memory:
        peaks = {name: asked_peak(name) for name in SIDES}
        result["peak_bytes"] = {**peaks, "ratio": peaks["ours"] / peaks["plain"]}
    print(json.dumps(result) if options.json else table(work, result))
    return 0 if result["counts"] else 1


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unet", choices=UNETS, default="mid")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--pixels", type=int, default=256, help="side of the square picture")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=6, help="measured pairs of steps, after one that is dropped")
    parser.add_argument("--bf16", action="store_true", help="frozen weights and activations in bfloat16")
    parser.add_argument("--no_memory", action="store_true", help="leave out the peak memory of each side")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory_of", choices=SIDES, help=argparse.SUPPRESS)
    return parser


def compare(work: Work, pairs: int) -> dict[str, Any]:
    """CPU seconds, losses and kept activations of both sides."""
    unet = work.build_unet()
    with torch.device("meta"):
        twin = UNet2DConditionModel(**UNETS[work.unet]).requires_grad_(False)
    twin.load_state_dict(unet.state_dict(), assign=True)
    ours, plain = Ours(work, unet), Plain(work, twin)
    plain.start_like(ours)
    sides: dict[str, Side] = {"ours": ours, "plain": plain}
    draws = InputDraws(LossOptions(), 1, 1)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    losses: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(pairs + DROPPED):
        inputs = draws(work.data(number), number)
        for name, side in sides.items():
            started = now(work)
            loss = side.step(inputs, number)
            seconds[name].append(now(work) - started)
            losses[name].append(loss.item())
    kept = {name: kept_bytes(side, draws(work.data(0), 0)) for name, side in sides.items()}
    apart = max(abs(a - b) / abs(b) for a, b in zip(losses["ours"], losses["plain"], strict=True))
    timed = {name: values[DROPPED:] for name, values in seconds.items()}
    return {
        "counts": apart <= LOSS_TOLERANCE[work.dtype],
        "loss_difference": apart,
        "losses": losses,
        "seconds": {name: statistics.median(values) for name, values in timed.items()},
        "ratios": sorted(a / b for a, b in zip(timed["ours"], timed["plain"], strict=True)),
        "kept_bytes": {**kept, "ratio": kept["ours"] / kept["plain"]},
    }


def now(work: Work) -> float:
    """Seconds of this process; on a GPU those of the clock, when all that was asked for is done."""
    if work.device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def kept_bytes(side: Side, inputs: Any) -> int:
    """Bytes that autograd keeps between forward and backward, weights aside; shared memory counts once."""
    own = {tensor.untyped_storage().data_ptr() for tensor in [*side.unet.parameters(), *side.parameters]}
    storages = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = side.loss(inputs)
    total = sum(storage.nbytes() for storage in storages.values())
    del loss
    return total


def peak_memory(work: Work, name: str) -> int:
    """Peak bytes of this process during a few steps of one side, the model's weights included."""
    side = SIDES[name](work, work.build_unet())
    gc.collect()
    if work.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    # Drawing random weights must not count; Linux forgets the peak so far when told to.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    draws = InputDraws(LossOptions(), 1, 1)
    for number in range(STEPS_FOR_MEMORY):
        side.step(draws(work.data(number), number), number)
    if work.device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def asked_peak(name: str) -> int:
    """`peak_memory` in a process of its own, with the same arguments."""
    words = [sys.executable, __file__, *sys.argv[1:], "--memory_of", name]
    told = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(told.splitlines()[-1])["peak_bytes"]


def table(work: Work, result: dict[str, Any]) -> str:
    """The result for people."""
    ratios, kept = result["ratios"], result["kept_bytes"]
    lines = [
        f"{work.unet} U-Net, {work.pixels} px, batch {work.batch}, rank {work.rank}, {work.dtype}, "
        f"{work.device}, torch {torch.__version__}",
        f"{'':16}{'ours':>12}{'plain':>12}{'ratio':>8}",
        time_line(result["seconds"], ratios, "CPU time" if work.device == "cpu" else "time"),
        memory_line("kept activations", kept),
    ]
    if "peak_bytes" in result:
        lines.append(memory_line("peak memory", result["peak_bytes"]))
    same = f"largest difference of a loss: {result['loss_difference']:.1e}"
    lines.append(same if result["counts"] else f"{same}: too large, this run does not count")
    return "\n".join(lines)


def time_line(seconds: dict[str, float], ratios: list[float], kind: str) -> str:
    middle = statistics.median(ratios)
    spread = f"({ratios[0]:.3f} to {ratios[-1]:.3f}, {len(ratios)} pairs)"
    return f"{kind:16}{seconds['ours']:>10.3f} s{seconds['plain']:>10.3f} s{middle:>8.3f}  {spread}"


def memory_line(name: str, values: dict[str, float]) -> str:
    ours, plain = (values[side] / 2**20 for side in ("ours", "plain"))
    return f"{name:16}{ours:>9.0f} MB{plain:>9.0f} MB{values['ratio']:>8.3f}"


if __name__ == "__main__":
    raise SystemExit(main())
