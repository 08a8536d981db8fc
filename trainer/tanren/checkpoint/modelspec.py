"""`modelspec.*`: what a file is, as Stability's ModelSpec 1.0.1 names it, filled as sd-scripts does."""

from __future__ import annotations

import base64
from pathlib import Path

from .. import __version__
from ..data.records import Scan
from ..errors import UsageError
from ..families.base import BaseNames
from ..formats.file_kind import kind_of_bytes
from ..formats.lora_metadata import MODELSPEC_VERSION
from ..options.dataset import DatasetOptions
from ..options.loss import LossOptions
from ..options.model import ModelOptions
from ..options.saving import MetadataOptions, SavingOptions
from ..options.spec import Settings, options_of

LAST_TIMESTEP = 1000
THUMBNAIL_BYTES = 4 * 2**20
THUMBNAIL_TYPES = {
    "a PNG picture": "image/png",
    "a JPEG picture": "image/jpeg",
    "a WebP picture": "image/webp",
    "a GIF picture": "image/gif",
}


def modelspec_metadata(settings: Settings, scan: Scan, names: BaseNames, kind: str = "lora") -> dict[str, str]:
    """All keys but the date; those that nobody set are absent.

    Args:
        kind: of the file, as modelspec names it.
    """
    model, loss = settings[ModelOptions], settings[LossOptions]
    width, height = _resolution(settings, scan, names)
    values = {
        "sai_model_spec": MODELSPEC_VERSION,
        "architecture": f"{names.architecture}/{kind}",
        "implementation": names.implementation,
        "implementation_version": f"tanren/{__version__}",
        "title": settings[SavingOptions].output_name,
        "resolution": f"{width}x{height}",
        "prediction_type": names.prediction_type,
        "timestep_range": _timestep_range(loss),
        "encoder_layer": None if model.clip_skip is None else str(model.clip_skip),
    }
    metadata = {f"modelspec.{name}": value for name, value in values.items() if value is not None}
    return {**metadata, **_from_options(settings[MetadataOptions])}


def _from_options(options: MetadataOptions) -> dict[str, str]:
    metadata = {}
    for option in options_of(MetadataOptions):
        value = getattr(options, option.name)
        if value is not None and option.text.saved_as is not None:
            metadata[option.text.saved_as] = thumbnail(value) if option.name == "metadata_thumbnail" else str(value)
    return metadata


def thumbnail(value: str) -> str:
    """A picture file as a data URL; a data URL stays as it is.

    Raises:
        UsageError: not there, not a picture, or larger than 4 MiB (every host reads the header of every file).
    """
    where = "--metadata_thumbnail"
    if value.startswith("data:"):
        return value
    try:
        data = Path(value).read_bytes()
    except OSError as error:
        raise UsageError(
            where=where, what=f"{value!r} cannot be read.", why=str(error.strerror or error), fix="Check the path."
        ) from error
    media_type = THUMBNAIL_TYPES.get(kind_of_bytes(data[:512]) or "")
    if media_type is None:
        raise UsageError(where=where, what=f"{value!r} is not a picture.", fix="Give a PNG, JPEG, WebP or GIF file.")
    if len(data) > THUMBNAIL_BYTES:
        raise UsageError(
            where=where,
            what=f"{value!r} has {len(data)} bytes; at most {THUMBNAIL_BYTES} go into a file.",
            fix="Make it smaller; 256 by 256 pixels are usual.",
        )
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def _resolution(settings: Settings, scan: Scan, names: BaseNames) -> tuple[int, int]:
    """Pixels (width, height) of training: as asked for, of the first dataset, or usual for the base model."""
    asked = settings[DatasetOptions].resolution
    if asked is not None:
        return asked
    if scan.datasets:
        return scan.datasets[0].plan.resolution_wh
    return names.default_resolution, names.default_resolution


def _timestep_range(options: LossOptions) -> str | None:
    if options.min_timestep is None and options.max_timestep is None:
        return None
    return f"{options.min_timestep or 0},{options.max_timestep or LAST_TIMESTEP}"
