"""What a running job is asked: by `control.json`, or by plain files named stop, save or sample put into its folder."""

from __future__ import annotations

from pathlib import Path

from ..events import REQUESTS
from .folder import CONTROL, read_object


class Control:
    """Reads requests, each of them once.

    A request carries a growing number and the attempt it is meant for, so that "stop" for an attempt that died does not
    stop the next one. Plain files are for people at a shell; they are taken away when read, and those that lay there
    before the start do not count.

    Args:
        folder: of the job.
        attempt: the running one.
    """

    def __init__(self, folder: Path, attempt: int) -> None:
        self.folder, self.attempt = folder, attempt
        content = read_object(folder / CONTROL)
        self._handled = 0 if content.get("attempt") == attempt else _number(content)
        self._signature: tuple[int, int] | None = None
        self._plain_files()

    def asked(self) -> set[str]:
        """Requests that came in since the last call."""
        return self._new_requests() | self._plain_files()

    def _new_requests(self) -> set[str]:
        try:
            status = (self.folder / CONTROL).stat()
        except OSError:
            return set()
        signature = (status.st_mtime_ns, status.st_ino)
        if signature == self._signature:
            return set()
        content = read_object(self.folder / CONTROL)
        if not content:
            return set()
        self._signature = signature
        if _number(content) <= self._handled or content.get("attempt", self.attempt) != self.attempt:
            return set()
        self._handled = _number(content)
        wanted = content.get("requests")
        return {request for request in wanted if request in REQUESTS} if isinstance(wanted, list) else set()

    def _plain_files(self) -> set[str]:
        found = set()
        for name in REQUESTS:
            try:
                (self.folder / name).unlink()
            except OSError:
                continue
            found.add(name)
        return found


def _number(content: dict[str, object]) -> int:
    sequence = content.get("sequence", 0)
    return sequence if isinstance(sequence, int) else 0
