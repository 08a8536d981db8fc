"""Changing pictures and captions from the page: one caption, and tools over many files."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from PIL import Image

from ..errors import DataError, UsageError, UserError
from ..jobs.derived import STOPPING
from ..jobs.shelved import AT_WORK
from ..preparation.caption_edit import caption_of
from ..preparation.caption_files import encoded
from ..preparation.caption_tables import table_bytes
from ..preparation.facts import PictureFacts, caption_facts
from ..preparation.journal import Journal
from . import data_told
from .answers import Desk, problem
from .data_answers import chosen_rows, folders_of, known_row, opened, page_words
from .data_choice import FLAGS
from .data_folder import DataFolder
from .data_needs import trainer_python
from .data_source_tools import table_of
from .data_tool import Prepared, Request, Sampled, Tool, Tried, checked_values
from .data_tools import all_groups, tool_named
from .data_work import Trial, Work, Workbench
from .words import Text, Words

Body = Mapping[str, Any]
MOST_SHOWN, SAMPLE_SIDE = 100, 480


@lru_cache(maxsize=1)
def workbench() -> Workbench:
    """The one of this program."""
    return Workbench()


def tools(desk: Desk, query: Mapping[str, str]) -> dict[str, Any]:
    """All tools with their questions."""
    words = page_words(desk)
    return {
        "groups": [
            {"title": words(group.title), "tools": [tool.told(words) for tool in group.tools]} for group in all_groups()
        ]
    }


def save_caption(desk: Desk, body: Body) -> dict[str, Any]:
    """Write one caption, unless its file is another one since it was shown."""
    found = opened(desk, body)
    row = known_row(found, str(body.get("path") or ""))
    reading = found.view.encoding
    shown = data_told.detail_told(row, page_words(desk), reading)
    if shown["stamp"] != body.get("stamp"):
        raise DataError(
            where=shown["file"] or row.name,
            what="This caption was changed meanwhile by another program or page.",
            fix="Read the file again; your text stays in the field until then.",
        )
    text = str(body.get("text") or "").replace("\r\n", "\n")
    caption = caption_of(found.level, Path(row.path), found.view.suffix or None, encoding=reading)
    before = caption.file.data if caption.file is not None else None
    with journal_of(desk).operation(f"caption of {row.name}", Path(row.folder)) as recorder:
        recorder.write(caption.target, encoded(text), expected=before)
    fresh = replace(row, caption=caption_facts(str(caption.target), row.caption.others))
    folders_of(desk.surroundings.data_dir).put(fresh)
    words = page_words(desk)
    return {
        "row": data_told.row_told(fresh, found, words),
        "stamp": data_told.detail_told(fresh, words, reading)["stamp"],
    }


def preview(desk: Desk, body: Body) -> dict[str, Any]:
    """What a tool would change; nothing is touched."""
    _, prepared = _prepared(desk, body)
    words = page_words(desk)
    changes = [
        {"name": one.name, "before": one.before, "after": one.after} for one in prepared.shown(MOST_SHOWN)
    ]  # fmt: skip
    return {"count": prepared.count, "changes": changes, "notes": [words(note) for note in prepared.notes()]}


def sample(desk: Desk, query: Mapping[str, str]) -> dict[str, Any]:
    """What a tool would make of the first of the pictures."""
    words = page_words(desk)
    given = json.loads(query.get("values") or "{}")
    # Where copies will go is often filled in last, and does not matter for how they look.
    values = {**given, "out": given.get("out") or "…"} if isinstance(given, dict) else {}
    tool, prepared = _prepared(desk, {**query, "values": values})
    found, rows = chosen_rows(desk, query)
    usable = _shown_on(rows, found, tool, str(query.get("path") or ""))
    if usable is None or not tool.has_sample:
        return {"said": words("There is no picture to show it on.")}
    image = cast(Sampled, prepared).sample(usable)
    return {"path": str(usable), "after": _as_address(image)}


def _shown_on(rows: Sequence[PictureFacts], found: DataFolder, tool: Tool, wanted: str) -> Path | None:
    """The picture that is open, else the first that has what the tool is about, else the first of all."""
    tests: list[Callable[[PictureFacts], bool]] = [lambda row: row.path == wanted] if wanted else []
    if tool.shows:
        has_it, in_groups = FLAGS[tool.shows], found.in_groups
        tests.append(lambda row: has_it(row, found, in_groups))
    for test in (*tests, lambda row: True):
        best = next((row for row in rows if not row.fault and test(row)), None)
        if best is not None:
            return Path(best.path)
    return None


def table(desk: Desk, query: Mapping[str, str]) -> bytes:
    """The captions of the pictures that are shown, as a metadata file to be downloaded."""
    given = json.loads(query.get("values") or "{}")
    _, request = _requested(desk, {**query, "values": {**given, "file": "…"}} if isinstance(given, dict) else query)
    return table_bytes(table_of(request))


def apply(desk: Desk, body: Body) -> dict[str, Any]:
    """Begin what a tool does."""
    tool, prepared = _prepared(desk, body)
    if not prepared.count:
        raise UsageError(where=page_words(desk)(tool.title), what="Nothing would change.")
    words, journal = page_words(desk), journal_of(desk)
    folder = opened(desk, body).folder
    workbench().begin(
        words(tool.title),
        lambda work: words(prepared.carry_out(journal, work)),
        lambda: note_change(desk, folder),
    )
    return work_state(desk, {})


def try_tool(desk: Desk, body: Body) -> dict[str, Any]:
    """Begin to try a tool on the picture that is open; the answer comes with the state of the work."""
    given = body.get("values")
    # Where copies will go is often filled in last, and does not matter for how they look.
    values = {**given, "out": given.get("out") or "…"} if isinstance(given, Mapping) else {}
    tool, prepared = _prepared(desk, {**body, "values": values})
    found, rows = chosen_rows(desk, body)
    picture = _shown_on(rows, found, tool, str(body.get("path") or ""))
    words = page_words(desk)
    if picture is None or not tool.can_try:
        raise UsageError(where=words(tool.title), what="There is no picture to try it on.")
    workbench().begin(words(tool.title), lambda work: words(cast(Tried, prepared).try_on(picture, work)), lambda: None)
    return work_state(desk, {})


def work_state(desk: Desk, query: Mapping[str, str]) -> dict[str, Any]:
    """What is being done, or was done last."""
    work: Work = workbench().now
    words = page_words(desk)
    return {
        "title": work.title,
        "done": work.done,
        "total": work.total,
        "said": work.said,
        "notes": [_note_told(note, words) for note in work.notes],
        "is_working": work.is_working,
        "problem": problem(work.problem, words.language)["problem"] if work.problem else None,
        "trial": _trial_told(work.trial) if work.trial and not work.is_working else None,
    }


def _note_told(note: str | Text | UserError, words: Words) -> str:
    if isinstance(note, UserError):
        # How trainings pass over such a file is no advice here.
        said = (f"{Path(note.where).name}:" if note.where else "", words.finished(note.what), words.finished(note.why))
        return " ".join(filter(None, said))
    return words(note) if isinstance(note, Text) else words.finished(note)


def _trial_told(trial: Trial) -> dict[str, Any]:
    made = []
    for content in trial.made:
        with Image.open(io.BytesIO(content)) as image:
            made.append(_as_address(image))
    return {"path": str(trial.picture), "name": trial.picture.name, "made": made, "texts": list(trial.texts)}


def _as_address(image: Image.Image) -> str:
    """A picture small enough to be shown, as an address that holds it."""
    image.thumbnail((SAMPLE_SIDE, SAMPLE_SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def stop_work(desk: Desk, body: Body) -> dict[str, Any]:
    """End the work after the file it is at."""
    workbench().stop()
    return {"ok": True}


def _prepared(desk: Desk, body: Body) -> tuple[Tool, Prepared]:
    tool, request = _requested(desk, body)
    return tool, tool.prepare(request)


def _requested(desk: Desk, body: Body) -> tuple[Tool, Request]:
    tool = tool_named(str(body.get("tool") or ""))
    found, rows = chosen_rows(desk, body)
    given = body.get("values")
    values = checked_values(tool, given if isinstance(given, Mapping) else {})
    pictures = [Path(row.path) for row in rows]
    request = Request(
        level=found.level,
        pictures=pictures,
        values=values,
        plan=found.view.plan(),
        suffix=found.view.suffix or None,
        encoding=found.view.encoding,
        data=desk.surroundings.data_dir,
        roots=desk.surroundings.policy().roots,
        python=trainer_python(desk),
        is_training=bool(tool.needs) and _is_training(desk),
    )
    return tool, request


def _is_training(desk: Desk) -> bool:
    """True while a job holds a device. It may be an old one that goes on, and one that stops still saves."""
    return any(job.state in (*AT_WORK, STOPPING) for job in desk.shelf.all())


def journal_of(desk: Desk) -> Journal:
    """The journal of all changes."""
    return Journal(desk.surroundings.data_dir)


def note_change(desk: Desk, folder: Path) -> None:
    """Whoever shows a folder reads it again."""
    folders_of(desk.surroundings.data_dir).changed(folder)
