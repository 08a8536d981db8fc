"""A LoRA file that was dropped onto the page: found among those on this machine, else shown from its header alone.

A browser does not say where a dropped file lies, and sends its first bytes only.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..library.index import files_in
from ..library.look import look_at
from .answers import Body, Desk
from .lora_answers import page_words, told
from .lora_told import file_told

LARGEST = 2**40


def dropped(desk: Desk, body: Body) -> dict[str, Any]:
    """What is known of a file of this name, size and header.

    Raises:
        UsageError: the request is not whole.
        ModelFileError: the header is damaged, or that of another kind of file.
    """
    name, size, header = _checked(body)
    known = _on_this_machine(desk, name, size, header)
    if known is not None:
        return told(desk, look_at(known))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "dropped.safetensors")
        path.write_bytes(header)
        os.truncate(path, size)
        look = look_at(path, beside=False, alphas=False)
    checkpoint = desk.surroundings.checkpoint()
    shown = file_told(look, page_words(desk), checkpoint=checkpoint.family if checkpoint else None)
    alias = name.rpartition(".")[0] if look.alias == path.stem else look.alias
    is_of_it = {"path": None, "name": name, "stem": name.rpartition(".")[0] or name, "alias": alias}
    return {**shown, **is_of_it, "can_undo": False, "cover": False, "preview": None, "family_keys": [], "mark": ""}


def _checked(body: Body) -> tuple[str, int, bytes]:
    name, size = body.get("name"), body.get("size")
    if not isinstance(name, str) or not isinstance(size, int) or not 0 < size < LARGEST:
        raise UsageError(where="dropped", what="The name or the size of the file is missing.")
    try:
        header = base64.b64decode(str(body.get("header") or ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(where="dropped", what="The header of the file did not come whole.") from error
    if len(header) > size:
        raise UsageError(where="dropped", what="The header of the file did not come whole.")
    return name.replace("\\", "/").rpartition("/")[2], size, header


def _on_this_machine(desk: Desk, name: str, size: int, header: bytes) -> Path | None:
    """The same file in the LoRA folder or among what trainings have written."""
    folders = [folder for folder in (desk.surroundings.lora_dir(), desk.shelf.runs) if folder and folder.is_dir()]
    for found in files_in(folders):
        if found.path.name == name and found.size == size:
            with found.path.open("rb") as file:
                if file.read(len(header)) == header:
                    return found.path
    return None
