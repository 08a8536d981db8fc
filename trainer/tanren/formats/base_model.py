"""What a base model on disk is, without torch: from the header of a file or the configs of a diffusers folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import ModelFileError
from .checkpoint_kind import FAMILY_BY_CONTEXT, NORMAL_CHANNELS, SD1, SD2, SDXL, CheckpointKind, kind_of
from .file_kind import OLD_PICKLE, SAFETENSORS, ZIP_CHECKPOINT, kind_of_file
from .safetensors_header import read_header

SAFETENSORS_ENDING = ".safetensors"
TEXT_FOLDERS = {SDXL: ("text_encoder", "text_encoder_2")}
PICKLE_ENDINGS = (".ckpt", ".pt", ".pth", ".bin")


def kind_at(path: Path) -> CheckpointKind | None:
    """What a local file or folder holds; None for .ckpt files, whose names are known only once torch reads them.

    Raises:
        ModelFileError: damaged, or something else under the name of a model.
    """
    if path.is_dir():
        return folder_kind(path)
    if not is_safetensors(path):
        return None
    header = read_header(path)
    return kind_of({name: entry.shape for name, entry in header.tensors.items()}, header.metadata)


def is_safetensors(path: Path) -> bool:
    """True for a safetensors file under any name, False for a file in torch's own format under one of its names.

    The content decides, not the name; but a pickle is read only where its name says so, because the user chose it.

    Raises:
        ModelFileError: missing, or neither of the two; says what it is.
    """
    try:
        kind = kind_of_file(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelFileError(where=str(path), what=f"{path.name} cannot be read: {reason}.", fix="Check it.") from error
    if kind == SAFETENSORS or (kind is None and path.suffix.lower() == SAFETENSORS_ENDING):
        return True
    if kind in (None, ZIP_CHECKPOINT, OLD_PICKLE) and path.suffix.lower() in PICKLE_ENDINGS:
        return False
    if kind in (ZIP_CHECKPOINT, OLD_PICKLE):
        raise ModelFileError(
            where=str(path),
            what=f"{path.name} is {kind} under another name.",
            why="Such files are opened only where their ending says what they are.",
            fix="Rename it to .ckpt if you trust its source.",
        )
    known = ", ".join([SAFETENSORS_ENDING, *PICKLE_ENDINGS])
    raise ModelFileError(
        where=str(path),
        what=f"{path.name} is {kind or 'of an unknown kind'}, not a model.",
        why=f"Models end in {known}." if path.suffix.lower() not in known else "",
        fix="Download it again.",
    )


def folder_kind(folder: Path) -> CheckpointKind:
    """What a diffusers folder holds, from the configs of its U-Net and scheduler.

    Raises:
        ModelFileError: the folder is not a diffusers folder.
    """
    unet = _settings_if_there(folder / "unet" / "config.json")
    if (folder / "transformer").is_dir() and not unet:
        return CheckpointKind("flux")
    if not unet:
        raise ModelFileError(
            where=str(folder),
            what=f"{folder.name} is not a diffusers folder: there is no unet/config.json in it.",
            fix="Give the folder that holds model_index.json, or the checkpoint file itself.",
        )
    scheduler = _settings_if_there(folder / "scheduler" / "scheduler_config.json")
    prediction = {"v_prediction": "v", "epsilon": "epsilon"}.get(scheduler.get("prediction_type", "epsilon"))
    family = _family(unet)
    return CheckpointKind(
        family=family,
        in_channels=unet.get("in_channels", NORMAL_CHANNELS),
        prediction=prediction if scheduler else None,
        zero_terminal_snr=bool(scheduler.get("rescale_betas_zero_snr", False)),
        has_text_encoder=all((folder / part).is_dir() for part in TEXT_FOLDERS.get(family, ("text_encoder",))),
        has_vae=(folder / "vae").is_dir(),
    )


def _family(unet: dict[str, Any]) -> str:
    if unet.get("addition_embed_type") == "text_time":
        return "sdxl_refiner" if unet.get("cross_attention_dim") == 1280 else SDXL
    standard = FAMILY_BY_CONTEXT.get(unet.get("cross_attention_dim", 0))
    # SD 2 projects with linear layers where SD 1 has 1x1 convolutions; this holds for models of other widths too.
    return standard or (SD2 if unet.get("use_linear_projection") else SD1)


def read_settings(path: Path) -> dict[str, Any]:
    """The object in a config.json or an index of shards.

    Raises:
        ModelFileError: missing, damaged, or something else than an object.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        what = f"There is no {path.name} in {path.parent.name}."
        raise ModelFileError(where=str(path), what=what, fix="Download the folder again, all files of it.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(
            where=str(path), what=f"{path.name} cannot be read.", why=f"{error}.", fix="Download it again."
        ) from error
    if not isinstance(content, dict):
        raise ModelFileError(where=str(path), what=f"{path.name} holds no settings.", fix="Download it again.")
    return content


def _settings_if_there(path: Path) -> dict[str, Any]:
    return read_settings(path) if path.is_file() else {}
