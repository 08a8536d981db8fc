"""Where a job stands in the queue: `queue.json` in its folder, written by the UI's side only.

The spec says what to train and never changes; the envelope says whether and when. It is changed under the queue's lock,
so that two UIs do not write over each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..files import write_json
from .folder import ENVELOPE, read_object

ENVELOPE_VERSION = 1


@dataclass(frozen=True)
class Envelope:
    """One job's place in the queue.

    Args:
        name: as the user typed it; the folder's name is made from it.
        request_id: of the click that made the job; the same click twice is one job.
        order: jobs start in growing order.
        attempt: the wanted one; 1 is the first.
        is_submitted: it is to be started; otherwise it is a draft.
        resume: the wanted attempt goes on from the job's own states.
        device: what it was given to, such as "cuda:0" or "cpu"; None leaves the choice to the dispatcher.
        created: seconds since 1970.
        cwd: folder that relative paths of the options start from.
        is_paused: it was stopped to be continued later.
        retry_of: job that it is a changed copy of.
        waiting: the problem that keeps it from starting, as `UserError.as_dict` tells it.
        version: of this format.
    """

    name: str = ""
    request_id: str = ""
    order: int = 0
    attempt: int = 1
    is_submitted: bool = True
    resume: bool = False
    device: str | None = None
    created: float = 0.0
    cwd: str = ""
    is_paused: bool = False
    retry_of: str | None = None
    waiting: Mapping[str, Any] | None = None
    version: int = ENVELOPE_VERSION


def write_envelope(folder: Path, envelope: Envelope) -> None:
    """Write a job's place in the queue; hold the queue's lock."""
    write_json(folder / ENVELOPE, asdict(envelope))


def read_envelope(folder: Path) -> Envelope | None:
    """A job's place in the queue, or None when it has none that this version can read."""
    content = read_object(folder / ENVELOPE)
    if content.get("version") != ENVELOPE_VERSION:
        return None
    known = {part.name for part in fields(Envelope)}
    envelope = Envelope(**{name: value for name, value in content.items() if name in known})
    return envelope if _is_sound(envelope) else None


def _is_sound(envelope: Envelope) -> bool:
    numbers = (envelope.order, envelope.attempt)
    texts = (envelope.name, envelope.request_id, envelope.cwd)
    truths = (envelope.is_submitted, envelope.resume, envelope.is_paused)
    optional = (envelope.device, envelope.retry_of)
    return (
        all(type(value) is int for value in numbers)
        and all(isinstance(value, str) for value in texts)
        and all(isinstance(value, bool) for value in truths)
        and all(value is None or isinstance(value, str) for value in optional)
        and isinstance(envelope.created, (int, float))
        and (envelope.waiting is None or isinstance(envelope.waiting, Mapping))
    )
