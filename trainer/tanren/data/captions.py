"""What becomes of a caption each time its picture is drawn.

Source of the order of steps: sd-scripts, which people's captions are written for.
"""

from __future__ import annotations

import math
import random
import re

from ..options.dataset_plan import SubsetPlan

CHOICE = re.compile(r"\{([^{}]*)\}")
# Stand for doubled braces while choices are made; captions cannot hold them, NUL is refused when reading.
OPEN, CLOSE = "\x00(", "\x00)"


def process_caption(
    stored: str, subset: SubsetPlan, rng: random.Random, *, epoch: int, step: int, max_train_steps: int
) -> str:
    """The caption of one draw.

    Args:
        stored: as read from the file; several lines only with wildcards.
        subset: how captions vary.
        rng: used for this draw alone.
        epoch: from 1.
        step: optimizer steps done so far.
        max_train_steps: of the whole run, for a warm-up given as a fraction.
    """
    if is_dropped(subset, rng, epoch):
        return ""
    caption = with_prefix_and_suffix(stored, subset)
    caption = choose(caption, rng) if subset.enable_wildcard else caption.split("\n", 1)[0]
    if subset.shuffle_caption or subset.token_warmup_step > 0 or subset.caption_tag_dropout_rate > 0:
        fixed, flexible, fixed_suffix = split_tags(caption, subset)
        flexible = flexible[: warmed_up_count(len(flexible), subset, step, max_train_steps)]
        if subset.shuffle_caption:
            rng.shuffle(flexible)
        if subset.caption_tag_dropout_rate > 0:
            flexible = [tag for tag in flexible if rng.random() >= subset.caption_tag_dropout_rate]
        caption = ", ".join(fixed + flexible + fixed_suffix)
    if subset.secondary_separator:
        caption = caption.replace(subset.secondary_separator, subset.caption_separator)
    return caption


def varies(subset: SubsetPlan) -> bool:
    """True when two draws of one picture may have different captions."""
    return bool(
        subset.caption_dropout_rate > 0
        or subset.caption_dropout_every_n_epochs > 0
        or subset.enable_wildcard
        or subset.shuffle_caption
        or subset.token_warmup_step > 0
        or subset.caption_tag_dropout_rate > 0
    )


def with_prefix_and_suffix(caption: str, subset: SubsetPlan) -> str:
    """Prefix and suffix, each with one space; they are shuffled and counted like the rest."""
    if subset.caption_prefix:
        caption = f"{subset.caption_prefix} {caption}"
    if subset.caption_suffix:
        caption = f"{caption} {subset.caption_suffix}"
    return caption


def is_dropped(subset: SubsetPlan, rng: random.Random, epoch: int) -> bool:
    """Whether this draw has an empty caption."""
    every = subset.caption_dropout_every_n_epochs
    if every > 0 and epoch % every == 0:
        return True
    return subset.caption_dropout_rate > 0 and rng.random() < subset.caption_dropout_rate


def choose(caption: str, rng: random.Random) -> str:
    """One line at random, then one of `a`, `b` for each `{a|b}`; `{{` and `}}` stand for the braces themselves."""
    line = rng.choice(caption.split("\n"))
    line = line.replace("{{", OPEN).replace("}}", CLOSE)
    line = CHOICE.sub(lambda match: rng.choice(match[1].split("|")), line)
    return line.replace(OPEN, "{").replace(CLOSE, "}")


def split_tags(caption: str, subset: SubsetPlan) -> tuple[list[str], list[str], list[str]]:
    """Tags that stay in front, tags that may vary, tags that stay at the end."""
    separator = subset.keep_tokens_separator
    if separator and separator in caption:
        front, _, rest = caption.partition(separator)
        middle, _, end = rest.partition(separator)
        return _tags(front, subset), _tags(middle, subset), _tags(end, subset)
    tags = _tags(caption, subset)
    return tags[: subset.keep_tokens], tags[subset.keep_tokens :], []


def warmed_up_count(tags: int, subset: SubsetPlan, step: int, max_train_steps: int) -> int:
    """How many of the variable tags are used at this step of the tag warm-up."""
    steps = subset.token_warmup_step
    if steps < 1:
        steps = math.floor(steps * max_train_steps)
    if step >= steps:
        return tags
    return max(0, math.floor(step * ((tags - subset.token_warmup_min) / steps)) + subset.token_warmup_min)


def _tags(text: str, subset: SubsetPlan) -> list[str]:
    return [tag for part in text.split(subset.caption_separator) if (tag := part.strip())]
