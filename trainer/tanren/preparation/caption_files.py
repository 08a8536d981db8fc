"""Caption files as people have them: read whatever their encoding, written as UTF-8.

Training guesses nothing (formats/captions.py); here a text is shown as it probably is, says so, and is written as UTF-8
when it is changed or when that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..formats.captions import LARGEST_BYTES

SUFFIXES = (".txt", ".caption")
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


def read_caption_file(path: Path) -> CaptionFile:
    """Read a caption file; one that cannot be understood has its `problem` set.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        return CaptionFile(path, data, "", UTF8, f"longer than {LARGEST_BYTES} bytes")
    text, encoding = decoded(data)
    if "\x00" in text:
        return CaptionFile(path, data, "", encoding, "not a text: it holds NUL characters")
    return CaptionFile(path, data, text.replace("\r\n", "\n").replace("\r", "\n"), encoding)


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


def decoded(data: bytes) -> tuple[str, str]:
    """A text and the encoding it is in: UTF-8 when that fits, else the one in which it makes most sense."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), "utf-16"
    if len(data) > 3 and data.count(0) * 3 > len(data):
        # Latin letters in two bytes each; UTF-8 would accept them, with a NUL behind every letter.
        name = "utf-16-le" if data[1] == 0 else "utf-16-be"
        return data.decode(name, "replace"), name
    try:
        text = data.decode("utf-8")
        return text.removeprefix("\ufeff"), UTF8_BOM if data.startswith(BOM) else UTF8
    except UnicodeDecodeError:
        pass
    name = max(_scores(data), default=(0.0, 0, "cp1252"))[2]
    return data.decode(name, "replace"), name


def _scores(data: bytes) -> Iterable[tuple[float, int, str]]:
    """How well a text reads in each encoding in which it can be read at all; the second number breaks ties."""
    for order, (name, is_common) in enumerate(COMMON.items()):
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            continue
        foreign = [character for character in text if character > "\x7f"]
        yield sum(map(is_common, foreign)) / max(len(foreign), 1), -order, name


def _is_common_japanese(character: str) -> bool:
    if "\u3000" <= character <= "\u30ff":
        return True
    code = character.encode("cp932", "replace")
    return len(code) == 2 and 0x88 <= code[0] <= 0x97


def _is_common_chinese(character: str) -> bool:
    if character in "，。、！？：；（）「」《》“”—…\u3000":
        return True
    code = character.encode("gbk", "replace")
    return len(code) == 2 and 0xB0 <= code[0] <= 0xD7 and code[1] >= 0xA1


def _is_common_traditional(character: str) -> bool:
    if character in "，。、！？：；（）「」\u3000":
        return True
    code = character.encode("big5", "replace")
    return len(code) == 2 and 0xA4 <= code[0] <= 0xC6


def _is_common_korean(character: str) -> bool:
    return "\uac00" <= character <= "\ud7a3" or character == "\u3000"


def _is_common_western(character: str) -> bool:
    # Rows of these stand for any other encoding; single ones are French or German.
    return character in "éèêëàâäáãåçïîíôöóõøùûüúñß’“”–—…€°"


COMMON = {
    "cp932": _is_common_japanese,
    "gbk": _is_common_chinese,
    "big5": _is_common_traditional,
    "euc-kr": _is_common_korean,
    "cp1252": _is_common_western,
}
