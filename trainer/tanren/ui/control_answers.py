"""Edge pictures of a folder, made from the train form with one click; the tab of pictures has all other kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.listing import folded, list_folder, stem_of
from ..errors import Problems, UsageError
from ..paths import resolve_user_path
from ..preparation.conditioning import CANNY, Conditioning, conditioned
from ..preparation.copies import Copy, make_copies, plan_copies
from ..preparation.journal import Journal
from ..preparation.levels import understand
from .answers import Desk
from .data_answers import folders_of, page_words
from .data_change_answers import work_state, workbench
from .data_work import Work
from .words import Text, counted, text

PROBLEMS_TOLD = 20
Body = Mapping[str, Any]


def make_edges(desk: Desk, body: Body) -> dict[str, Any]:
    """Begin to make an edge picture of every picture that has no control picture yet.

    Args:
        body: `folder` of the pictures, and `out` for the edges; it may not be there yet.

    Raises:
        UserError: a folder is not allowed or holds no pictures, or all have theirs.
    """
    policy, words = desk.surroundings.policy(), page_words(desk)
    folder = resolve_user_path(str(body.get("folder") or ""), "folder", where="folder", policy=policy)
    out = resolve_user_path(str(body.get("out") or ""), "new folder", where="out", policy=policy)
    copies = _copies(folder, out)
    journal = Journal(desk.surroundings.data_dir)
    workbench().begin(
        words("Edges (Canny)"),
        lambda work: words(_made(copies, out, journal, work)),
        lambda: folders_of(desk.surroundings.data_dir).changed(folder),
    )
    return {**work_state(desk, {}), "out": str(out)}


def _copies(folder: Path, out: Path) -> list[Copy]:
    level = understand(folder)
    if len(level.parts) != 1 or level.parts[0].folder != folder:
        raise UsageError(
            where=str(folder), what="The pictures do not lie in this folder itself.", fix="Choose the one they lie in."
        )
    planned = plan_copies(level, out, format_name="png", with_captions=False)
    there = {folded(stem_of(name)) for name in list_folder(str(out), Problems()).pictures} if out.is_dir() else set()
    copies = [copy for copy in planned if folded(copy.target.stem) not in there]
    if not copies:
        raise UsageError(where=str(out), what="Every picture has its control picture already.")
    return copies


def _made(copies: Sequence[Copy], out: Path, journal: Journal, work: Work) -> Text:
    wanted = Conditioning(CANNY)
    outcome = make_copies(
        copies,
        lambda image, _: conditioned(image, wanted),
        journal,
        title=f"{CANNY} pictures",
        out=out,
        progress=work.progress,
        should_stop=work.should_stop,
    )
    work.notes += outcome.problems[:PROBLEMS_TOLD]
    made = counted(len(outcome.made), "{count} picture was made", "{count} pictures were made")
    return text("{made} in {folder}.", made=made, folder=str(out))
