"""One picture to draw, with nothing left open, and how requests come from prompt lines. Without torch."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from ..errors import Problems, UsageError
from ..formats.prompt_language import PromptLine, read_prompt_line
from ..formats.prompt_variants import expand
from ..options.generating import DrawingOptions, PromptOptions
from ..options.generating_inputs import DrawingNetworkOptions, FromPictureOptions
from ..options.spec import Settings
from ..paths import check_created_name

CELL = 8
# Sides that nobody wrote, those of pictures to begin with, are cut to these, as in sd-scripts.
START_STEP = 32
USUAL_STRENGTH = 0.8
REGIONS = " AND "
OWN_SEED = re.compile(r" --d (\d+)", re.IGNORECASE)
SEED_LIMIT = 0x7FFFFFFF
OTHER_PICTURES = frozenset((".webp", ".jpg", ".jpeg", ".avif", ".jxl", ".bmp", ".gif", ".tif", ".tiff"))


class Start(NamedTuple):
    """A picture to begin with, and which part of it is drawn anew (None: all of it)."""

    picture: Path
    mask: Path | None = None


@dataclass(frozen=True)
class Request:
    """One picture to draw.

    Args:
        prompt, negative_prompt: as they go to the text encoders.
        size_wh: pixels, multiples of 8.
        original_wh, negative_original_wh, crop_top_left: pixels that SDXL is told.
        steps: of the sampler.
        scale, negative_scale: of guidance; see `guidance.Guidance`.
        seed: of its noise.
        sampler: a name of `options.sampling.SAMPLERS`.
        multipliers: one per network.
        strength: of a start, and of the second of two stages.
        start: a picture to begin with.
        guides: control pictures, one per control model.
        raw_prompt: the line with its options, variants drawn.
        clip_prompt: recorded only.
        file_name: asked for by the line.
    """

    prompt: str
    negative_prompt: str
    size_wh: tuple[int, int]
    original_wh: tuple[int, int]
    negative_original_wh: tuple[int, int]
    crop_top_left: tuple[int, int]
    steps: int
    scale: float
    negative_scale: float | None
    seed: int
    sampler: str
    multipliers: tuple[float, ...] = ()
    strength: float = USUAL_STRENGTH
    start: Start | None = None
    guides: tuple[Path, ...] = ()
    raw_prompt: str = ""
    clip_prompt: str | None = None
    file_name: str | None = None


@dataclass
class Inputs:
    """Pictures that the requests use in turn: starts one at a time, guides `guides_each` at a time.

    Args:
        starts, guides: of the whole run.
        guides_each: how many control pictures belong to a picture.
        sizes: width and height of the starts, in pixels.
        pictures_each: how many pictures in a row begin with the same start.
    """

    starts: Sequence[Start] = ()
    guides: Sequence[Path] = ()
    guides_each: int = 0
    sizes: Mapping[Path, tuple[int, int]] = field(default_factory=dict)
    pictures_each: int = 1

    def size_of(self, start: Start) -> tuple[int, int]:
        """Width and height of a start; nothing for one that could not be read."""
        return self.sizes.get(start.picture, (0, 0))

    def start(self, index: int) -> Start | None:
        """The start of the index-th picture."""
        return self.starts[index // self.pictures_each % len(self.starts)] if self.starts else None

    def guides_of(self, index: int) -> tuple[Path, ...]:
        """The control pictures of the index-th picture."""
        if not self.guides_each or not self.guides:
            return ()
        groups = len(self.guides) // self.guides_each
        first = index % groups * self.guides_each
        return tuple(self.guides[first : first + self.guides_each])


class Planner:
    """Turns prompt lines into requests.

    Args:
        settings: of the run.
        usual_side: width and height where nobody says any, in pixels.
        inputs: pictures that are used in turn.
    """

    def __init__(self, settings: Settings, usual_side: int, inputs: Inputs) -> None:
        self.drawing, self.prompts = settings[DrawingOptions], settings[PromptOptions]
        self.strength = settings[FromPictureOptions].strength
        self.usual_side, self.inputs = usual_side, inputs
        self.multipliers = default_multipliers(settings[DrawingNetworkOptions])
        self.count = 0
        seed = self.drawing.seed
        self._rng = random.Random(seed)
        self._seeds: list[int] = []

    def plan(self, lines: Sequence[str], problems: Problems) -> list[Request]:
        """Every picture of every round; what is wrong with a line is told once, whatever its variants.

        Args:
            lines: of the prompt file, or the one of the command line.
            problems: receives what is wrong.
        """
        images, rounds = self.prompts.images_per_prompt, self.prompts.n_iter
        self._predefine(rounds * len(lines) * images)
        requests: list[Request] = []
        for turn in range(rounds):
            # Every round gives the n-th prompt the n-th picture again.
            self.count = 0
            shared = self._round_seed(turn)
            order = list(enumerate(lines, 1))
            if self.prompts.shuffle_prompts:
                self._rng.shuffle(order)
            for number, line in order:
                where = f"prompt {number}" if len(lines) > 1 else "prompt"
                requests += self._of_line(line, images, where, shared, problems)
            if problems.errors:
                break
        return requests

    def one(self, line: str, problems: Problems) -> list[Request]:
        """The pictures of a line typed at the keyboard: one, or all that it enumerates."""
        return list(self._of_line(line, 1, "prompt", None, problems))

    def _of_line(
        self, line: str, images: int, where: str, shared_seed: int | None, problems: Problems
    ) -> Iterator[Request]:
        try:
            texts = expand(line, images, self._variants_rng(line), where=where)
        except UsageError as problem:
            problems.add(problem)
            return
        for place, text in enumerate(texts):
            asked = read_prompt_line(text, where, problems)
            start = self.inputs.start(self.count)
            size = self._size(asked, start, where, problems)
            if REGIONS in asked.prompt:
                problems.warn(f"{where}: AND makes no regions here; it is read as a word.")
            if asked.file_name is not None:
                _check_name(asked.file_name, where, problems)
            seed = self._seed(asked, place, shared_seed)
            yield replace(self._request(asked, size, seed), start=start, raw_prompt=text)
            self.count += 1

    def _variants_rng(self, line: str) -> random.Random:
        """Without `--seed`, a line with a seed of its own draws the same variants again."""
        own = OWN_SEED.search(line)
        return random.Random(int(own[1])) if own and self.drawing.seed is None else self._rng

    def _request(self, asked: PromptLine, size: tuple[int, int], seed: int) -> Request:
        options = self.drawing
        original = (
            asked.original_width or options.original_width or size[0],
            asked.original_height or options.original_height or size[1],
        )
        negative_scale = options.negative_scale if asked.negative_scale is None else asked.negative_scale
        strengths = (asked.strength, self.strength, USUAL_STRENGTH)
        return Request(
            prompt=asked.prompt,
            negative_prompt=asked.negative_prompt or "",
            size_wh=size,
            original_wh=original,
            negative_original_wh=(
                asked.original_width_negative or options.original_width_negative or original[0],
                asked.original_height_negative or options.original_height_negative or original[1],
            ),
            crop_top_left=(
                options.crop_top if asked.crop_top is None else asked.crop_top,
                options.crop_left if asked.crop_left is None else asked.crop_left,
            ),
            steps=asked.steps or options.steps,
            scale=options.scale if asked.scale is None else asked.scale,
            negative_scale=None if asked.without_negative_scale else negative_scale,
            seed=seed,
            sampler=options.sampler,
            multipliers=_for_each(asked.multipliers, self.multipliers),
            strength=next(value for value in strengths if value is not None),
            guides=self.inputs.guides_of(self.count),
            clip_prompt=asked.clip_prompt,
            file_name=asked.file_name,
        )

    def _size(self, asked: PromptLine, start: Start | None, where: str, problems: Problems) -> tuple[int, int]:
        """The size a line asks for, or that of its start, cut to multiples of 32, or the usual one."""
        own = [max(CELL * CELL, side - side % START_STEP) for side in self.inputs.size_of(start)] if start else [0, 0]
        sides = []
        rows = (("w", asked.width, self.drawing.W, own[0]), ("h", asked.height, self.drawing.H, own[1]))
        for letter, side, usual, of_start in rows:
            pixels = side or usual or of_start or self.usual_side
            if pixels % CELL or pixels < CELL * CELL:
                what = f"{pixels} pixels: sides are multiples of {CELL}, at least {CELL * CELL}."
                option = f"{where}, --{letter}" if side else f"--{letter.upper()}"
                problems.add(UsageError(where=option, what=what, fix=f"Take {max(CELL, pixels // CELL) * CELL}."))
            sides.append(pixels)
        return sides[0], sides[1]

    def _predefine(self, count: int) -> None:
        """Seeds of all pictures, from `--seed`; a single picture has that seed itself."""
        if self.drawing.seed is None or self.drawing.iter_same_seed:
            return
        self._seeds = [self._rng.randint(0, SEED_LIMIT) for _ in range(count)]
        if count == 1:
            self._seeds = [self.drawing.seed]
        self._seeds.reverse()

    def _round_seed(self, turn: int) -> int | None:
        # Drawn in any case, so that variants are those of sdxl_gen_img.
        drawn = self._rng.randint(0, SEED_LIMIT)
        if not self.drawing.iter_same_seed:
            return None
        return self.drawing.seed if turn == 0 and self.drawing.seed is not None else drawn

    def _seed(self, asked: PromptLine, place: int, shared: int | None) -> int:
        predefined = self._seeds.pop() if self._seeds else None
        if asked.seeds:
            return asked.seeds[min(place, len(asked.seeds) - 1)]
        chosen = shared if shared is not None else predefined
        return self._rng.randint(0, SEED_LIMIT) if chosen is None else chosen


def default_multipliers(options: DrawingNetworkOptions) -> tuple[float, ...]:
    """Strength of each network that is not merged: as given, else 1."""
    count = len(options.network_weights)
    strengths = [*options.network_mul[:count], *[1.0] * (count - len(options.network_mul))]
    return tuple(strengths[merged_count(options) :])


def merged_count(options: DrawingNetworkOptions) -> int:
    """How many of the networks, from the first, are merged."""
    count = len(options.network_weights)
    return count if options.network_merge else min(count, options.network_merge_n_models or 0)


def _for_each(asked: Sequence[float], usual: tuple[float, ...]) -> tuple[float, ...]:
    if not asked:
        return usual
    return tuple(asked[min(index, len(asked) - 1)] for index in range(len(usual)))


def _check_name(name: str, where: str, problems: Problems) -> None:
    suffix = Path(name).suffix.lower()
    if suffix in OTHER_PICTURES:
        what = f"{name}: pictures are PNG, which keeps their prompt, not {suffix[1:].upper()}."
        problems.add(UsageError(where=f"{where}, --f", what=what, fix=f"Write --f {Path(name).stem}."))
    try:
        check_created_name(name, where=f"{where}, --f")
    except UsageError as problem:
        problems.add(problem)
