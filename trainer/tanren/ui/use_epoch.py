"""One epoch of a training, put where pictures are made: copied into the LoRA folder, with a preview and side data.

Nothing that is there is ever written over: the WebUIs keep tensors of a file in memory, by its name, and would go on
using the old ones. A name that is taken gets "-2". The bytes are copied as they are, so hashes stay.
"""

from __future__ import annotations

import filecmp
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import DataError, ModelFileError, StorageError, UsageError
from ..files import durable_write, write_json
from ..formats.lora_card import sd_version
from ..formats.safetensors_header import read_header
from ..locks import Lock
from ..paths import check_created_name
from .host import Surroundings

ENDING = ".safetensors"
PREVIEW, SIDECAR = ".preview.png", ".json"
USUAL_WEIGHT = 0.8
COPY_BLOCK = 4 * 2**20
PREVIEW_SIDE, PREVIEW_PIXELS = 1024, 16 * 2**20
NAMES_TRIED = 1000


@dataclass(frozen=True)
class UsedEpoch:
    """What was written.

    Args:
        path: the copy.
        name: its name without ending, as the WebUI lists it.
        was_there: the same file lay there already, under this name.
    """

    path: Path
    name: str
    was_there: bool = False


@dataclass(frozen=True)
class Card:
    """What the WebUI's card says beside the picture.

    Args:
        activation_text: put into the prompt with the LoRA; the trigger words.
        weight: the LoRA is used at; 0 for the WebUI's own default.
        description: shown on the card.
    """

    activation_text: str = ""
    weight: float = USUAL_WEIGHT
    description: str = ""


def use_epoch(
    surroundings: Surroundings,
    weights: Path,
    *,
    name: str = "",
    card: Card | None = None,
    preview: Path | None = None,
    folder: Path | None = None,
) -> UsedEpoch:
    """Copy a finished LoRA to where the WebUI finds it, or to a folder, and make the WebUI see it.

    Args:
        surroundings: the WebUI, or none.
        weights: the file to copy; it stays where it is.
        name: for the copy, without ending; empty for that of the file. May hold folders of the LoRA folder.
        card: for the side data.
        preview: a sample picture of this epoch.
        folder: instead of the WebUI's LoRA folder.

    Raises:
        UsageError: the name cannot be a file's, or nobody said which folder.
        ModelFileError: not a LoRA that can be read.
        StorageError: no room, or the folder cannot be written.
    """
    target = folder or surroundings.lora_dir()
    if target is None:
        raise UsageError(
            where="folder", what="Where LoRAs are used is not known here.", fix="Choose a folder in the settings."
        )
    if not weights.is_file():
        raise ModelFileError(
            where=str(weights), what=f"{weights.name} is not there any more.", fix="Choose another one."
        )
    header = read_header(weights)
    if any(tensor.endswith(".lora_A.weight") for tensor in header.tensors):
        what = f"{weights.parent.name} is in diffusers' layout, which WebUIs do not read."
        raise ModelFileError(where=str(weights), what=what, fix="Train with --save_model_as=safetensors.")
    metadata = header.metadata
    wanted = check_created_name(name.removesuffix(ENDING) if name else weights.stem, where="name")
    picture = _preview_bytes(preview) if preview is not None else None
    make_folder(target)
    locks = surroundings.data_dir / "locks"
    make_folder(locks)
    with Lock(locks / "use-epoch.lock").acquire(what="The LoRA folder", wait=60.0):
        used = copied(weights, target, wanted)
        if picture is not None:
            durable_write(used.path.with_name(used.name + PREVIEW), lambda file: _write(file, picture))
        _write_sidecar(used.path.with_name(used.name + SIDECAR), card or Card(), sd_version(metadata))
    surroundings.refresh_loras(used.path)
    return used


def prompt_for(surroundings: Surroundings, lora: Path, card: Card | None = None) -> str:
    """What to put into a prompt to try a LoRA: `<lora:name:0.8> trigger`."""
    chosen = card or card_beside(lora)
    word = f"<lora:{surroundings.lora_alias(lora)}:{chosen.weight or USUAL_WEIGHT:g}>"
    return f"{word} {chosen.activation_text}".rstrip()


def card_beside(lora: Path) -> Card:
    """What the side data of a LoRA says; a card with nothing on it when there are none."""
    said = _object_in(lora.with_suffix(SIDECAR)) or {}
    weight = said.get("preferred weight")
    return Card(
        activation_text=str(said.get("activation text") or ""),
        weight=float(weight) if isinstance(weight, (int, float)) and weight else USUAL_WEIGHT,
        description=str(said.get("description") or ""),
    )


def copied(weights: Path, folder: Path, wanted: str) -> UsedEpoch:
    """Copy a file under a name, or under the first that is free behind it; the same file is not copied twice.

    Raises:
        UsageError: every such name is taken.
        StorageError: no room, or the folder cannot be written.
    """
    for number in range(1, NAMES_TRIED):
        name = wanted if number == 1 else f"{wanted}-{number}"
        path = folder / (name + ENDING)
        if _is_free(folder, name):
            size = weights.stat().st_size
            durable_write(path, lambda file: _copy(weights, file), expected_bytes=size)
            return UsedEpoch(path, name)
        if path.is_file() and filecmp.cmp(weights, path, shallow=False):
            return UsedEpoch(path, name, was_there=True)
    raise UsageError(where="name", what=f"{wanted!r} and all its numbers are taken.", fix="Give another name.")


def _is_free(folder: Path, name: str) -> bool:
    """No LoRA of this name is there, and no picture or side data that some other one may have left."""
    taken = [name + ending for ending in (ENDING, ".pt", ".ckpt", PREVIEW, ".png", SIDECAR)]
    return not any((folder / one).exists() for one in taken)


def _copy(weights: Path, file: BinaryIO) -> None:
    with weights.open("rb") as source:
        shutil.copyfileobj(source, file, COPY_BLOCK)


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _preview_bytes(picture: Path) -> bytes:
    """The picture decoded and encoded again, without whatever else its file holds.

    Raises:
        DataError: it is not a picture.
    """
    try:
        with Image.open(picture) as opened:
            if opened.width * opened.height > PREVIEW_PIXELS:
                raise DataError(
                    where=str(picture), what=f"{picture.name} is too large for a preview.", fix="Leave it out."
                )
            upright = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        what = f"{picture.name} cannot be read as a picture."
        raise DataError(where=str(picture), what=what, why=f"{error}.", fix="Choose another sample.") from error
    upright.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    plain = Image.new("RGB", upright.size)
    plain.paste(upright)
    buffer = io.BytesIO()
    plain.save(buffer, "PNG")
    return buffer.getvalue()


def _write_sidecar(path: Path, card: Card, version: str) -> None:
    """Set our keys and leave the others, which the WebUI's own editor or another extension may have written."""
    content: dict[str, Any] = _object_in(path) or {}
    content["activation text"] = card.activation_text
    content["preferred weight"] = card.weight
    content["sd version"] = version
    if card.description or "description" not in content:
        content["description"] = card.description
    write_json(path, content)


def _object_in(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def make_folder(folder: Path) -> None:
    """Make a folder with those above it.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            where=str(folder), what=f"The folder cannot be made: {reason}.", fix="Choose another."
        ) from error
