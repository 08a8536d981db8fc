"""Caption files as people have them: read whatever their encoding, written as UTF-8.

Training guesses nothing (formats/captions.py); here a text is shown as it probably is, says so, and is written as UTF-8
when it is changed or when that is asked for.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, UsageError
from ..formats.captions import LARGEST_BYTES
from ..formats.likely_encoding import likely_encoding

SUFFIXES = (".txt", ".caption")
AUTO = "auto"
# What captions that are not in UTF-8 usually are in, as people call it.
ENCODINGS = {
    AUTO: "guessed file by file",
    "cp932": "Shift-JIS",
    "gbk": "GBK",
    "big5": "Big5",
    "cp949": "CP949",
    "cp1252": "Latin-1",
}
UTF8, UTF8_BOM = "utf-8", "utf-8 with byte order mark"
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class CaptionFile:
    """What a caption file holds.

    Args:
        path: the file.
        data: its bytes.
        text: as it probably reads; lines end with a line feed alone.
        encoding: UTF8, UTF8_BOM, or the probable one.
        problem: why it cannot be read; empty when it can.
    """

    path: Path
    data: bytes
    text: str
    encoding: str
    problem: str = ""

    @property
    def is_guessed(self) -> bool:
        """True when training would refuse it, because it is not in UTF-8."""
        return self.encoding not in (UTF8, UTF8_BOM) and not self.problem

    @property
    def lines(self) -> list[str]:
        """Its lines that are not blank."""
        return [line.strip() for line in self.text.split("\n") if line.strip()]

    @property
    def is_empty(self) -> bool:
        """True when it says nothing; training refuses such files."""
        return not self.problem and not self.text.strip()


def read_caption_file(path: Path, encoding: str = AUTO) -> CaptionFile:
    """Read a caption file; one that cannot be understood has its `problem` set.

    Args:
        path: the file.
        encoding: of files that are not in UTF-8 or UTF-16; AUTO guesses it.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        return CaptionFile(path, data, "", UTF8, f"longer than {LARGEST_BYTES} bytes")
    try:
        text, found = decoded(data, encoding)
    except UnicodeDecodeError as error:
        return CaptionFile(path, data, "", encoding, f"not in {encoding}: byte {error.start} does not fit")
    if "\x00" in text:
        return CaptionFile(path, data, "", found, "not a text: it holds NUL characters")
    return CaptionFile(path, data, text.replace("\r\n", "\n").replace("\r", "\n"), found)


def encoded(text: str) -> bytes:
    """A caption as it is written: UTF-8 without byte order mark, lines ended by a line feed.

    Raises:
        DataError: it would be too long to be read again, or cannot be written as UTF-8.
    """
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            where="caption", what=f"The text holds half a character ({error.object[error.start]!r})."
        ) from error
    if len(data) > LARGEST_BYTES or "\x00" in text:
        raise DataError(
            where="caption",
            what=f"The caption has {len(data)} bytes; at most {LARGEST_BYTES} are read."
            if len(data) > LARGEST_BYTES
            else "The caption holds a NUL character.",
            fix="A caption is a line of text.",
        )
    return data


def decoded(data: bytes, encoding: str = AUTO) -> tuple[str, str]:
    """A text and the encoding it is in: UTF-8 when that fits, else the one that was named, else the likely one.

    Raises:
        UnicodeDecodeError: it is not in the encoding that was named.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), "utf-16"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        name = likely_encoding(data) or "cp1252" if encoding == AUTO else encoding
        return data.decode(name, "replace" if encoding == AUTO else "strict"), name
    likely = likely_encoding(data) if "\x00" in text else None
    if likely is not None and likely.startswith("utf-16"):
        # UTF-8 would accept it, with a NUL beside every letter.
        return data.decode(likely, "replace"), likely
    return text.removeprefix("\ufeff"), UTF8_BOM if data.startswith(BOM) else UTF8


def encoding_named(name: str) -> str:
    """The encoding that a user names, as Python spells it, or AUTO.

    Raises:
        UsageError: there is none of that name.
    """
    wanted = name.strip().lower()
    if wanted in (AUTO, ""):
        return AUTO
    try:
        b"a".decode(wanted, "replace")
        return codecs.lookup(wanted).name
    except (LookupError, ValueError) as error:
        raise UsageError(
            where=f"encoding {name}",
            what="There is no such encoding.",
            fix=f"Write {', '.join(ENCODINGS)}.",
        ) from error
