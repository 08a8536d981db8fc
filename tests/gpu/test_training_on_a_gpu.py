"""What only a GPU can show of a training: its numbers, its bits, its waits, its memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from recipes import training
from recipes.training import same_tensors, tensors
from tanren.engine.step import TrainingStep
from tanren.entry import main

pytestmark = pytest.mark.gpu
PRECISIONS = ["no", "fp16", "bf16"]
FAMILIES = {"sd1": "train_network", "sdxl": "sdxl_train_network"}
# Steps that choose algorithms and take memory may wait for the device.
FIRST = 3


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {family: training.base_model(folder, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return training.data_folder(tmp_path_factory.mktemp("学習 データ (1)") / "data")


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "tanren data"))


def words_of(family, models, data, out, **options):
    return training.arguments(models[family], data, out, **{"shuffle_caption": None, **options})


def train(family, models, data, out, **options):
    assert main(FAMILIES[family], words_of(family, models, data, out, **options)) == 0
    return out / "waves.safetensors"


def losses(job):
    lines = (job / "events.jsonl").read_text("utf-8").splitlines()
    return [event["loss"] for event in map(json.loads, lines) if event["kind"] == "step"]


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_are_those_of_the_cpu(family, models, data, tmp_path):
    train(family, models, data, tmp_path / "gpu", job_dir=tmp_path / "gpu job")
    words = words_of(family, models, data, tmp_path / "cpu", job_dir=tmp_path / "cpu job")
    with training.start(words, FAMILIES[family]) as process:
        output = process.stdout.read()
    assert process.returncode == 0, output

    here, there = losses(tmp_path / "gpu job"), losses(tmp_path / "cpu job")
    assert len(here) == len(there) > 3
    assert here == pytest.approx(there, rel=2e-3)


TWO_EPOCHS = {
    "max_train_epochs": 2,
    "save_every_n_epochs": 1,
    "save_state": True,
    "network_dropout": 0.1,
    "gradient_checkpointing": True,
}


def interrupted(family, models, data, tmp_path, **options):
    """The LoRA of a run, of the same run once more, and of one that went on from its middle."""
    options = {**TWO_EPOCHS, **options}
    first = train(family, models, data, tmp_path / "first", job_dir=tmp_path / "first job", **options)
    again = train(family, models, data, tmp_path / "again", job_dir=tmp_path / "again job", **options)
    state = tmp_path / "first" / "waves-000001-state"
    resumed = train(
        family, models, data, tmp_path / "resumed", job_dir=tmp_path / "resumed job", resume=state, **options
    )
    assert any(tensor.any() for name, tensor in tensors(first).items() if "lora_up" in name)
    return first, again, resumed


@pytest.mark.parametrize("pixels", [64, 256])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_with_deterministic_the_same_seed_gives_the_same_bits_also_when_interrupted(
    family, models, data, tmp_path, precision, pixels
):
    first, again, resumed = interrupted(
        family,
        models,
        data,
        tmp_path,
        mixed_precision=precision,
        deterministic=True,
        resolution=pixels,
        max_bucket_reso=2 * pixels,
    )
    assert same_tensors(again, first)
    assert same_tensors(resumed, first)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_without_it_an_interrupted_run_drifts_no_more_than_a_second_one(family, models, data, tmp_path, precision):
    first, again, resumed = interrupted(family, models, data, tmp_path, mixed_precision=precision)

    assert drift(first, resumed) <= 1.5 * drift(first, again) + 1e-6
    on = losses(tmp_path / "resumed job")
    assert on[0] == pytest.approx(losses(tmp_path / "first job")[-len(on)], rel=1e-3)


def drift(one, other):
    """How far two LoRAs are apart, of what they have learned."""
    a, b = tensors(one), tensors(other)
    apart = sum(float((a[name].double() - b[name].double()).square().sum()) for name in a)
    return (apart / sum(float(tensor.double().square().sum()) for tensor in a.values())) ** 0.5


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("caching", [True, False])
def test_the_host_never_waits_for_the_device_within_a_step(
    family, models, data, tmp_path, precision, caching, monkeypatch
):
    inside, steps = TrainingStep.__call__, []

    def watched(self, group, step):
        steps.append(step)
        torch.cuda.set_sync_debug_mode("error" if step >= FIRST else "default")
        try:
            return inside(self, group, step)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(TrainingStep, "__call__", watched)
    train(
        family,
        models,
        data,
        tmp_path / "out",
        mixed_precision=precision,
        max_train_epochs=2,
        cache_latents=caching,
        flip_aug=None,
    )
    assert len(steps) > 2 * FIRST


TIGHT = """
import sys
import torch
torch.cuda.set_per_process_memory_fraction(400e6 / torch.cuda.get_device_properties(0).total_memory)
from tanren.entry import main
raise SystemExit(main("train_network", sys.argv[1:]))
"""


def test_too_little_memory_is_said_with_what_to_switch_on(models, data, tmp_path):
    words = words_of("sd1", models, data, tmp_path / "out", network_dim=4096, resolution="512,512", max_bucket_reso=512)
    words += [f"--job_dir={tmp_path / 'job'}"]

    done = subprocess.run([sys.executable, "-c", TIGHT, *words], capture_output=True, text=True, encoding="utf-8")

    result = json.loads((tmp_path / "job" / "result.json").read_text("utf-8"))
    assert done.returncode == 6, done.stderr
    assert "Traceback" not in done.stderr
    assert "--gradient_checkpointing" in json.dumps(result)
