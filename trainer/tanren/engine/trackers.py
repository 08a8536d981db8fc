"""TensorBoard and Weights & Biases, with the tags people overlay old runs by.

Layout: `<logging_dir>/<log_prefix><YYYYmmddHHMMSS>/<tracker name>/events…`. Failures are warnings: a tracker never
ends a run.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker, TensorBoardTracker, WandBTracker

from ..events import Event, Report
from ..formats.toml_file import read_toml
from ..options.spec import Settings, options_of
from ..options.tracking import TrackingOptions
from .processes import Processes

log = logging.getLogger("tanren")
WANDB_KEY = "WANDB_API_KEY"


class Trackers:
    """A sink that hands numbers to the trackers the user asked for."""

    def __init__(self, trackers: list[GeneralTracker]) -> None:
        self._trackers = trackers
        self._last_step = 0
        self._pictures: list[Event] = []

    def __call__(self, event: Event) -> None:
        """One event; only numbers and pictures are of interest."""
        if event["kind"] == "sample" and event.get("step", 0) > self._last_step:
            # The numbers of its step are still on their way from the GPU, and W&B takes no step after a later one.
            self._pictures.append(event)
            return
        self._hand_over(event)
        if event["kind"] == "step":
            self._last_step = event["step"]
            self._hand_over_pictures()

    def _hand_over_pictures(self) -> None:
        due = [event for event in self._pictures if event["step"] <= self._last_step]
        self._pictures = [event for event in self._pictures if event not in due]
        for event in due:
            self._hand_over(event)

    def _hand_over(self, event: Event) -> None:
        values = _scalars(event)
        for tracker in list(self._trackers):
            try:
                if values:
                    tracker.log(values, step=event["step"])
                if event["kind"] == "sample" and isinstance(tracker, WandBTracker):
                    _log_picture(tracker, event)
            except Exception as error:  # noqa: BLE001 - whatever a tracker raises, training goes on
                log.warning("The tracker %s failed and is switched off: %s", tracker.name, error)
                self._trackers.remove(tracker)

    def finish(self) -> None:
        """Write out what is buffered."""
        for tracker in self._trackers:
            try:
                tracker.finish()
            except Exception as error:  # noqa: BLE001 - whatever a tracker raises, the result of the run stands
                log.warning("The tracker %s could not write its last numbers: %s", tracker.name, error)


@contextmanager
def tracking(settings: Settings, default_name: str, report: Report, processes: Processes) -> Iterator[None]:
    """Let the trackers hear the run; only the main process has any."""
    if not processes.is_main:
        yield
        return
    trackers = open_trackers(settings[TrackingOptions], default_name, recorded_settings(settings), report)
    report.add_sink(trackers)
    try:
        yield
    finally:
        trackers.finish()


def recorded_settings(settings: Settings) -> dict[str, Any]:
    """The settings that trackers may see: no secrets and no paths, and only what a table can show; lists as words."""
    shown: dict[str, Any] = {}
    for group in settings.groups():
        for option in options_of(type(group)):
            value = getattr(group, option.name)
            if option.text.secret or option.text.path:
                continue
            if isinstance(value, tuple) and value:
                shown[option.name] = " ".join(map(str, value))
            elif isinstance(value, (int, float, str)):
                shown[option.name] = value
    return shown


def open_trackers(options: TrackingOptions, default_name: str, config: dict[str, Any], report: Report) -> Trackers:
    """The trackers of `--log_with` (TensorBoard when only `--logging_dir` is given); one that cannot start is told."""
    extra = read_toml(Path(options.log_tracker_config)) if options.log_tracker_config else {}
    trackers: list[GeneralTracker] = []
    for kind in _kinds(options):
        try:
            tracker = _start(kind, options, default_name, extra.get(kind, {}))
            if config and options.log_config:
                tracker.store_init_configuration(config)
        except Exception as error:  # noqa: BLE001 - no folder, no network, no login: training needs none of them
            report.warning(f"--log_with: {kind} could not be started, the run goes on without it: {error}")
        else:
            trackers.append(tracker)
    return Trackers(trackers)


def _start(kind: str, options: TrackingOptions, default_name: str, extra: dict[str, Any]) -> GeneralTracker:
    name = options.log_tracker_name or default_name
    folder = None
    if options.logging_dir:
        folder = Path(options.logging_dir) / f"{options.log_prefix or ''}{time.strftime('%Y%m%d%H%M%S')}"
        folder.mkdir(parents=True, exist_ok=True)
    tracker: GeneralTracker
    if kind == "tensorboard":
        tracker = TensorBoardTracker(name, str(folder), **extra)
    else:
        if options.wandb_api_key:
            # Where wandb looks for it; its login function would write the key into the user's .netrc.
            os.environ[WANDB_KEY] = options.wandb_api_key
        wandb: dict[str, Any] = {"name": options.wandb_run_name} if options.wandb_run_name else {}
        if folder is not None:
            wandb["dir"] = str(folder)
        # It would record the command line, with the paths and secrets in it.
        kept_private = {"x_disable_meta": True, **extra.get("settings", {})}
        tracker = WandBTracker(name, **{**wandb, **extra, "settings": kept_private})
    # Older accelerate opens its writers in the constructor.
    getattr(tracker, "start", lambda: None)()
    return tracker


def _kinds(options: TrackingOptions) -> list[str]:
    if options.log_with == "all":
        return ["tensorboard", "wandb"]
    if options.log_with:
        return [options.log_with]
    return ["tensorboard"] if options.logging_dir else []


def _scalars(event: Event) -> dict[str, float]:
    if event["kind"] == "step":
        values = {
            "loss/current": event["loss"],
            "loss/average": event["average"],
            "norm/avg_grad_norm": event["grad_norm"],
        }
        values |= {f"lr/{group}": rate for group, rate in event["lr"].items()}
        values |= {f"lr/d*lr/{group}": rate for group, rate in event["effective_lr"].items()}
        if event.get("facts"):
            # The names that sd-scripts logs for LECO.
            values |= {"loss": event["loss"], "lr": next(iter(event["lr"].values())), **event["facts"]}
        if event.get("max_key_norm") is not None:
            values |= {
                "max_norm/keys_scaled": event["keys_scaled"],
                "max_norm/max_key_norm": event["max_key_norm"],
                "norm/avg_key_norm": event["mean_key_norm"],
            }
        return values
    if event["kind"] == "epoch":
        return {"loss/epoch_average": event["average"]}
    if event["kind"] == "validation":
        kind = event["every"]
        return {
            f"loss/validation/{kind}_average": event["average"],
            f"loss/validation/{kind}_divergence": event["average"] - event["train_average"],
        }
    return {}


def _log_picture(tracker: WandBTracker, event: Event) -> None:
    tracker.log_images({f"sample_{event.get('index', 0)}": [event["file"]]}, step=event.get("step"))
