"""Finished pictures: their names, and what is written into them. Without torch."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .. import __version__
from ..disk import storage_error
from ..files import durable_write
from ..formats.infotext import PROMPT_KEY, write_infotext
from ..options.generating import DrawingModelOptions, OutputOptions
from ..options.generating_inputs import HighresOptions
from ..options.spec import Settings
from .request import Request
from .stages import first_stage

FIRST, SECOND = "0", "1"


class Name(NamedTuple):
    """Name of a picture's file: with a number always, or only where it is taken."""

    text: str
    is_numbered: bool = False

    def with_number(self, number: int) -> str:
        """The n-th name to try."""
        if self.is_numbered:
            return f"{self.text}{number:06d}"
        return self.text if number == 1 else f"{self.text}_{number}"


class Gallery:
    """The folder of the pictures; nothing in it is ever replaced.

    Args:
        settings: of the run.
        model_name: recorded in the pictures.
        sampler_titles: names of samplers as AUTOMATIC1111 and Forge say them.
        tells_sizes: the model is told sizes, so that they are part of what makes the picture.
    """

    def __init__(
        self, settings: Settings, model_name: str, sampler_titles: dict[str, str], *, tells_sizes: bool
    ) -> None:
        self.options, self.highres = settings[OutputOptions], settings[HighresOptions]
        self.clip_skip = settings[DrawingModelOptions].clip_skip
        self.model_name = model_name
        self.titles, self.tells_sizes = sampler_titles, tells_sizes
        self.folder = Path(self.options.outdir)
        self._number = 0

    def keep(self, image: Image.Image, request: Request, index: int, first: Image.Image | None = None) -> Path:
        """Write a picture, and before it that of its first stage.

        Args:
            image: what was drawn.
            request: what was asked for.
            index: place in the batch.
            first: of two stages the first, where it is kept.

        Returns:
            The file of the picture.

        Raises:
            StorageError: it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(self.folder, error) from error
        stages = [(image, request, "" if self.highres.highres_fix_scale is None else SECOND)]
        if first is not None:
            stages.insert(0, (first, first_stage(request, self.highres), FIRST))
        paths = self._free([self._name(request, index, stage) for _, _, stage in stages])
        for (picture, asked, stage), path in zip(stages, paths, strict=True):
            stream = io.BytesIO()
            picture.save(stream, "PNG", pnginfo=self._facts(asked, stage))
            durable_write(path, partial(_write, data=stream.getvalue()), sync=False)
        return paths[-1]

    def _name(self, request: Request, index: int, stage: str) -> Name:
        own = request.file_name.removesuffix(".png") if request.file_name is not None else None
        if own is None and self.options.use_original_file_name and request.start is not None:
            own = request.start.picture.stem
        if own is not None:
            return Name(f"{own}_{stage}" if stage == FIRST else own)
        if self.options.sequential_file_name:
            return Name(f"im_{stage}", is_numbered=True)
        return Name(f"im_{time.strftime('%Y%m%d%H%M%S')}_{stage}{index:03d}_{request.seed}")

    def _free(self, names: Sequence[Name]) -> list[Path]:
        """Files of these names that do not exist yet, all with the same number where one is needed."""
        number = self._number if names[0].is_numbered else 0
        while True:
            number += 1
            paths = [self.folder / f"{name.with_number(number)}.png" for name in names]
            if not any(path.exists() for path in paths):
                break
        if names[0].is_numbered:
            self._number = number
        return paths

    def _facts(self, request: Request, stage: str) -> PngInfo:
        facts = PngInfo()
        facts.add_text(PROMPT_KEY, self._infotext(request, stage))
        for key, value in _own_facts(request, tells_sizes=self.tells_sizes).items():
            facts.add_text(key, str(value))
        return facts

    def _infotext(self, request: Request, stage: str) -> str:
        facts: dict[str, object] = {
            "Steps": request.steps,
            "Sampler": self.titles[request.sampler],
            "CFG scale": f"{request.scale:g}",
            "Seed": request.seed,
            "Size": _sides(request.size_wh),
            "Model": self.model_name,
        }
        if request.start is not None or stage == SECOND:
            facts["Denoising strength"] = f"{request.strength:g}"
        if self.clip_skip:
            facts["Clip skip"] = self.clip_skip
        if stage == SECOND:
            first = first_stage(request, self.highres)
            facts |= {
                "Steps": first.steps,
                "Size": _sides(first.size_wh),
                "Hires resize": _sides(request.size_wh),
                "Hires steps": request.steps,
                "Hires upscaler": "Latent" if self.highres.highres_fix_latents_upscaling else "Lanczos",
            }
        facts["Version"] = f"Tanren {__version__}"
        return write_infotext(request.prompt, request.negative_prompt, facts)


def _own_facts(request: Request, *, tells_sizes: bool) -> dict[str, object]:
    """What sd-scripts' pictures say, under its names."""
    facts: dict[str, object] = {
        "prompt": request.prompt,
        "seed": request.seed,
        "sampler": request.sampler,
        "steps": request.steps,
        "scale": request.scale,
    }
    optional = {
        "negative-prompt": request.negative_prompt or None,
        "negative-scale": request.negative_scale,
        "clip-prompt": request.clip_prompt,
        "raw-prompt": request.raw_prompt or None,
    }
    facts |= {key: value for key, value in optional.items() if value is not None}
    if tells_sizes:
        facts |= {
            "original-height": request.original_wh[1],
            "original-width": request.original_wh[0],
            "original-height-negative": request.negative_original_wh[1],
            "original-width-negative": request.negative_original_wh[0],
            "crop-top": request.crop_top_left[0],
            "crop-left": request.crop_top_left[1],
        }
    return facts


def _sides(size_wh: tuple[int, int]) -> str:
    return f"{size_wh[0]}x{size_wh[1]}"


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)
