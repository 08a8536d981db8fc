"""The tools that make pictures ready for training: pairs checked, folders with repeats, dataset files, archives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..data.listing import list_folder
from ..errors import Problems, UsageError
from ..options.values import size_wh
from ..preparation import layout
from ..preparation.conditioning import PairCheck, check_pairs
from ..preparation.index import usual_suffix
from ..preparation.journal import Journal
from .data_prepared import PreparedFiles, known_folder, new_file, new_folder
from .data_tool import CHOICE, FOLDER, NUMBER, Field, Group, Request, Shown, Tool
from .data_work import Work
from .words import Text, counted, text

NAMES_TOLD = 50


def groups() -> tuple[Group, ...]:
    """All of them, as the page shows them."""
    return (Group("Ready for training", (PAIRS, LAYOUT, DATASET, ARCHIVE)),)


def _pairs(request: Request) -> PreparedFiles:
    others = known_folder(request, "others")
    # Copies of several folders lie in folders of the same names.
    pairs = [(part.folder, others / part.folder.name) for part in request.level.parts]
    checks = [check_pairs(*(pairs[0][0], others))] if len(pairs) == 1 else [_checked(*pair) for pair in pairs]
    all_ = sum(check.pairs + len(check.missing) + len(check.unreadable) for check in checks)
    notes = [
        text("{pairs} of {all} pictures have a partner.", pairs=sum(check.pairs for check in checks), all=all_)
    ]  # fmt: skip
    kinds = (
        ([name for check in checks for name in check.missing], "{count} without a partner: {names}"),
        ([name for check in checks for name in check.surplus], "{count} partners without a picture: {names}"),
        ([name for check in checks for name in check.other_shape], "{count} partners of another shape: {names}"),
        ([name for check in checks for name in check.unreadable], "{count} pairs that cannot be read: {names}"),
    )
    notes += [text(what, count=len(names), names=", ".join(names[:NAMES_TOLD])) for names, what in kinds if names]
    return PreparedFiles([], lambda journal, work: text("Nothing would change."), notes)


def _checked(pictures: Path, others: Path) -> PairCheck:
    if others.is_dir():
        return check_pairs(pictures, others)
    missing = list_folder(str(pictures), Problems()).pictures
    return PairCheck(0, tuple(missing), (), (), ())


def _layout(request: Request) -> PreparedFiles:
    values = request.values
    parent = new_folder(request, str(values["out"]))
    placings = layout.plan_layout(request.level, parent, repeats=int(values["repeats"]), name=str(values["name"]))

    def act(journal: Journal, work: Work) -> Text:
        put = layout.lay_out(placings, journal, way=str(values["way"]), progress=work.progress)
        files = counted(put, "{count} file", "{count} files")
        return text("{files} put into {folder}.", files=files, folder=str(placings[0].target.parent))

    shown = [Shown(placing.source.name, None, str(placing.target)) for placing in placings]
    return PreparedFiles(shown, act, [text("For training, give this folder: {folder}", folder=str(parent))])


def _dataset(request: Request) -> PreparedFiles:
    values = request.values
    plan = request.plan
    if str(values["size"]).strip():
        try:
            size = size_wh(str(values["size"]))
        except ValueError as error:
            raise UsageError(where="size", what=str(error)) from None
        least, longest = min(plan.min_bucket_reso, *size), max(plan.max_bucket_reso, *size)
        plan = replace(plan, resolution_wh=size, min_bucket_reso=least, max_bucket_reso=longest)
    path = new_file(request, ".toml")
    parts = request.level.parts
    usual = usual_suffix(list_folder(str(parts[0].folder), Problems())) if parts else ".txt"
    content = layout.dataset_toml(
        request.level, plan, batch_size=int(values["batch"]), suffix=request.suffix or usual
    )  # fmt: skip

    def act(journal: Journal, work: Work) -> Text:
        layout.write_dataset_toml(content, path, journal)
        return text("Written: {file}", file=str(path))

    return PreparedFiles([Shown(path.name, None, content)], act)


def _archive(request: Request) -> PreparedFiles:
    path = new_file(request, ".zip")

    def act(journal: Journal, work: Work) -> Text:
        count = layout.export_archive(
            request.level,
            path,
            journal,
            suffix=request.suffix,
            encoding=request.encoding,
            progress=work.progress,
        )
        pictures = counted(count, "{count} picture", "{count} pictures")
        return text("{pictures} with captions written into {file}.", pictures=pictures, file=str(path))

    return PreparedFiles([Shown(path.name, None, str(path))], act)


NEW_FILE = Field(
    "file", "Name of the new file", is_required=True, help="A name alone: beside the folder of the pictures."
)
PAIRS = Tool(
    "pairs",
    "Check the pairs",
    "Says which pictures have no control picture or mask of their name, and which are left over.",
    (Field("others", "Folder of the others", FOLDER, is_required=True),),
    _pairs,
    scope="folder",
    only_shows=True,
)
LAYOUT = Tool(
    "layout",
    "Folder with repeats",
    "Puts pictures and captions into a folder whose name says how often each is trained.",
    (
        Field("out", "Folder above it", FOLDER, is_required=True, help="What training is given as its folder."),
        Field("repeats", "Repeats per epoch", NUMBER, 10, minimum=1, maximum=10000, step=1),
        Field("name", "Words for what they show", is_required=True),
        Field(
            "way",
            "How they get there",
            CHOICE,
            layout.COPY,
            (
                (layout.COPY, "as copies"),
                (layout.LINK, "as links"),
                (layout.HARD_LINK, "as hard links, on one disk only"),
            ),
        ),
    ),
    _layout,
    scope="folder",
)
DATASET = Tool(
    "dataset",
    "Dataset file",
    "Writes the folders as they are into a TOML file for --dataset_config, with the sizes chosen above.",
    (
        NEW_FILE,
        Field("size", "Another training resolution", help="One number, or WIDTH,HEIGHT; empty: the one above."),
        Field("batch", "Batch size of the training", NUMBER, 1, minimum=1, maximum=1024, step=1),
    ),
    _dataset,
    scope="folder",
)
ARCHIVE = Tool(
    "archive",
    "One archive of all",
    "A flat zip file of all pictures with their captions, as sites for sharing models take it.",
    (NEW_FILE,),
    _archive,
    scope="folder",
)
