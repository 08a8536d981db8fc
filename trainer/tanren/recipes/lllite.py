"""Train a ControlNet-LLLite: captioned pictures and their control pictures in, one network file out."""

from __future__ import annotations

from ..data.records import Scan
from ..engine.control import steered_by
from ..engine.processes import Processes
from ..events import Report
from ..families.base import Family
from ..networks.lllite import LlliteNetwork
from ..objectives.steered import SteeredDenoising
from ..options.spec import Settings
from .learning import learn_from_pictures, prepare

TRACKER = "lllite_control_net_train"


def run(family: Family, settings: Settings, scan: Scan, report: Report, processes: Processes) -> None:
    """Train a ControlNet-LLLite as the settings say.

    Raises:
        UserError: what only loading and training could show.
        StoppedOnRequest: somebody asked; everything needed to go on is saved.
    """
    prepared = prepare(family, settings, scan, report, processes)
    network = prepared.network
    assert isinstance(network, LlliteNetwork)
    learn_from_pictures(prepared, scan, SteeredDenoising, TRACKER, steered_by(network, prepared.model))
