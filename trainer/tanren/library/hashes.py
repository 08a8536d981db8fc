"""The hashes people compare files by, and which of them an edit of the metadata changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..formats.lora_metadata import sshs_hashes, training_part
from ..formats.safetensors_header import Header, header_bytes, payload_blocks, read_header

CHANGES = "Changes: the SHA-256 of the file and AutoV2 (its first ten digits), by which download sites find it."
STAYS = (
    "Stays: the tensor hash, AutoV3, the hash in `Lora hashes` of pictures, sshs_model_hash and modelspec.hash_sha256."
)


@dataclass(frozen=True)
class Hashes:
    """All hashes of one file.

    Args:
        sha256: of the whole file; AutoV2 is its first ten digits.
        tensors: of everything after the header; AutoV3 is its first twelve digits.
        legacy: kohya's old eight digits.
    """

    sha256: str
    tensors: str
    legacy: str

    @property
    def auto_v2(self) -> str:
        """The short hash of the whole file that download sites use."""
        return self.sha256[:10].upper()

    @property
    def auto_v3(self) -> str:
        """The short hash of the tensors that hosts write into pictures."""
        return self.tensors[:12].upper()


def hashes_of(path: Path) -> Hashes:
    """Read a whole file once and compute its hashes.

    Raises:
        ModelFileError: the file is damaged.
    """
    header = read_header(path)
    whole = hashlib.sha256()
    with path.open("rb") as file:
        whole.update(file.read(header.payload_offset))

    def blocks() -> Iterator[bytes]:
        for block in payload_blocks(path, header.payload_offset):
            whole.update(block)
            yield block

    found = sshs_hashes(_training_header(header), blocks())
    return Hashes(whole.hexdigest(), found["sshs_model_hash"], found["sshs_legacy_hash"])


def tensor_hash(path: Path, header: Header) -> str:
    """SHA-256 of everything after the header."""
    digest = hashlib.sha256()
    for block in payload_blocks(path, header.payload_offset):
        digest.update(block)
    return digest.hexdigest()


def hash_problems(metadata: Mapping[str, str], hashes: Hashes) -> list[str]:
    """Which hashes stored in the metadata are not those of the tensors.

    LyCORIS stores another kind of hash, which begins with 0x and is not looked at. The legacy hash depends on the other
    `ss_` keys, so an edit of those makes it stale; readers use it for names of old pictures only.
    """
    found = []
    for key in ("sshs_model_hash", "modelspec.hash_sha256"):
        said = metadata.get(key, "").lower()
        if key.startswith("modelspec"):
            said = said.removeprefix("0x")
        if said and not said.startswith("0x") and said != hashes.tensors:
            found.append(f"{key} is {said[:16]}…, but the tensors have {hashes.tensors[:16]}…: they were changed.")
    return found


def _training_header(header: Header) -> bytes:
    return header_bytes(training_part(header.metadata), header.tensors)
