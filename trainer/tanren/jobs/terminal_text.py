"""A trainer's output as a terminal would show it: progress bars in their last form, no control codes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

TAIL_BYTES, CHUNK_BYTES = 128 * 2**10, 512 * 2**10
CODES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]")
# Control characters but tab, and those that turn the direction of text around.
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class TerminalText:
    """Output from a place on.

    Args:
        text: whole lines.
        unfinished: the line that is being written.
        next: where the following output begins.
        more: there is some already.
    """

    text: str
    unfinished: str
    next: int
    more: bool


def read_terminal(path: Path, since: int) -> TerminalText:
    """Output from a byte offset on; from 0 on only the end of a long one.

    Args:
        path: a missing file is an empty one.
        since: as `next` said; behind the end of the file (it was made anew) means from its beginning.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            since = since if 0 < since <= size else 0
            is_cut = since == 0 and size > TAIL_BYTES
            since = size - TAIL_BYTES if is_cut else since
            file.seek(since)
            data = file.read(CHUNK_BYTES)
    except OSError:
        return TerminalText("", "", max(0, since), False)
    if is_cut:
        begin = data.find(b"\n") + 1
        since, data = since + begin, data[begin:]
    more = since + len(data) < size
    # A bar is drawn again and again over itself: what a return has closed will not be needed any more. The last byte is
    # left out because a line may end in return and newline.
    end = max(data.rfind(b"\n") + 1, data[:-1].rfind(b"\r") + 1)
    if end == 0 and more:
        end = len(data)
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    return TerminalText(
        text="".join(f"{_shown(line)}\n" for line in lines[:-1]),
        unfinished=_shown(lines[-1]),
        next=since + end,
        more=more,
    )


def _shown(line: bytes) -> str:
    parts = [part for part in line.split(b"\r") if part.strip()]
    text = parts[-1].decode("utf-8", "replace") if parts else ""
    return UNSEEN.sub("", CODES.sub("", text))
