"""Numbers for TensorBoard and Weights & Biases; whatever they do, the run goes on."""

import os
import sys
import types
from pathlib import Path

import pytest
from accelerate import PartialState
from tanren.engine.trackers import open_trackers
from tanren.events import Report
from tanren.options.tracking import TrackingOptions
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

STEP = {
    "kind": "step",
    "time": 0.0,
    "step": 1,
    "loss": 0.5,
    "average": 0.25,
    "grad_norm": 2.0,
    "lr": {"textencoder": 1e-4, "unet_block3 plus": 1e-3},
    "effective_lr": {"textencoder": 1e-5},
    "max_key_norm": 1.0,
    "mean_key_norm": 0.75,
    "keys_scaled": 3,
}
EPOCH = {"kind": "epoch", "time": 0.0, "step": 1, "epoch": 1, "average": 0.25}
VALIDATION = {"kind": "validation", "time": 0.0, "step": 1, "every": "epoch", "average": 0.75, "train_average": 0.25}


def opened(config=None, **options):
    """(trackers, warnings)"""
    warnings = []
    report = Report([lambda event: warnings.append(event["text"])])
    return open_trackers(TrackingOptions(**options), "network_train", config or {}, report), warnings


def written(folder):
    """Tag -> last value, from the only event file below the folder."""
    (file,) = Path(folder).rglob("events.*")
    reader = EventAccumulator(str(file))
    reader.Reload()
    return {tag: reader.Scalars(tag)[-1].value for tag in reader.Tags()["scalars"]}


@pytest.mark.option("logging_dir", "log_prefix", "log_with")
def test_tensorboard_gets_kohyas_tags(tmp_path):
    trackers, warnings = opened(logging_dir=str(tmp_path), log_prefix="mine-")
    for event in (STEP, EPOCH, VALIDATION):
        trackers(event)
    trackers.finish()

    assert warnings == []
    assert written(tmp_path) == pytest.approx(
        {
            "loss/current": 0.5,
            "loss/average": 0.25,
            "loss/epoch_average": 0.25,
            "loss/validation/epoch_average": 0.75,
            "loss/validation/epoch_divergence": 0.5,
            "norm/avg_grad_norm": 2.0,
            "norm/avg_key_norm": 0.75,
            "max_norm/keys_scaled": 3,
            "max_norm/max_key_norm": 1.0,
            "lr/textencoder": 1e-4,
            "lr/unet_block3 plus": 1e-3,
            "lr/d*lr/textencoder": 1e-5,
        }
    )
    (run,) = tmp_path.iterdir()
    assert run.name.startswith("mine-20")
    assert [folder.name for folder in run.iterdir()] == ["network_train"]


@pytest.mark.option("log_config", "log_tracker_name")
def test_tensorboard_gets_the_settings_when_asked_for(tmp_path):
    PartialState()
    config = {"network_dim": 8, "network_args": "conv_dim=4", "flip_aug": True}
    for folder, log_config in (("with", True), ("without", False)):
        trackers, warnings = opened(
            config, logging_dir=str(tmp_path / folder), log_config=log_config, log_tracker_name="mine"
        )
        trackers(STEP)
        trackers.finish()
        assert warnings == []

    (kept,) = (tmp_path / "with").glob("*/mine/**/hparams.yml")
    assert sorted(kept.read_text().splitlines()) == ["flip_aug: true", "network_args: conv_dim=4", "network_dim: 8"]
    assert list((tmp_path / "without").rglob("hparams.yml")) == []


def test_nothing_is_opened_without_an_option(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    trackers, warnings = opened()
    trackers(STEP)
    trackers.finish()

    assert warnings == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.rule("flt-12")
def test_a_log_folder_that_cannot_be_made_does_not_stop_the_run(tmp_path):
    (tmp_path / "logs").write_text("a file")

    trackers, warnings = opened(logging_dir=str(tmp_path / "logs"))
    trackers(STEP)
    trackers.finish()

    assert len(warnings) == 1
    assert warnings[0].startswith("--log_with: tensorboard could not be started, the run goes on without it: ")


@pytest.fixture
def stand_in_for_wandb(monkeypatch):
    """The package is not among those the tests need; what it is asked for is recorded."""
    asked = {}

    def init(**arguments):
        asked.update(arguments, key=os.environ.get("WANDB_API_KEY"))
        if asked["key"] is None:
            raise RuntimeError("api_key not configured (no-tty)")
        return types.SimpleNamespace(log=lambda *_, **__: None, finish=lambda: None)

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    yield asked
    os.environ.pop("WANDB_API_KEY", None)


def test_the_key_of_the_command_line_is_what_wandb_finds(stand_in_for_wandb):
    _, warnings = opened(log_with="wandb", wandb_api_key="sesame", wandb_run_name="first")

    assert warnings == []
    private = {"x_disable_meta": True}
    assert stand_in_for_wandb == {
        "project": "network_train",
        "name": "first",
        "key": "sesame",
        "settings": private,
    }


@pytest.mark.rule("flt-11")
def test_a_tracker_that_cannot_log_in_does_not_stop_the_run(stand_in_for_wandb, tmp_path):
    trackers, warnings = opened(log_with="all", logging_dir=str(tmp_path))
    trackers(STEP)
    trackers.finish()

    assert warnings == [
        "--log_with: wandb could not be started, the run goes on without it: api_key not configured (no-tty)"
    ]
    assert written(tmp_path)["loss/current"] == 0.5
