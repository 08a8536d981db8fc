"""Finished pictures: their names, and what is written into them. Without torch."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .. import __version__
from ..disk import storage_error
from ..files import durable_write
from ..formats.infotext import PROMPT_KEY, write_infotext
from ..options.generating import DrawingModelOptions, OutputOptions
from ..options.generating_inputs import HighresOptions
from ..options.spec import Settings
from .request import Request, first_stage_size


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

    def keep(self, image: Image.Image, request: Request, index: int, stage: str = "") -> Path:
        """Write a picture.

        Args:
            image: what was drawn.
            request: what was asked for.
            index: place in the batch.
            stage: "0" and "1" for the first and second of two stages that are both kept.

        Returns:
            Its file.

        Raises:
            StorageError: it cannot be written.
        """
        stream = io.BytesIO()
        image.save(stream, "PNG", pnginfo=self._facts(request, image.size))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(self.folder, error) from error
        data = stream.getvalue()
        return durable_write(self._path(request, index, stage), lambda file: _write(file, data), sync=False)

    def _path(self, request: Request, index: int, stage: str) -> Path:
        if self.options.sequential_file_name and request.file_name is None:
            return self._next_number()
        name = f"im_{time.strftime('%Y%m%d%H%M%S')}_{stage}{index:03d}_{request.seed}"
        if request.file_name is not None:
            name = request.file_name.removesuffix(".png") + (f"_{stage}" if stage == "0" else "")
        elif self.options.use_original_file_name and request.start is not None:
            name = request.start.picture.stem + (f"_{stage}" if stage == "0" else "")
        path, copy = self.folder / f"{name}.png", 1
        while path.exists():
            copy += 1
            path = self.folder / f"{name}_{copy}.png"
        return path

    def _next_number(self) -> Path:
        while True:
            self._number += 1
            path = self.folder / f"im_{self._number:06d}.png"
            if not path.exists():
                return path

    def _facts(self, request: Request, size_wh: tuple[int, int]) -> PngInfo:
        facts = PngInfo()
        facts.add_text(PROMPT_KEY, self._infotext(request, size_wh))
        for key, value in _own_facts(request, tells_sizes=self.tells_sizes).items():
            facts.add_text(key, str(value))
        return facts

    def _infotext(self, request: Request, size_wh: tuple[int, int]) -> str:
        facts: dict[str, object] = {
            "Steps": request.steps,
            "Sampler": self.titles[request.sampler],
            "CFG scale": f"{request.scale:g}",
            "Seed": request.seed,
            "Size": f"{size_wh[0]}x{size_wh[1]}",
            "Model": self.model_name,
        }
        if request.start is not None or self.highres.highres_fix_scale is not None:
            facts["Denoising strength"] = f"{request.strength:g}"
        if self.clip_skip:
            facts["Clip skip"] = self.clip_skip
        if self.highres.highres_fix_scale is not None:
            first = first_stage_size(request.size_wh, self.highres.highres_fix_scale)
            facts |= {
                "Steps": self.highres.highres_fix_steps,
                "Size": f"{first[0]}x{first[1]}",
                "Hires resize": f"{request.size_wh[0]}x{request.size_wh[1]}",
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


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)
