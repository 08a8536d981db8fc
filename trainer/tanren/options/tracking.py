"""Who else hears how the run goes: trackers and the console."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import option


@dataclass(frozen=True, kw_only=True)
class TrackingOptions:
    """TensorBoard and Weights & Biases."""

    logging_dir: str | None = option(
        None, "Folder of the logs; given alone it means TensorBoard.", label="Log folder", path="folder"
    )
    log_prefix: str | None = option(None, "Put before the name of the run's log folder.", label="Log folder prefix")
    log_with: str | None = option(None, "Tracker.", label="Experiment tracker", choices=("tensorboard", "wandb", "all"))
    log_tracker_name: str | None = option(
        None, "Name of the project in the tracker; not given: network_train.", label="Tracker project", level="expert"
    )
    log_tracker_config: str | None = option(
        None,
        "TOML file with further arguments of the tracker.",
        label="Tracker settings file",
        level="expert",
        path="file",
    )
    log_config: bool = option(
        False, "Send the settings to the tracker, without secrets and paths.", label="Send settings to the tracker"
    )
    wandb_run_name: str | None = option(None, "Name of the run at Weights & Biases.", label="W&B run name")
    wandb_api_key: str | None = option(
        None, "Key of Weights & Biases; better kept in the environment, as WANDB_API_KEY.", label="W&B key", secret=True
    )


@dataclass(frozen=True, kw_only=True)
class ConsoleOptions:
    """What the console shows."""

    console_log_level: str | None = option(
        None,
        "Least important lines shown; not given: INFO.",
        label="Console log level",
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    )
    console_log_file: str | None = option(
        None, "Log to this file instead of the console.", label="Console log file", path="file"
    )
    console_log_simple: bool = option(False, "Plain lines without colours and bars.", label="Plain log")
