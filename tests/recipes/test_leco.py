"""Whole runs of `train_leco` and `sdxl_train_leco` on tiny models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from recipes import training
from safetensors import safe_open
from safetensors.torch import load_file
from tanren import plan
from tanren.entry import main
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_models import tiny_sd

ERASE = """
[[prompts]]
target = "circle"
resolution = 64
batch_size = 2
"""
SLIDER = """
resolution = [64, 64]
[[targets]]
target_class = "shape"
positive = "red shape"
negative = "blue shape"
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        "train_leco": training.base_model(folder),
        "sdxl_train_leco": tiny_sd(folder / "tiny-sdxl.safetensors", "sdxl"),
    }


@pytest.fixture
def train(models, tmp_path):
    """Runs a command; returns the exit code and the folder of its results."""

    def run(*words: str, command: str = "train_leco", prompts: str = ERASE, name: str = "out") -> tuple[int, Path]:
        file = tmp_path / "プロンプト.toml"
        file.write_text(prompts, "utf-8")
        out = tmp_path / name
        common = [f"--pretrained_model_name_or_path={models[command]}", f"--prompts_file={file}", f"--output_dir={out}"]
        given = {word.split("=")[0] for word in words}
        usual = ["--output_name=leco", "--max_train_steps=3", "--max_denoising_steps=5", "--seed=1"]
        usual += ["--network_dim=4", "--network_alpha=4", "--learning_rate=1e-3"]
        return main(command, [*common, *(word for word in usual if word.split("=")[0] not in given), *words]), out

    return run


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


@pytest.mark.option("prompts_file")
@pytest.mark.parametrize("command", ["train_leco", "sdxl_train_leco"])
def test_the_file_holds_layers_of_the_unet_and_says_what_it_learned(train, command):
    code, out = train("--network_module=networks.lora", command=command)
    assert code == 0
    tensors, metadata = load_file(out / "leco.safetensors"), metadata_of(out / "leco.safetensors")
    assert all(name.startswith("lora_unet_") for name in tensors)
    ups = [tensor for name, tensor in tensors.items() if name.endswith("lora_up.weight")]
    assert any(tensor.abs().max() > 0 for tensor in ups)
    assert metadata["ss_network_module"] == "networks.lora"
    assert metadata["ss_network_dim"] == "4"
    assert metadata["ss_leco_prompt_count"] == "1"
    assert metadata["ss_leco_prompts_file"] == "プロンプト.toml"
    assert json.loads(metadata["ss_leco_preview"])[0]["target"] == "circle"
    assert metadata["ss_base_model_version"] == ("sdxl_base_v1-0" if command.startswith("sdxl") else "sd_v1")
    assert "ss_tag_frequency" not in metadata


def test_the_network_needs_no_word(train):
    code, out = train()
    assert code == 0
    assert metadata_of(out / "leco.safetensors")["ss_network_module"] == "networks.lora"


def test_a_stopped_and_resumed_run_is_the_undisturbed_one(train):
    words = ["--optimizer_type=AdamW", "--lr_scheduler=cosine", "--max_train_steps=4", "--save_every_n_steps=2"]
    assert train(*words, "--save_state", name="whole")[0] == 0
    code, whole = train(*words, "--save_state", name="whole")
    code, resumed = train(*words, f"--resume={whole / 'leco-step00000002-state'}", name="resumed")
    assert code == 0
    first, second = load_file(whole / "leco.safetensors"), load_file(resumed / "leco.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_sliders_draw_their_samples_at_three_strengths(train, tmp_path):
    prompts = tmp_path / "samples.txt"
    prompts.write_text("a red circle --w 64 --h 64 --s 2 --d 3\n", "utf-8")
    words = [f"--sample_prompts={prompts}", "--sample_every_n_steps=3", "--learning_rate=1e-2"]
    code, out = train(*words, prompts=SLIDER)
    assert code == 0
    pictures = sorted((out / "sample").iterdir())
    strengths = [name.split("_")[3] for name in (path.name for path in pictures)]
    assert sorted(strengths) == ["x+0", "x+1", "x-1"]
    assert len({path.read_bytes() for path in pictures}) == 3


def test_an_erasing_run_draws_what_was_before_once_and_what_is_after_each_time(train, tmp_path):
    prompts = tmp_path / "samples.txt"
    prompts.write_text("a red circle --w 64 --h 64 --s 2 --d 3\n", "utf-8")
    code, out = train(f"--sample_prompts={prompts}", "--sample_every_n_steps=1", "--learning_rate=1e-2")
    assert code == 0
    pictures = sorted(path.name for path in (out / "sample").iterdir())
    assert [name.split("_")[1:4:2] for name in pictures] == [
        ["000001", "x+0"],
        ["000001", "x+1"],
        ["000002", "x+1"],
        ["000003", "x+1"],
    ]
    assert len({(out / "sample" / name).read_bytes() for name in pictures}) == 4


@pytest.mark.option("max_denoising_steps", "leco_denoise_guidance_scale", "noise_offset")
def test_what_changes_the_denoising_changes_the_result(train):
    words = ["--max_denoising_steps=9", "--leco_denoise_guidance_scale=1", "--noise_offset=0.3"]
    results = []
    for place, word in enumerate(["--seed=1", *words]):
        code, out = train(word, "--max_train_steps=1", name=str(place))
        assert code == 0
        results.append(load_file(out / "leco.safetensors"))
    plain, *others = results
    assert [any(not torch.equal(plain[name], other[name]) for name in plain) for other in others] == [True] * 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--network_train_text_encoder_only"], "LECO changes the U-Net only"),
        (["--max_train_epochs=2"], "LECO has no epochs; its length is --max_train_steps"),
        (["--save_every_n_epochs=1"], "LECO has no epochs; use --save_every_n_steps"),
        (["--max_denoising_steps=1"], "--max_denoising_steps"),
        (["--prompts_file="], "The file with the prompts was not named."),
        (["--prompts_file=nowhere.toml"], "nowhere.toml"),
        (["--train_data_dir=x"], "--train_data_dir"),
    ],
)
def test_what_does_not_fit_is_said_before_a_model_is_loaded(train, capfd, words, message):
    code, out = train(*words)
    assert code == 2
    assert message in capfd.readouterr().err
    assert not out.exists()


def test_a_mistake_in_the_prompts_is_named_with_its_field(train, capfd):
    code, _ = train(prompts='[[prompts]]\ntarget = "a"\naction = "delete"\n')
    assert code == 2
    assert "prompts[0].action: action 'delete' is neither erase nor enhance." in capfd.readouterr().err


def test_the_plan_names_the_pairs_and_the_steps(models, tmp_path, capsys):
    prompts = tmp_path / "prompts.toml"
    prompts.write_text(SLIDER, "utf-8")
    words = [f"--pretrained_model_name_or_path={models['train_leco']}", f"--prompts_file={prompts}"]
    assert plan.main(["train_leco", *words, f"--output_dir={tmp_path}", "--max_train_steps=7"]) == 0
    said = capsys.readouterr().out
    assert (
        "  erase 'blue shape' in 'shape', seen from 'red shape' and begun at '', at strength +1: 64x64, batch 1" in said
    )
    assert "Length\n  7 steps\n" in said


def test_logs_and_events_tell_the_pair_of_every_step(train, tmp_path):
    log, job = tmp_path / "log", tmp_path / "job"
    prompts = SLIDER.replace("[[targets]]", "guidance_scale = 2\n[[targets]]", 1)
    code, _ = train(f"--logging_dir={log}", f"--job_dir={job}", "--max_train_steps=4", prompts=prompts)
    assert code == 0
    (file,) = log.rglob("events.out.tfevents.*")
    reader = EventAccumulator(str(file)).Reload()
    logged = {tag: [one.value for one in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
    steps = [event for event in read_events(job / "events.jsonl") if event["kind"] == "step"]
    strengths = [event["facts"]["network_multiplier"] for event in steps]
    assert set(strengths) <= {1.0, -1.0} and len(strengths) == 4
    assert logged["network_multiplier"] == strengths
    assert logged["guidance_scale"] == [2.0] * 4
    assert logged["loss"] == logged["loss/current"]
    assert logged["lr"] == logged["lr/unet"]


def read_events(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
