"""Jobs as a server tells them: what a training of fifteen pictures looks like at different moments."""

from __future__ import annotations

import math
import random

NOW = 1_760_000_000.0
OPTIONS = {
    "train_batch_size": 2,
    "learning_rate": 0.0001,
    "network_dim": 16,
    "network_alpha": 8.0,
    "output_name": "三日月 crescent",
    "train_data_dir": "/pictures/学習 データ (1)",
    "sample_prompts": "/pictures/prompts.txt",
    "gradient_checkpointing": False,
    "optimizer_type": "AdamW8bit",
    "metadata_trigger_phrase": "crescent",
}
DEFAULTS = {"seed": None, "max_token_length": 75, "lr_scheduler": "constant", "clip_skip": 1, "cache_latents": True}
PROMPTS = [("a crescent moon over a hill, night", 42), ("a crescent on a blue flag", 43)]


def points(count, seed=0):
    """A loss that falls with noise, two learning rates that warm up and fall, and what the machine did."""
    draw = random.Random(seed)
    steps = list(range(1, count + 1))
    loss = [0.06 + 0.12 * math.exp(-2 * step / max(count, 1)) + draw.expovariate(35) for step in steps]
    average = [sum(loss[max(0, place - 99) : place + 1]) / min(place + 1, 100) for place in range(len(loss))]
    warm = [min(step / max(count * 0.05, 1), 1) for step in steps]
    fall = [0.5 * (1 + math.cos(math.pi * step / max(count, 1))) for step in steps]
    return {
        "step": steps,
        "loss": loss,
        "average": average,
        "lr": {
            "unet": [1e-4 * up * down for up, down in zip(warm, fall, strict=True)],
            "textencoder": [5e-5 * up * down for up, down in zip(warm, fall, strict=True)],
        },
        "seconds": [2.1 if step == 1 else 0.41 + draw.random() * 0.02 for step in steps],
        "memory": [5_800_000_000 + 1000 * (step % 7) for step in steps],
    }


def sample(step, index=0, epoch=None):
    prompt, seed = PROMPTS[index]
    file = f"crescent_{step:06d}_{index:02d}_{seed}.png"
    return {"file": file, "step": step, "epoch": epoch or step // 55, "prompt": prompt, "seed": seed, "index": index}


def settings():
    changed = [{"name": name, "value": value, "is_default": False} for name, value in OPTIONS.items()]
    return changed + [{"name": name, "value": value, "is_default": True} for name, value in DEFAULTS.items()]


def training(name="三日月 crescent", step=120, **changes):
    """A job in the middle of its training."""
    story = {
        "id": "20251009-085320-crescent",
        "name": name,
        "command": "train_network",
        "title": "LoRA for Stable Diffusion 1.x and 2.x",
        "state": "running",
        "is_resumable": False,
        "code": None,
        "phase": "train",
        "done": step,
        "total": 275,
        "step": step,
        "total_steps": 275,
        "epoch": step // 55 + 1,
        "total_epochs": 5,
        "loss": 0.0812,
        "average": 0.0931,
        "seconds_per_step": 0.42,
        "eta_seconds": (275 - step) * 0.42,
        "memory": 5_802_000_000,
        "device": "cuda:0",
        "created": NOW,
        "started": NOW + 4,
        "ended": None,
        "order": 1,
        "attempt": 1,
        "reason": "",
        "actions": ["stop", "stop_now", "pause", "save", "sample"],
        "sample": sample(110)["file"],
        "points": points(step),
        "samples": [sample(at, index) for at in (0, 55, 110) for index in (0, 1) if (at, index) != (55, 1)],
        "files": [
            {"name": f"crescent-{epoch:06d}.safetensors", "path": f"/out/crescent-{epoch:06d}.safetensors"}
            | {"step": epoch * 55, "epoch": epoch, "bytes": 18_900_000, "exists": epoch != 1}
            for epoch in (1, 2)
        ],
        "warnings": ["2 pictures look alike: 003.png and 007.png."],
        "problem": None,
        "settings": settings(),
        "command_line": 'train_network.py --train_data_dir "/pictures/学習 データ (1)" --network_dim 16',
        "log": "".join(f"2025-10-09 08:53:{20 + line % 40} INFO line {line} of the log\n" for line in range(40)),
    }
    return story | changes


def others():
    """What else stands in the list of somebody who trains often."""
    common = {
        "phase": None,
        "done": None,
        "total": None,
        "step": 0,
        "eta_seconds": None,
        "actions": ["withdraw", "delete"],
    }
    queued = training("flat colour style", **common, id="20251009-085500-flat", state="queued", order=2, sample=None)
    queued |= {"points": points(0), "samples": [], "files": [], "started": None, "average": None, "epoch": 0}
    failed = training("red-haired character", 3, id="20251008-221000-red", state="failed", code=6, ended=NOW - 9000)
    failed |= {
        "actions": ["resume", "retry", "delete"],
        "resume_step": 2,
        "is_resumable": True,
        "problem": {
            "code": 6,
            "where": "step 3",
            "what": "The GPU's memory (7.8 GB) was not enough: 8.1 GB were wanted.",
            "why": "Batch 2 at 768×768 without gradient checkpointing.",
            "fix": "Use batch 1, or switch gradient_checkpointing on.",
        },
    }
    done = training("watercolour", 275, id="20251007-190000-water", state="completed", ended=NOW - 90000)
    stopped = training("old town at dusk, second try", 200, id="20251006-1200-town", state="stopped", ended=NOW - 99999)
    done |= {"actions": ["retry", "delete"], "eta_seconds": None, "warnings": []}
    stopped |= {"actions": ["resume", "retry", "delete"], "is_resumable": True, "eta_seconds": None}
    return [queued, failed, done, stopped]


def shelf(*jobs):
    """Jobs by id."""
    return {job["id"]: job for job in jobs}
