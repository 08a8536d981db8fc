"""What a file is by its first bytes, for those under a wrong name: pictures, web pages, pointers, other checkpoints."""

from __future__ import annotations

import string
from pathlib import Path

HEAD_BYTES = 512
ZIP_CHECKPOINT = "a PyTorch checkpoint (zip with pickle)"
OLD_PICKLE = "an old pickle that is not a zip"
SAFETENSORS = "a safetensors file"
LFS_POINTER = "a Git LFS pointer: the text that stands for the file, not the file itself"

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF-", "a PDF document"),
    (b"version https://git-lfs", LFS_POINTER),
    (b"PK\x03\x04", ZIP_CHECKPOINT),
    (b"GGUF", "a GGUF file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x80\x02", OLD_PICKLE),
    (b"\x80\x03", OLD_PICKLE),
    (b"\x80\x04", OLD_PICKLE),
    (b"\x80\x05", OLD_PICKLE),
)


def kind_of_file(path: Path) -> str | None:
    """What a file is, as a phrase such as "a PNG picture"; None when its first bytes do not say.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return kind_of_bytes(file.read(HEAD_BYTES))


def kind_of_bytes(head: bytes) -> str | None:
    """The same from the first bytes (at least 16, at best 512)."""
    if not head.strip(b"\0"):
        return "a file of zeros" if head else "an empty file"
    if _looks_like_safetensors(head):
        return SAFETENSORS
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP picture"
    text = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page (an error page of the download, perhaps)"
    if text.startswith(b"{"):
        return "a JSON text"
    return "a text" if all(byte in string.printable.encode() for byte in head) else None


def _looks_like_safetensors(head: bytes) -> bool:
    """Eight bytes of length, then `{`; the length is that of a header somebody could have written."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**40
