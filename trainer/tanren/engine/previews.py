"""Sample pictures while training goes on: when they are due, how they are called, and that they cannot hurt a run."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..data.draws import draw_seed
from ..diffusion.samplers import DEFAULT, KNOWN
from ..events import Phase, Report
from ..families.base import Model
from ..files import durable_write
from ..formats.sample_prompts import SamplePrompt
from ..networks.base import TrainedNetwork
from ..options.sampling import SamplingOptions
from .processes import Processes
from .sampling import Picture, draw_picture, picture_of

HEARTBEAT_SECONDS = 5.0
SEED_RANGE = 2**32
Steered = Callable[[SamplePrompt], AbstractContextManager[object]]
log = logging.getLogger(__name__)


def unsteered(prompt: SamplePrompt) -> AbstractContextManager[object]:
    """For networks that know no control pictures."""
    return nullcontext()


class Previews:
    """Draws the prompts when they are due; what fails is told and counted, and training goes on.

    Args:
        model: with the network attached.
        network: switched to eval mode meanwhile.
        prompts: the pictures, of which process i of n draws each i-th.
        options: when, and the sampler of prompts that name none.
        folder: where the pictures go; made when the first one is written.
        output_name: start of the file names, or None.
        seed: of the run; prompts without a seed get one from it, the same in every attempt at the same step.
        report: told of every picture and every failure.
        processes: who draws what.
        strengths: of the network, one picture each; only when there are several do names and events tell them. What a
            prompt with a seed looks like without the network is drawn once.
        pause: around the use of weights (schedule-free optimizers).
        autocast: around the model's calls, for networks that need it.
        at_hand: around all pictures of one time, brings what the model needs for them to the device.
        steered: around each picture, lets its control picture steer the model.
    """

    def __init__(
        self,
        model: Model,
        network: TrainedNetwork,
        prompts: Sequence[SamplePrompt],
        options: SamplingOptions,
        *,
        folder: Path,
        output_name: str | None,
        seed: int,
        report: Report,
        processes: Processes,
        strengths: Sequence[float] = (1.0,),
        pause: Callable[[], AbstractContextManager[object]] = nullcontext,
        autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
        at_hand: Callable[[], AbstractContextManager[object]] = nullcontext,
        steered: Steered = unsteered,
    ) -> None:
        self.model, self.network, self.prompts, self.options = model, network, tuple(prompts), options
        self.folder, self.output_name, self.seed = folder, output_name, seed
        self.report, self.processes, self.pause, self.autocast = report, processes, pause, autocast
        self.at_hand, self.steered = at_hand, steered
        self.strengths = tuple(strengths)
        self._drawn_without: set[int] = set()
        self.failures = 0
        for index, prompt in enumerate(self.prompts):
            if prompt.sample_sampler is not None and prompt.sample_sampler not in KNOWN:
                report.warning(
                    f"Sample prompt {index}: {prompt.sample_sampler!r} is not a known sampler, {DEFAULT} is used."
                )

    def maybe(
        self, *, step: int, epoch: int, at_start: bool = False, epoch_end: bool = False, on_request: bool = False
    ) -> None:
        """Draw all prompts when they are due.

        Args:
            step: updates made so far.
            epoch: finished epochs, when `epoch_end`.
            at_start: before the first update.
            epoch_end: after an epoch; otherwise after an update.
            on_request: somebody asked for pictures now.
        """
        every_steps = max(0, self.options.sample_every_n_steps or 0)
        every_epochs = max(0, self.options.sample_every_n_epochs or 0)
        if at_start:
            if self.options.sample_at_first:
                self._draw_all("e000000", step)
        elif epoch_end:
            if every_epochs and epoch % every_epochs == 0:
                self._draw_all(f"e{epoch:06d}", step)
        elif on_request or (every_steps and not every_epochs and step % every_steps == 0):
            self._draw_all(f"{step:06d}", step)

    def _draw_all(self, suffix: str, step: int) -> None:
        mine = self.processes.share(list(enumerate(self.prompts)))
        if mine:
            self._draw(mine, suffix, step)
        # Those who draw less wait here, where waiting has no end, and not in the next update.
        self.processes.wait()

    def _draw(self, mine: Sequence[tuple[int, SamplePrompt]], suffix: str, step: int) -> None:
        with self.report.phase("sample", len(mine)) as phase, self._at_rest(), self.autocast():
            try:
                with self.at_hand():
                    self._draw_each(mine, suffix, step, phase)
            except (torch.OutOfMemoryError, MemoryError) as error:
                self._tell_failure("Sample pictures", error)

    def _draw_each(self, mine: Sequence[tuple[int, SamplePrompt]], suffix: str, step: int, phase: Phase) -> None:
        for index, prompt in mine:
            for strength in self.strengths:
                if strength == 0 and index in self._drawn_without:
                    continue
                self.network.set_multiplier(strength)
                self._draw_one(index, prompt, suffix, step, phase, strength)
            phase.advance()
            # With a shared U-Net nobody can leave alone.
            if self.processes.sharing is None and self.report.is_asked_to_stop():
                break

    def _draw_one(
        self, index: int, prompt: SamplePrompt, suffix: str, step: int, phase: Phase, strength: float
    ) -> None:
        sampler = self.options.sample_sampler if prompt.sample_sampler is None else DEFAULT
        seed = draw_seed(self.seed, "sample", step, index) % SEED_RANGE
        picture = picture_of(prompt, self.model, sampler=sampler, seed=seed)
        try:
            with self.steered(prompt):
                image = draw_picture(self.model, picture, on_step=_heartbeat(phase))
            if self.processes.sharing and not self.processes.is_main:
                # It had to take part; the picture is the same in every process.
                return
            path = self._write(image, picture, self._name(suffix, index, prompt.seed, strength))
        except Exception as error:
            # Whatever goes wrong here, memory included, costs a picture and must not cost the run.
            log.debug("sample picture %d failed", index, exc_info=True)
            self._tell_failure(f"Sample picture {index}", error)
            return
        if strength == 0 and prompt.seed is not None:
            self._drawn_without.add(index)
        at: dict[str, object] = {"strength": strength} if len(self.strengths) > 1 else {}
        if prompt.controlnet_image is not None:
            at["control"] = prompt.controlnet_image
        self.report.tell(
            "sample", file=str(path), prompt=picture.prompt, seed=picture.seed, index=index, step=step, **at
        )

    def _tell_failure(self, what: str, error: Exception) -> None:
        self.failures += 1
        self.report.warning(f"{what} failed, training goes on: {_first_line(error)}")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _name(self, suffix: str, index: int, seed: int | None, strength: float) -> str:
        at = [f"x{strength:+g}"] if len(self.strengths) > 1 else []
        parts = [suffix, f"{index:02d}", *at, time.strftime("%Y%m%d%H%M%S")]
        if self.output_name:
            parts.insert(0, self.output_name)
        if seed is not None:
            parts.append(str(seed))
        return "_".join(parts) + ".png"

    def _write(self, image: Image.Image, picture: Picture, name: str) -> Path:
        facts = PngInfo()
        facts.add_text("parameters", picture.parameters(self.model.text.clip_skip))
        stream = io.BytesIO()
        image.save(stream, "PNG", pnginfo=facts)
        self.folder.mkdir(parents=True, exist_ok=True)
        return durable_write(self.folder / name, lambda file: _write_all(file, stream.getvalue()), sync=False)

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        """Weights as they are used, without dropout; global random streams are put back afterwards."""
        device = self.model.placement.device
        gpus = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus), self.pause():
            self.network.eval()
            try:
                yield
            finally:
                self.network.set_multiplier(1.0)
                self.network.train()


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _heartbeat(phase: Phase) -> Callable[[], None]:
    """Tells the phase again every few seconds: a slow picture is no silence."""
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last > HEARTBEAT_SECONDS:
            last = time.monotonic()
            phase.advance(0)

    return beat


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
