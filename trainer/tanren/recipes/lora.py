"""Train a LoRA: captioned pictures in, one network file out."""

from __future__ import annotations

from ..data.records import Scan
from ..engine.processes import Processes
from ..events import Report
from ..families.base import Family
from ..objectives.denoising import Denoising
from ..options.spec import Settings
from .learning import learn_from_pictures, prepare

TRACKER = "network_train"


def run(family: Family, settings: Settings, scan: Scan, report: Report, processes: Processes) -> None:
    """Train a LoRA as the settings say.

    Raises:
        UserError: what only loading and training could show.
        StoppedOnRequest: somebody asked; everything needed to go on is saved.
    """
    prepared = prepare(family, settings, scan, report, processes)
    learn_from_pictures(prepared, scan, Denoising, TRACKER)
