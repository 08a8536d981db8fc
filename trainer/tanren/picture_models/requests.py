"""What each tool is asked to do, checked; made from words by `arguments`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from .tag_choice import TagRules

LARGEST_BEAMS, LARGEST_TOKENS = 64, 2048
SMALLEST_SIDE, LARGEST_SIDE, SIDE_STEP = 64, 4096, 8
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class WritingRules:
    """How a captioner writes.

    Args:
        prompt: the beginning of every caption (BLIP, GIT), or a question (other models); empty for none.
        min_tokens, max_tokens: of what the model writes.
        beams: ways that are followed at once; 1 is fastest.
        repetition_penalty: above 1 keeps a model from repeating itself.
    """

    prompt: str = ""
    min_tokens: int = 5
    max_tokens: int = 75
    beams: int = 3
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        _within("--max-tokens", self.max_tokens, 1, LARGEST_TOKENS)
        _within("--min-tokens", self.min_tokens, 0, self.max_tokens)
        _within("--beams", self.beams, 1, LARGEST_BEAMS)
        if not 0 < self.repetition_penalty < 100:
            raise UsageError(
                where="--repetition-penalty", what="It has to be above 0.", fix="1 changes nothing, 1.2 is usual."
            )


@dataclass(frozen=True, kw_only=True)
class FolderRequest:
    """A model for the pictures of a folder.

    Args:
        folder: of the pictures.
        recursive: and of the folders below it.
        only: of these only those that are in it; None: all.
        model: a file, a folder or a hub id.
        download: a hub model may be fetched.
        device: "auto", "cpu" or "cuda".
        dry_run: show what would change, change nothing.
    """

    folder: Path
    recursive: bool
    only: frozenset[Path] | None = None
    model: str
    download: bool
    device: str
    dry_run: bool


@dataclass(frozen=True, kw_only=True)
class CaptionRequest(FolderRequest):
    """Captions from a model; `mode` is one of `tag_choice.MODES`."""

    mode: str
    batch_size: int
    caption_extension: str

    def __post_init__(self) -> None:
        _within("--batch-size", self.batch_size, 1, 256)
        if not self.caption_extension.startswith(".") or "/" in self.caption_extension:
            raise UsageError(
                where="--caption-extension", what=f"{self.caption_extension!r} is no extension.", fix="Write .txt."
            )


@dataclass(frozen=True, kw_only=True)
class TagRequest(CaptionRequest):
    """Tags from a tagger."""

    rules: TagRules


@dataclass(frozen=True, kw_only=True)
class DescribeRequest(CaptionRequest):
    """Sentences from a captioner; `prefix` opens every caption, such as the trigger word."""

    rules: WritingRules
    precision: str
    prefix: str


@dataclass(frozen=True, kw_only=True)
class MaskRequest(FolderRequest):
    """Cut-outs; masks may go to the folder of the pictures itself, under names that training knows."""

    kind: str
    result: str
    background: tuple[int, int, int]
    out: Path
    copies_captions: bool

    def __post_init__(self) -> None:
        if self.result != "mask":
            _refuse_own_folder(self.out, self.folder)


@dataclass(frozen=True, kw_only=True)
class DepthRequest(FolderRequest):
    """Depth pictures."""

    kind: str
    far_is_bright: bool
    out: Path

    def __post_init__(self) -> None:
        _refuse_own_folder(self.out, self.folder)


@dataclass(frozen=True, kw_only=True)
class FacesRequest(FolderRequest):
    """Crops around faces: from a detector, or where `boxes` (a file) says; then `model` is empty."""

    boxes: Path | None
    threshold: float
    margin: float
    square: bool
    smallest: int
    out: Path
    copies_captions: bool

    def __post_init__(self) -> None:
        if bool(self.model) == (self.boxes is not None):
            raise UsageError(
                where="faces", what="It needs a detector or a file of boxes.", fix="Give --model or --boxes, not both."
            )
        if not 0 < self.threshold <= 1:
            raise UsageError(where="--threshold", what="It has to be above 0 and at most 1.", fix="0.5 is usual.")
        if not 1 <= self.margin <= 10:
            raise UsageError(where="--margin", what="It has to be from 1 to 10.", fix="2 is a head with its hair.")
        _within("--smallest", self.smallest, 1, LARGEST_SIDE)
        _refuse_own_folder(self.out, self.folder)


@dataclass(frozen=True, kw_only=True)
class RegularizeRequest:
    """Pictures of a class for `--reg_data_dir`, in `<out>/<repeats>_<class>`.

    Args:
        out: parent of that folder.
        class_name: what it is called.
        prompts: taken in turn, picture by picture.
        count: of pictures; those that are there already count.
        size_wh: pixels, or None for what the model was made for.
        seed: of the first picture; each further one has the next number.
        transparent: no model: pictures of nothing.
        base, vae: the model that draws.
        v_prediction, clip_skip, no_half_vae, precision: as in training; v-prediction is known of files that say so.
    """

    out: Path
    class_name: str
    repeats: int
    prompts: tuple[str, ...]
    negative: str
    count: int
    size_wh: tuple[int, int] | None
    steps: int
    scale: float
    sampler: str
    seed: int
    transparent: bool
    writes_captions: bool
    caption_extension: str
    base: str
    vae: str | None
    v_prediction: bool
    clip_skip: int | None
    no_half_vae: bool
    precision: str
    device: str
    dry_run: bool

    def __post_init__(self) -> None:
        _within("--count", self.count, 1, 100_000)
        _within("--repeats", self.repeats, 1, 10_000)
        _within("--steps", self.steps, 1, 1000)
        _within("--seed", self.seed, 0, LARGEST_SEED - self.count)
        if self.clip_skip is not None:
            _within("--clip-skip", self.clip_skip, 1, 24)
        for side in self.size_wh or ():
            _within("--size", side, SMALLEST_SIDE, LARGEST_SIDE)
            if side % SIDE_STEP:
                raise UsageError(where="--size", what=f"{side} is no multiple of {SIDE_STEP}.", fix="512 is usual.")
        if not self.transparent and not self.base:
            raise UsageError(
                where="--model",
                what="The model that draws the pictures is missing.",
                fix="Give a checkpoint, the one that will be trained on, or --transparent for empty pictures.",
            )


def _within(where: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(where=where, what=f"{value} is not within {low} to {high}.")


def _refuse_own_folder(out: Path, folder: Path) -> None:
    if out.resolve() == folder.resolve():
        raise UsageError(
            where="OUT",
            what="It is the folder of the pictures themselves.",
            fix="Give another folder; copies beside their pictures would be trained on, too.",
        )
