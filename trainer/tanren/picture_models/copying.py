"""`mask`, `condition` and `faces`: pictures made from the pictures of a folder; the originals stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..events import Report
from ..preparation.journal import Write
from .depth import DEPTH, depth_of
from .faces import Box, crop_box, find_faces, open_detector, read_boxes
from .masks import SEGMENTATION, cut_out, mask_of
from .picture_input import Kinds, PictureModel, open_picture_model
from .pictures import Found, Outcome, Read, find_pictures, read_batches
from .place import find_model
from .portions import Portions
from .requests import DepthRequest, FacesRequest, FolderRequest, MaskRequest
from .tagger import model_in
from .writing import png_bytes

# Those who watch see copies once they are written.
PORTION_SECONDS = 60.0
MASK_SUFFIX = "-masklabel.png"
# Repositories hold each model in many precisions; this is the one that fits everywhere.
ONNX_FILES = tuple(f"{folder}model.onnx{part}" for folder in ("", "onnx/") for part in ("", "_data"))


def mask(request: MaskRequest, report: Report) -> Outcome:
    """Cut-outs or masks of the pictures of a folder."""
    model = _picture_model(request, SEGMENTATION, request.kind, report)

    def make(read: Read) -> Image.Image:
        kept = mask_of(read.pixels, model)
        if read.alpha is not None:
            # What was transparent before stays transparent.
            kept = np.minimum(kept, read.alpha)
        return cut_out(read.pixels, kept, request.result, request.background)

    def target(found: Found) -> Path:
        if request.out == request.folder:
            return found.path.with_name(found.path.stem + MASK_SUFFIX)
        return request.out / found.inside.with_suffix(".png")

    return _copies(request, make, target, "mask", "Masks", report, copies_captions=request.copies_captions)


def condition(request: DepthRequest, report: Report) -> Outcome:
    """Depth pictures of the pictures of a folder, for conditioning."""
    model = _picture_model(request, DEPTH, request.kind, report)

    def make(read: Read) -> Image.Image:
        return depth_of(read.pixels, model, far_is_bright=request.far_is_bright)

    def target(found: Found) -> Path:
        return request.out / found.inside.with_suffix(".png")

    return _copies(request, make, target, "condition", "Depth pictures", report)


def faces(request: FacesRequest, report: Report) -> Outcome:
    """Crops around the faces in the pictures of a folder."""
    look = _box_finder(request, report)
    outcome = Outcome()
    pictures = _pictures(request, request.out, report, outcome, lambda found: found.inside.with_suffix(""))
    with (
        report.phase("faces", len(pictures)) as phase,
        Portions("Crop faces", request.folder, report, seconds=PORTION_SECONDS) as portions,
    ):
        copier = Copier(portions, report, outcome, request.copies_captions, request.dry_run)
        for (read,) in read_batches(pictures, 1, phase, report, outcome):
            crops = _crops(request, read, look(read), report, outcome)
            for number, crop in enumerate(crops, 1):
                target = request.out / read.found.inside.with_name(f"{read.found.path.stem}-face{number}.png")
                copier.add(Image.fromarray(read.pixels).crop(crop), target, read.found, box=list(crop))
    return outcome


def _crops(
    request: FacesRequest, read: Read, boxes: list[Box], report: Report, outcome: Outcome
) -> list[tuple[int, int, int, int]]:
    """Crops that are large enough; a picture without any is told."""
    size = read.pixels.shape[1], read.pixels.shape[0]
    crops = [crop_box(box, size, request.margin, square=request.square) for box in boxes]
    large = [crop for crop in crops if min(crop[2] - crop[0], crop[3] - crop[1]) >= request.smallest]
    if not large:
        outcome.unchanged += 1
        text = f"crops of less than {request.smallest} pixels" if boxes else "no face"
        report.tell("picture", file=str(read.found.path), changed=False, text=text, boxes=[])
    return large


def _copies(
    request: MaskRequest | DepthRequest,
    make: Callable[[Read], Image.Image],
    target: Callable[[Found], Path],
    phase_name: str,
    title: str,
    report: Report,
    *,
    copies_captions: bool = False,
) -> Outcome:
    """One copy of each picture that has none yet, so that a run that was stopped goes on."""
    outcome = Outcome()
    pictures = _pictures(request, request.out, report, outcome, target)
    wanted = [found for found in pictures if not target(found).exists()]
    outcome.unchanged += len(pictures) - len(wanted)
    with (
        report.phase(phase_name, len(wanted)) as phase,
        Portions(title, request.folder, report, seconds=PORTION_SECONDS) as portions,
    ):
        copier = Copier(portions, report, outcome, copies_captions, request.dry_run)
        for (read,) in read_batches(wanted, 1, phase, report, outcome):
            copier.add(make(read), target(read.found), read.found)
    return outcome


@dataclass(frozen=True)
class Copier:
    """Writes copies under names that are free; what is there already is told and left alone.

    Args:
        copies_captions: the picture's caption goes along, when it has one and none lies there.
        dry_run: only tell what would be written.
    """

    portions: Portions
    report: Report
    outcome: Outcome
    copies_captions: bool
    dry_run: bool

    def add(self, image: Image.Image, target: Path, source: Found, **facts: Any) -> None:
        """Let a copy as PNG be written."""
        is_free = not target.exists()
        said = target.name if is_free else f"{target.name} is there already"
        facts = {"file": str(source.path), "changed": is_free, "made": str(target), "text": said, **facts}
        tell = partial(self.report.tell, "picture", **facts)
        if self.dry_run or not is_free:
            tell()
            self.outcome.written += is_free
            self.outcome.unchanged += not is_free
            return
        data = png_bytes(image)
        self.portions.add(partial(self._writes, data, target, source), len(data), tell)

    def _writes(self, data: bytes, target: Path, source: Found) -> list[Write]:
        if target.exists():
            self.outcome.unchanged += 1
            return []
        self.outcome.written += 1
        picture, caption = Write(target, data, None), target.with_suffix(source.caption.suffix)
        if not self.copies_captions or caption.exists() or not source.caption.is_file():
            return [picture]
        return [Write(caption, source.caption.read_bytes(), None), picture]


def _pictures(
    request: FolderRequest, out: Path, report: Report, outcome: Outcome, target: Callable[[Found], Path]
) -> list[Found]:
    """The pictures to copy: not copies of an earlier run, and one of those that would share a name."""
    seen: dict[Path, Found] = {}
    for found in find_pictures(request.folder, report, recursive=request.recursive, only=request.only):
        if out != request.folder and found.path.is_relative_to(out):
            continue
        first = seen.setdefault(target(found), found)
        if first is not found:
            names = f"{first.inside} and {found.inside}"
            report.warning(f"{names} have the same name but for the suffix: only the first gets a copy.")
            outcome.unchanged += 1
    return list(seen.values())


def _picture_model(request: FolderRequest, kinds: Kinds, kind: str, report: Report) -> PictureModel:
    with report.phase("load"):
        path = model_in(find_model(request.model, ONNX_FILES, download=request.download))
        return open_picture_model(path, kinds, kind, request.device, report)


def _box_finder(request: FacesRequest, report: Report) -> Callable[[Read], list[Box]]:
    if request.boxes is not None:
        boxes = read_boxes(request.boxes)

        def given(read: Read) -> list[Box]:
            return boxes.get(read.found.inside.as_posix(), boxes.get(read.found.path.name, []))

        return given
    with report.phase("load"):
        path = model_in(find_model(request.model, ONNX_FILES, download=request.download))
        model = open_detector(path, request.device, report)
    return lambda read: find_faces(read.pixels, model, request.threshold)
