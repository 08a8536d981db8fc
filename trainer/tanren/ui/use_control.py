"""A control network of a training, put where ControlNet finds it: copied, with nothing beside it.

Prompts do not name control networks, so there are no words, no weight and no preview to write.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelFileError, UsageError
from ..formats.safetensors_header import read_header
from ..locks import Lock
from ..paths import check_created_name
from .host import Surroundings
from .use_epoch import ENDING, copied, make_folder


@dataclass(frozen=True)
class UsedControl:
    """What was written.

    Args:
        path: the copy.
        name: its name without ending, as ControlNet lists it.
        was_there: the same file lay there already, under this name.
        is_listed: ControlNet has looked at the folder again.
    """

    path: Path
    name: str
    was_there: bool
    is_listed: bool


def use_control(
    surroundings: Surroundings, weights: Path, *, name: str = "", folder: Path | None = None
) -> UsedControl:
    """Copy a control network to where the WebUI's ControlNet finds it, or to a folder.

    Args:
        surroundings: the WebUI, or none.
        weights: the file to copy; it stays where it is.
        name: for the copy, without ending; empty for that of the file.
        folder: instead of the WebUI's folder.

    Raises:
        UsageError: the name cannot be a file's, or nobody said which folder.
        ModelFileError: not a control network.
        StorageError: no room, or the folder cannot be written.
    """
    target = folder or surroundings.control_dir()
    if target is None:
        raise UsageError(
            where="folder", what="Where control networks are used is not known here.", fix="Name the folder."
        )
    if not weights.is_file():
        raise ModelFileError(
            where=str(weights), what=f"{weights.name} is not there any more.", fix="Choose another one."
        )
    if not any("lllite" in tensor for tensor in read_header(weights).tensors):
        raise ModelFileError(where=str(weights), what=f"{weights.name} is no ControlNet-LLLite.")
    wanted = check_created_name(name.removesuffix(ENDING) if name else weights.stem, where="name")
    make_folder(target)
    locks = surroundings.data_dir / "locks"
    make_folder(locks)
    with Lock(locks / "use-epoch.lock").acquire(what="The folder of control networks", wait=60.0):
        used = copied(weights, target, wanted)
    return UsedControl(used.path, used.name, used.was_there, surroundings.read_controls_again())
