"""Our section of the WebUI's settings page. No tokens or passwords: the page holds every option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .host_webui import SETTING_PREFIX

SECTION = ("tanren", "Tanren")


@dataclass(frozen=True)
class Setting:
    """One entry of the section.

    Args:
        name: without `tanren_`.
        default: a text or a truth value; its kind decides how the entry looks.
        label: what it is.
        info: what it does, in small print.
    """

    name: str
    default: str | bool
    label: str
    info: str


ENVIRONMENT_FOLDER, START_QUEUE = "environment_folder", "start_queue"
SETTINGS = (
    Setting(
        ENVIRONMENT_FOLDER,
        "",
        "Folder of the trainer's environment (Tanren)",
        "empty: .venv in Tanren's own folder. A folder that is not there yet is made by the set-up in the Tanren tab; "
        "an environment of your own is used as it is. Not read when others can open this WebUI.",
    ),
    Setting(
        START_QUEUE,
        False,
        "Start waiting trainings by themselves when the WebUI starts (Tanren)",
        "otherwise the Tanren tab asks first. Trainings that run are never interrupted by a restart.",
    ),
)


def add_settings(shared: Any) -> None:
    """Register the entries; values that config.json holds already are kept by the WebUI.

    Args:
        shared: the WebUI's `modules.shared`.
    """
    for setting in SETTINGS:
        option = shared.OptionInfo(setting.default, setting.label, section=SECTION)
        shared.opts.add_option(SETTING_PREFIX + setting.name, option.info(setting.info))
