"""Metadata of LoRA files: how values become text, which keys must be there, and the hashes other programs know.

`ss_*` keys are sd-scripts', `modelspec.*` follow ModelSpec 1.0.1, `sshs_*` are hashes over the tensors. Every value is
text: Python's `str` of the value, so None is "None", flags are "True" and "False", and lists look like Python's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

MODELSPEC_VERSION = "1.0.1"
# What readers need to file a LoRA under the right base model; all that --no_metadata leaves.
MINIMUM_KEYS = (
    "ss_v2",
    "ss_base_model_version",
    "ss_network_module",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_network_args",
)
LEGACY_OFFSET = 0x100000
LEGACY_BYTES = 0x10000
BLOCK_BYTES = 2**20


def minimum_of(metadata: Mapping[str, str]) -> dict[str, str]:
    """What `--no_metadata` leaves: the six keys readers need, and modelspec."""
    return {name: text for name, text in metadata.items() if name in MINIMUM_KEYS or name.startswith("modelspec.")}


def training_part(metadata: Mapping[str, str]) -> dict[str, str]:
    """The keys that take part in the hashes: those that begin with `ss_`."""
    return {name: text for name, text in metadata.items() if name.startswith("ss_")}


def sshs_hashes(training_header: bytes, payload: Iterable[bytes | memoryview]) -> dict[str, str]:
    """`sshs_model_hash` and `sshs_legacy_hash` of a file.

    Args:
        training_header: length and header of the same tensors with only the `ss_` metadata.
        payload: the bytes after the header, in blocks.

    Returns:
        The SHA-256 of the payload, and the first 8 hex digits of the SHA-256 of 64 KiB at 1 MiB of header and payload.
    """
    whole, window, position = hashlib.sha256(), hashlib.sha256(), 0
    for block in (training_header, *payload):
        if position:
            whole.update(block)
        begin = max(LEGACY_OFFSET - position, 0)
        end = max(LEGACY_OFFSET + LEGACY_BYTES - position, 0)
        window.update(block[begin:end])
        position += len(block)
    return {"sshs_model_hash": whole.hexdigest(), "sshs_legacy_hash": window.hexdigest()[:8]}


def old_model_hash(path: Path) -> str:
    """Eight hex digits of 64 KiB at 1 MiB of a model file: `ss_sd_model_hash`, `ss_vae_hash`."""
    try:
        with path.open("rb") as file:
            file.seek(LEGACY_OFFSET)
            return hashlib.sha256(file.read(LEGACY_BYTES)).hexdigest()[:8]
    except FileNotFoundError:
        return "NOFILE"
    except (IsADirectoryError, PermissionError):
        # Windows answers "permission" when a folder is opened.
        return "IsADirectory"


def new_model_hash(path: Path) -> str | None:
    """SHA-256 of a whole model file: `ss_new_sd_model_hash`, `ss_new_vae_hash`; None when it is not a file."""
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
