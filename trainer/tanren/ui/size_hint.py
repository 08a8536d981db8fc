"""Pictures of another size than the base model was made for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..errors import UserError
from ..formats.base_model import is_safetensors, read_settings
from ..formats.checkpoint_kind import SD1, SDXL
from ..formats.safetensors_header import read_header
from ..options.dataset import DatasetOptions
from ..options.model import ModelOptions
from ..paths import home_expanded
from ..preflight import Preflight
from ..vram import FIRST_LAYER, FIRST_LAYERS
from .places import Notice
from .remedies import Wish
from .words import text

SDXL_SIDE, SD1_SIDE = 1024, 512
# Longer sides in between are common, and go well.
BETWEEN = 768 * 768
TOO_SMALL = (
    "SDXL was made for {made} pixels and is trained on {size} here: what is learned will look coarse. "
    "Use {made} where the pictures are large enough."
)
TOO_LARGE = (
    "Stable Diffusion 1 was made for {made} pixels and is trained on {size} here: bodies and faces come out twice, "
    "and it takes much longer. Use {made} or 768."
)


def size_notices(found: Preflight) -> list[Notice]:
    """A note on the resolution, with a button for the usual one; models of other widths know other sizes."""
    sizes = {dataset.plan.resolution_wh for dataset in found.scan.datasets}
    family = found.base.family if found.base is not None else ""
    if not sizes or family not in (SD1, SDXL) or not _is_full_size(found.settings[ModelOptions]):
        return []
    smallest, largest = min(sizes, key=_area), max(sizes, key=_area)
    if family == SDXL and _area(smallest) < BETWEEN:
        return [_notice(TOO_SMALL, smallest, SDXL_SIDE, found)]
    if family == SD1 and _area(largest) > BETWEEN:
        return [_notice(TOO_LARGE, largest, SD1_SIDE, found)]
    return []


def _notice(sentence: str, size: tuple[int, int], made: int, found: Preflight) -> Notice:
    wish = Wish(text("Use {value}", value=f"{made},{made}"), {"resolution": f"{made},{made}"})
    # A dataset file with a resolution of its own does not follow the field.
    is_of_field = found.settings[DatasetOptions].resolution == size
    told = sentence.format(made=made, size="{}×{}".format(*size))
    return Notice("resolution", told, (wish,) if is_of_field else ())


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _is_full_size(options: ModelOptions) -> bool:
    """True for a model as wide as the published ones."""
    path = home_expanded(options.pretrained_model_name_or_path or "")
    try:
        if path.is_dir():
            return bool(read_settings(path / "unet" / "config.json").get("block_out_channels", [0])[0] == FIRST_LAYER)
        state = path.stat()
        return _width(path, state.st_mtime_ns, state.st_size) == FIRST_LAYER
    except (UserError, OSError):
        # What is wrong with the file is told as a problem of its own.
        return False


@lru_cache(maxsize=64)
def _width(path: Path, changed: int, size: int) -> int:
    tensors = read_header(path).tensors if is_safetensors(path) else {}
    return next((tensors[name].shape[0] for name in FIRST_LAYERS if name in tensors), 0)
