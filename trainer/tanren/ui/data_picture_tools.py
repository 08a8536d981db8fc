"""The tools for pictures: copies in another size, with cleaned transparency, as control pictures; layouts, archives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from ..data.listing import list_folder
from ..errors import DataError, Problems, UsageError, UserError
from ..formats.picture_pixels import open_upright
from ..options.dataset_plan import DatasetPlan
from ..options.values import size_wh
from ..paths import PathPolicy, resolve_user_path
from ..preparation import layout, masks, pixels
from ..preparation.conditioning import BLUR, CANNY, GREY, LINES, Conditioning, check_pairs, conditioned
from ..preparation.copies import SAME, Copy, alone, make_copies, plan_copies
from ..preparation.index import usual_suffix
from ..preparation.journal import Journal
from .data_tool import CHOICE, FLAG, FOLDER, NUMBER, SLIDER, Field, Group, Request, Shown, Tool
from .data_work import Work
from .words import Text, counted, text

FileChange = Callable[[Image.Image, Path], Image.Image]
Values = Mapping[str, Any]
PROBLEMS_TOLD = 20

OUT = Field("out", "Folder for the copies", FOLDER, is_required=True, help="The pictures themselves stay as they are.")
FORMAT = Field(
    "format",
    "File format of the copies",
    CHOICE,
    SAME,
    ((SAME, "as the pictures are"), ("png", "PNG files"), ("jpg", "JPEG files"), ("webp", "WebP files")),
)
ALPHA = Field(
    "alpha",
    "Transparent parts",
    CHOICE,
    pixels.KEEP,
    (
        (pixels.KEEP, "stay transparent"),
        ("white", "become white"),
        ("black", "become black"),
        ("#808080", "become grey"),
        (pixels.OPAQUE, "show the colours behind them"),
    ),
)
CAPTIONS = Field("captions", "Copy the captions along", FLAG, True)


@dataclass(frozen=True)
class PreparedCopies:
    """Copies that can be shown and made."""

    title: str
    copies: Sequence[Copy]
    change: FileChange
    out: Path

    @property
    def count(self) -> int:
        """Copies that would be made."""
        return len(self.copies)

    def shown(self, most: int) -> list[Shown]:
        """The first of them."""
        return [Shown(copy.picture.name, None, str(copy.target)) for copy in self.copies[:most]]

    def notes(self) -> list[Text]:
        """Nothing more."""
        return []

    def carry_out(self, journal: Journal, work: Work) -> Text:
        """Make them; they are undone together."""
        outcome = make_copies(
            self.copies,
            self.change,
            journal,
            title=self.title,
            out=self.out,
            progress=work.progress,
            should_stop=work.should_stop,
        )
        if outcome.there:
            work.notes.append(text("{count} were there already and were left alone.", count=len(outcome.there)))
        work.notes += [str(problem) for problem in outcome.problems[:PROBLEMS_TOLD]]
        made = counted(len(outcome.made), "{count} picture was made", "{count} pictures were made")
        return text("{made} in {folder}.", made=made, folder=str(self.out))

    def sample(self, picture: Path) -> Image.Image:
        """What would become of one picture."""
        return self.change(pixels.in_eight_bits(open_upright(str(picture))), picture)


@dataclass(frozen=True)
class PreparedFiles:
    """Files that would be put somewhere or written: a layout, an archive, a dataset file."""

    targets: Sequence[Shown]
    act: Callable[[Journal, Work], Text]
    said: Sequence[Text] = ()

    @property
    def count(self) -> int:
        """Files that would be made."""
        return len(self.targets)

    def shown(self, most: int) -> list[Shown]:
        """The first of them."""
        return list(self.targets[:most])

    def notes(self) -> list[Text]:
        """What was said beforehand."""
        return list(self.said)

    def carry_out(self, journal: Journal, work: Work) -> Text:
        """Make them."""
        return self.act(journal, work)


def groups() -> tuple[Group, ...]:
    """All of them, as the page shows them."""
    return (
        Group("Copies of pictures", (RESIZE, CLEAN, MASKS)),
        Group("Control pictures", (*CONTROLS, PAIRS)),
        Group("Ready for training", (LAYOUT, DATASET, ARCHIVE)),
    )


def _copies(request: Request, title: str, change: FileChange, format_name: str, *, captions: bool) -> PreparedCopies:
    out = new_folder(request, str(request.values["out"]))
    wanted = frozenset(request.pictures)
    planned = plan_copies(request.level, out, format_name=format_name, with_captions=captions)
    return PreparedCopies(title, [copy for copy in planned if copy.picture in wanted], change, out)


def new_folder(request: Request, typed: str) -> Path:
    """A folder that may not be there yet, within those that are allowed; a bare name lies beside the pictures.

    Raises:
        UsageError: it is not allowed, or is a file.
    """
    named = typed.strip().strip('"')
    if named and not any(sign in named for sign in "/\\~"):
        named = str(request.level.folder.parent / named)
    return resolve_user_path(named, "new folder", where="out", policy=PathPolicy(request.roots))


def _alpha_steps(values: Values) -> list[FileChange]:
    wanted = str(values["alpha"])
    if wanted == pixels.KEEP:
        return []
    if wanted == pixels.OPAQUE:
        return [alone(pixels.opaque)]
    color = pixels.colour(wanted, "alpha")
    return [alone(lambda image: pixels.flattened(image, color))]


def _one_after_the_other(steps: Sequence[FileChange]) -> FileChange:
    def change(image: Image.Image, picture: Path) -> Image.Image:
        for step in steps:
            image = step(image, picture)
        return image

    return change


def _resize_step(values: Values) -> FileChange:
    how, enlarges = str(values["how"]), bool(values["enlarge"])
    if how == "none":
        return alone(lambda image: image)
    try:
        size = size_wh(str(values["size"]))
    except ValueError as error:
        raise UsageError(where="size", what=str(error)) from None
    if how == "exact":
        return alone(lambda image: pixels.exactly(image, size))
    if how == "area":
        return alone(lambda image: pixels.resized(image, pixels.area(image.size, size[0] * size[1], enlarges=enlarges)))
    side = pixels.longest_side if how == "longest" else pixels.shortest_side
    return alone(lambda image: pixels.resized(image, side(image.size, size[0], enlarges=enlarges)))


def _resize(request: Request) -> PreparedCopies:
    values = request.values
    change = _one_after_the_other([*_alpha_steps(values), _resize_step(values)])
    return _copies(request, "resized pictures", change, str(values["format"]), captions=bool(values["captions"]))


def _reshaped(image: Image.Image, grow: int, soften: float) -> Image.Image:
    if not pixels.has_alpha(image) or not (grow or soften):
        return image
    return masks.with_alpha(image, masks.softened(masks.grown(image.getchannel("A"), grow), soften))


def _clean(request: Request) -> PreparedCopies:
    values = request.values
    steps: list[FileChange] = []
    if str(values["masks"]).strip():
        folder = resolve_user_path(str(values["masks"]), "folder", where="masks", policy=PathPolicy(request.roots))
        by_name = masks.masks_in(folder)
        steps.append(lambda image, picture: masks.restored(image, open_upright(str(masks.mask_for(picture, by_name)))))
    threshold, grow, soften = int(values["threshold"]), int(values["grow"]), float(values["soften"])
    if threshold:
        steps.append(alone(lambda image: masks.clean_rims(image, threshold)))
    steps += [alone(lambda image: _reshaped(image, grow, soften)), *_alpha_steps(values)]
    title = "pictures with cleaned transparency"
    return _copies(request, title, _one_after_the_other(steps), SAME, captions=bool(values["captions"]))


def _masks(request: Request) -> PreparedCopies:
    inverted = bool(request.values["invert"])
    change = alone(lambda image: masks.mask_picture(image, inverted=inverted))
    prepared = _copies(request, "masks", change, "png", captions=False)
    # Most folders mix pictures with and without transparency; only the first have a mask in them.
    return replace(prepared, copies=[copy for copy in prepared.copies if _is_transparent(copy.picture)])


def _is_transparent(picture: Path) -> bool:
    try:
        return pixels.has_alpha(pixels.in_eight_bits(open_upright(str(picture))))
    except (UserError, OSError):
        return False


def _control(kind: str, about: Callable[[Values], Conditioning]) -> Callable[[Request], PreparedCopies]:
    def prepare(request: Request) -> PreparedCopies:
        wanted = about(request.values)
        change = alone(lambda image: conditioned(image, wanted))
        return _copies(request, f"{kind} pictures", change, "png", captions=False)

    return prepare


def _pairs(request: Request) -> PreparedFiles:
    others = resolve_user_path(
        str(request.values["others"]), "folder", where="others", policy=PathPolicy(request.roots)
    )
    (part,) = request.level.parts if len(request.level.parts) == 1 else (None,)
    if part is None:
        raise UsageError(where="folder", what="These pictures lie in several folders.", fix="Look at one of them.")
    check = check_pairs(part.folder, others)
    all_ = check.pairs + len(check.missing) + len(check.unreadable)
    notes = [text("{pairs} of {all} pictures have a partner.", pairs=check.pairs, all=all_)]
    kinds = (
        (check.missing, "{count} without a partner: {names}"),
        (check.surplus, "{count} partners without a picture: {names}"),
        (check.other_shape, "{count} partners of another shape: {names}"),
        (check.unreadable, "{count} pairs that cannot be read: {names}"),
    )
    notes += [text(what, count=len(names), names=", ".join(names[:50])) for names, what in kinds if names]
    return PreparedFiles([], lambda journal, work: text("Nothing would change."), notes)


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


def _new_file(request: Request, ending: str) -> Path:
    typed = str(request.values["file"]).strip().strip('"')
    typed = typed if typed.lower().endswith(ending) else typed + ending
    if not any(sign in typed for sign in "/\\~"):
        typed = str(request.level.folder.parent / typed)
    path = resolve_user_path(typed, "new file", where="file", policy=PathPolicy(request.roots))
    if path.exists():
        raise DataError(where=str(path), what="There is a file of this name already.", fix="Choose another name.")
    return path


def _dataset(request: Request) -> PreparedFiles:
    values = request.values
    try:
        size = size_wh(str(values["size"]))
    except ValueError as error:
        raise UsageError(where="size", what=str(error)) from None
    path = _new_file(request, ".toml")
    plan = DatasetPlan(
        subsets=(),
        resolution_wh=size,
        enable_bucket=True,
        min_bucket_reso=min(256, *size),
        max_bucket_reso=max(1024, *size),
    )
    suffix = (
        usual_suffix(list_folder(str(request.level.parts[0].folder), Problems())) if request.level.parts else ".txt"
    )
    content = layout.dataset_toml(request.level, plan, batch_size=int(values["batch"]), suffix=suffix)

    def act(journal: Journal, work: Work) -> Text:
        layout.write_dataset_toml(content, path, journal)
        return text("Written: {file}", file=str(path))

    return PreparedFiles([Shown(path.name, None, content)], act)


def _archive(request: Request) -> PreparedFiles:
    path = _new_file(request, ".zip")

    def act(journal: Journal, work: Work) -> Text:
        count = layout.export_archive(request.level, path, journal, progress=work.progress)
        pictures = counted(count, "{count} picture", "{count} pictures")
        return text("{pictures} with captions written into {file}.", pictures=pictures, file=str(path))

    return PreparedFiles([Shown(path.name, None, str(path))], act)


RESIZE = Tool(
    "resize",
    "Resize and convert",
    "Copies in another size or format, upright and in sRGB.",
    (
        OUT,
        Field(
            "how",
            "Change of the size",
            CHOICE,
            "longest",
            (
                ("longest", "longer side at most"),
                ("shortest", "shorter side at most"),
                ("area", "about as many pixels as"),
                ("exact", "exactly, the middle is cut out"),
                ("none", "leave the size"),
            ),
        ),
        Field("size", "Size in pixels", value="1024", help="One number, or WIDTH,HEIGHT."),
        Field("enlarge", "Also enlarge what is smaller", FLAG, False),
        FORMAT,
        ALPHA,
        CAPTIONS,
    ),
    _resize,
    has_sample=True,
)
CLEAN = Tool(
    "clean",
    "Clean transparency",
    "Copies without half-transparent rims, or with the transparency that mask pictures say.",
    (
        OUT,
        Field(
            "threshold",
            "Least opacity that stays",
            SLIDER,
            128,
            minimum=0,
            maximum=255,
            step=1,
            help="From here on all is there, below nothing; 0 leaves rims as they are.",
        ),
        Field("grow", "Let what is there grow, in pixels", NUMBER, 0, minimum=-100, maximum=100, step=1),
        Field("soften", "Soft rims, in pixels", NUMBER, 0, minimum=0, maximum=100, step=0.5),
        Field("masks", "Folder of mask pictures", FOLDER, help="Of the same names, white is there; may be empty."),
        ALPHA,
        CAPTIONS,
    ),
    _clean,
    has_sample=True,
)
MASKS = Tool(
    "masks",
    "Masks for masked loss",
    "Grey pictures of what can be seen: white is learned, black is not. Only for transparent pictures.",
    (OUT, Field("invert", "Black is learned instead", FLAG, False)),
    _masks,
    has_sample=True,
)
SLOPE = "Slopes are counted from 0 to 1020."
CONTROLS = (
    Tool(
        "canny",
        "Edges (Canny)",
        "White edges on black, as ControlNets for Canny expect them.",
        (
            OUT,
            Field("low", "Slope that continues an edge", SLIDER, 100, minimum=0, maximum=500, step=5, help=SLOPE),
            Field("high", "Slope that begins an edge", SLIDER, 200, minimum=0, maximum=500, step=5),
        ),
        _control(CANNY, lambda values: Conditioning(CANNY, float(values["low"]), float(values["high"]))),
        has_sample=True,
    ),
    Tool(
        "blur",
        "Blurred pictures",
        "Shapes and colours without details.",
        (OUT, Field("radius", "Radius in pixels", SLIDER, 8, minimum=1, maximum=100, step=1)),
        _control(BLUR, lambda values: Conditioning(BLUR, radius=float(values["radius"]))),
        has_sample=True,
    ),
    Tool(
        "grey",
        "Grey pictures",
        "Pictures without their colours.",
        (OUT,),
        _control(GREY, lambda values: Conditioning(GREY)),
        has_sample=True,
    ),
    Tool(
        "lines",
        "Line art",
        "White lines where the picture is darker than around.",
        (OUT, Field("strength", "Strength of the lines", SLIDER, 8, minimum=1, maximum=40, step=1)),
        _control(LINES, lambda values: Conditioning(LINES, strength=float(values["strength"]))),
        has_sample=True,
    ),
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
    "Writes the folders as they are into a TOML file for --dataset_config.",
    (
        Field("file", "Name of the new file", is_required=True),
        Field("size", "Training resolution", value="512", help="One number, or WIDTH,HEIGHT."),
        Field("batch", "Batch size of the training", NUMBER, 1, minimum=1, maximum=1024, step=1),
    ),
    _dataset,
    scope="folder",
)
ARCHIVE = Tool(
    "archive",
    "One archive of all",
    "A flat zip file of all pictures with their captions, as sites for sharing models take it.",
    (Field("file", "Name of the new file", is_required=True),),
    _archive,
    scope="folder",
)
