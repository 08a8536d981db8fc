"""The card of a training with control pictures: which picture has its partner, and a way to make those that lack.

The page script reads `data-edges` (make edges of a folder's pictures into another one) and `data-look` (open the tab of
pictures on a folder).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from ..data.records import PairFacts
from ..errors import UserError
from ..options.contents import DATASET
from ..paths import PathPolicy, resolve_user_path
from .checking import Checked
from .control_questions import CONTROLS, LABELS, PICTURES
from .html import Html, join, render
from .places import FoundProblem
from .words import Text, Words, counted

NAMES_SHOWN = 200
NO_SAMPLES = "No sample pictures will be drawn"
# The first of the tools for control pictures; the others stand beside it.
EDGES, TOOL = "edges", "canny"
FIXES = {
    "no control picture of the same name": "Make them here, or take the pictures out.",
    "no picture of the same name": "Remove what is left over, or add the pictures.",
}
CARD = '<section class="tanren-section tanren-pairs"><h4>{title}</h4>{parts}</section>'
LIST = '<details class="tanren-wrong"><summary>{title}</summary><ul>{names}</ul></details>'
MAKE = (
    '<button type="button" class="tanren-remedy" data-edges="{out}" data-folder="{folder}">{label}</button>'
    '<p class="tanren-about">{about}</p>'
)
LOOK = '<button type="button" class="tanren-remedy" data-look="{folder}" data-open-tool="{tool}">{label}</button>'


def about_controls(
    options: Mapping[str, Any], pairs: Sequence[PairFacts], words: Words, policy: PathPolicy, *, may_write: bool
) -> Html:
    """The card; nothing while no folder of pictures is named.

    Args:
        options: of the form.
        pairs: of the check, for each part of the data.
        words: of the page's language.
        policy: folders elsewhere are not offered as a place for control pictures.
        may_write: control pictures can be made from here.
    """
    folder = _folder(options, policy)
    lines = [_pairs(one, words) for one in pairs]
    if folder is None and not lines:
        return Html("")
    lacks = not options.get(CONTROLS) or any(one.missing for one in pairs)
    buttons = _buttons(folder, str(options.get(CONTROLS) or ""), words, makes=lacks and may_write) if folder else []
    return render(CARD, title=words("Pictures and control pictures"), parts=[*lines, *buttons])


def in_form(checked: Checked, options: Mapping[str, Any]) -> Checked:
    """The outcome of a check in the words of this form, in which two folders are asked for and no flags.

    That no samples will be drawn goes without saying while a folder is missing that their prompts follow from.
    """
    is_open = not (options.get(PICTURES) and options.get(CONTROLS)) and not options.get(DATASET)
    kept = tuple(one for one in checked.warnings if not (is_open and str(one.text).startswith(NO_SAMPLES)))
    return replace(checked, problems=tuple(map(_reworded, checked.problems)), warnings=kept)


def _reworded(problem: FoundProblem) -> FoundProblem:
    labels = {**LABELS, PICTURES: LABELS["pictures"]}
    label, _ = labels.get(problem.name or "", (problem.label, ""))
    is_open = problem.name in (PICTURES, CONTROLS) and problem.where == f"--{problem.name}"
    if is_open and problem.fix.startswith("Add --"):
        return replace(problem, label=label, fix="Choose the folder.")
    if problem.name == CONTROLS and not is_open and problem.what.endswith("."):
        # The field beside it says which folder is meant.
        fix = next((fix for part, fix in FIXES.items() if part in problem.what), problem.fix)
        return replace(problem, label=label, where="", fix=fix)
    # The button beside it says the same in one click.
    return replace(problem, label=label, fix="" if is_open and problem.remedy else problem.fix)


def _folder(options: Mapping[str, Any], policy: PathPolicy) -> Path | None:
    try:
        return resolve_user_path(str(options.get(PICTURES) or ""), "folder", policy=policy)
    except UserError:
        # Nothing is named yet, or the checks say what is wrong.
        return None


def _pairs(pairs: PairFacts, words: Words) -> Html:
    every = pairs.complete + len(pairs.missing) + len(pairs.misfits)
    told = words("{pairs} of {all} pictures have their control picture.", pairs=pairs.complete, all=every)
    kinds: tuple[tuple[tuple[str, ...], Text], ...] = (
        (
            pairs.missing,
            counted(
                len(pairs.missing),
                "{count} picture without a control picture",
                "{count} pictures without a control picture",
            ),
        ),
        (
            pairs.unused,
            counted(
                len(pairs.unused),
                "{count} control picture without a picture",
                "{count} control pictures without a picture",
            ),
        ),
        (
            pairs.misfits,
            counted(
                len(pairs.misfits),
                "{count} control picture of another size",
                "{count} control pictures of another size",
            ),
        ),
    )
    lists = [_list(names, words(title), words) for names, title in kinds if names]
    return join([render('<p title="{folder}">{told}</p>', folder=pairs.others, told=told), *lists])


def _list(names: Sequence[str], title: str, words: Words) -> Html:
    more = len(names) - NAMES_SHOWN
    shown = [*names[:NAMES_SHOWN], *([words("and {count} more", count=more)] if more > 0 else [])]
    return render(
        LIST,
        title=title,
        names=[render('<li translate="no">{name}</li>', name=name) for name in shown],
    )


def _buttons(folder: Path, controls: str, words: Words, *, makes: bool) -> list[Html]:
    out = controls or f"{folder}_{EDGES}"
    made = render(
        MAKE,
        out=out,
        folder=str(folder),
        label=words("Make edge pictures now"),
        about=words("White edges on black (Canny), into the folder {folder}.", folder=PurePath(out).name),
    )
    look = render(LOOK, folder=str(folder), tool=TOOL, label=words("Other kinds: open the tools for pictures"))
    return [*([made] if makes else []), look]
