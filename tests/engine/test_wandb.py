"""Weights & Biases in its offline mode: what it would send is on the disk, and is read back from there."""

import sys

import pytest
from accelerate import PartialState
from engine.wandb_file import offline_runs, written
from PIL import Image
from tanren.engine.trackers import open_trackers, recorded_settings
from tanren.events import Report
from tanren.options.model import ModelOptions
from tanren.options.network import NetworkOptions
from tanren.options.optimizer import OptimizerOptions
from tanren.options.saving import SavingOptions
from tanren.options.spec import Settings
from tanren.options.tracking import TrackingOptions

wandb = pytest.importorskip("wandb")
SECRET = "sesame-5e5a3e-sesame-5e5a3e-sesame-5e5a3e"


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """Nothing is sent, and nothing is written outside of the test's folder."""
    for name in ("DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR", "ARTIFACT_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "wandb home"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    (tmp_path / "wandb home").mkdir()
    PartialState()
    yield
    wandb.teardown()


def opened(config=None, **options):
    warnings = []
    report = Report([lambda event: warnings.append(event["text"])])
    trackers = open_trackers(TrackingOptions(log_with="wandb", **options), "network_train", config or {}, report)
    assert warnings == []
    return trackers


def step(number, loss):
    rates = {"lr": {"unet": 1e-4}, "effective_lr": {}}
    return {"kind": "step", "step": number, "loss": loss, "average": loss, "grad_norm": 1.0, **rates}


def only_run(folder):
    # Its service writes on for a moment after a run has ended.
    wandb.teardown()
    (path,) = offline_runs(folder)
    return written(path)


@pytest.mark.option("log_with", "log_tracker_name", "log_tracker_config", "wandb_run_name", "log_prefix", "logging_dir")
def test_numbers_and_pictures_arrive_in_the_named_project_and_run(tmp_path):
    picture, more = tmp_path / "a.png", tmp_path / "tracker.toml"
    Image.new("RGB", (8, 8), "red").save(picture)
    more.write_text("[wandb]\ntags = ['waves', 'first']\nnotes = 'a try'\n[tensorboard]\nflush_secs = 1\n")
    trackers = opened(
        logging_dir=str(tmp_path / "logs"),
        log_prefix="mine-",
        log_tracker_name="my LoRAs",
        log_tracker_config=str(more),
        wandb_run_name="blue waves",
    )
    trackers(step(1, 0.5))
    # On a GPU the picture of a step is there before the step's numbers are.
    trackers({"kind": "sample", "file": str(picture), "step": 2, "index": 0})
    trackers(step(2, 0.25))
    trackers({"kind": "epoch", "step": 2, "average": 0.375})
    trackers.finish()

    run = only_run(tmp_path / "logs")
    assert (run["project"], run["name"]) == ("my LoRAs", "blue waves")
    assert [(row["_step"], row["loss/current"], row["lr/unet"]) for row in run["history"]] == [
        (1, 0.5, 1e-4),
        (2, 0.25, 1e-4),
    ]
    assert run["history"][1]["loss/epoch_average"] == 0.375
    assert run["history"][1]["sample_0.count"] == 1
    (folder,) = (tmp_path / "logs").iterdir()
    assert folder.name.startswith("mine-20")
    assert len(list(folder.rglob("media/images/sample_0_*.png"))) == 1
    data = offline_runs(folder)[0].read_bytes()
    assert all(word in data for word in (b"waves", b"first", b"a try"))


def settings(tmp_path):
    return Settings(
        "train_network",
        [
            ModelOptions(pretrained_model_name_or_path=str(tmp_path / "my model.safetensors"), clip_skip=2),
            NetworkOptions(network_dim=8, network_args=("conv_dim=4", "conv_alpha=1"), base_weights=("/home/me/a.st",)),
            OptimizerOptions(learning_rate=3e-4, text_encoder_lr=(1e-5,)),
            SavingOptions(output_dir=str(tmp_path / "results"), output_name="waves"),
            TrackingOptions(log_with="wandb", logging_dir=str(tmp_path / "logs"), wandb_api_key=SECRET),
        ],
    )


@pytest.mark.option("log_config", "wandb_api_key")
def test_settings_are_sent_when_asked_for_without_secrets_and_paths(tmp_path, monkeypatch):
    chosen = settings(tmp_path)
    typed = ["train_network.py", f"--wandb_api_key={SECRET}", f"--output_dir={tmp_path / 'results'}"]
    monkeypatch.setattr(sys, "argv", typed)
    for folder, log_config in (("without", False), ("with", True)):
        trackers = opened(
            recorded_settings(chosen),
            logging_dir=str(tmp_path / folder),
            log_config=log_config,
            wandb_api_key=SECRET,
        )
        trackers(step(1, 0.5))
        trackers.finish()

    sent = only_run(tmp_path / "with")["config"]
    assert sent["network_dim"] == 8
    assert sent["learning_rate"] == 3e-4
    assert sent["network_args"] == "conv_dim=4 conv_alpha=1"
    assert sent["text_encoder_lr"] == "1e-05"
    assert sent["output_name"] == "waves"
    named = {"pretrained_model_name_or_path", "base_weights", "output_dir", "logging_dir", "wandb_api_key", "vae"}
    assert not named & sent.keys()
    assert "network_dim" not in only_run(tmp_path / "without")["config"]
    for folder in ("with", "without"):
        data = offline_runs(tmp_path / folder)[0].read_bytes()
        assert not [word for word in (SECRET, "my model", "results", "a.st") if word.encode() in data]
