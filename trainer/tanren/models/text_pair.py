"""The two text encoders of SDXL: CLIP-L and OpenCLIP bigG, side by side.

Of both the states before the last layer are taken, without the final layer norm, and joined on the channels. The
second one also gives one vector for the whole text, the pooled state: its last layer's state, after the final layer
norm, at the first EOS of the first window, times its projection. Emphasis never reaches it.

Source: Podell et al. 2023, arXiv:2307.01952, section 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .text_encoding import (
    SAMPLE_RULES,
    PromptRules,
    Windows,
    caption_states,
    caption_windows,
    device_of,
    prompt_states,
    prompt_windows,
)

BEFORE_LAST = 2


class PairStates(NamedTuple):
    """hidden (B, tokens, both widths) and pooled (B, width of the projection)."""

    hidden: Tensor
    pooled: Tensor


def encode_captions(
    encoders: Sequence[nn.Module],
    tokenizers: Sequence[Any],
    captions: Sequence[str],
    *,
    max_token_length: int | None,
    weighted: bool,
) -> PairStates:
    """States of training captions; hidden is (B, 75·n + 2, both widths)."""
    first, second = (
        caption_windows(tokenizer, captions, device_of(encoder), max_token_length=max_token_length, weighted=weighted)
        for encoder, tokenizer in zip(encoders, tokenizers, strict=True)
    )
    states, other, pooled = _states(encoders, tokenizers, first, second)
    return PairStates(torch.cat([caption_states(states, first), caption_states(other, second)], dim=-1), pooled)


def encode_prompts(
    encoders: Sequence[nn.Module],
    tokenizers: Sequence[Any],
    prompts: Sequence[str],
    negatives: Sequence[str],
    *,
    clip_skip: int | None = None,
    rules: PromptRules = SAMPLE_RULES,
) -> tuple[PairStates, PairStates]:
    """States of prompts and negative prompts with emphasis; hidden is (B, 77·n, both widths), with the same n.

    `clip_skip` takes another layer than the one before the last, counted from the end; the pooled state stays.
    """
    texts, count = [*prompts, *negatives], len(prompts)
    first, second = (
        prompt_windows(tokenizer, texts, device_of(encoder), rules)
        for encoder, tokenizer in zip(encoders, tokenizers, strict=True)
    )
    states, other, pooled = _states(encoders, tokenizers, first, second, clip_skip or BEFORE_LAST)
    hidden = torch.cat([prompt_states(states, first), prompt_states(other, second)], dim=-1)
    return PairStates(hidden[:count], pooled[:count]), PairStates(hidden[count:], pooled[count:])


def _states(
    encoders: Sequence[nn.Module],
    tokenizers: Sequence[Any],
    first: Windows,
    second: Windows,
    layer: int = BEFORE_LAST,
) -> tuple[Tensor, Tensor, Tensor]:
    """States (B, n, 77, width) of both encoders, and the pooled state of the second."""
    states, _ = _inner(encoders[0], first.ids, layer)
    other, last = _inner(encoders[1], second.ids, layer)
    return states, other, pooled_state(encoders[1], last[:, 0], second.ids[:, 0], tokenizers[1].eos_token_id)


def _inner(encoder: nn.Module, ids: Tensor, layer: int) -> tuple[Tensor, Tensor]:
    """States of a layer counted from the end, and those of the last after the norm, each (B, n, 77, width)."""
    output = encoder(ids.flatten(0, 1), output_hidden_states=True)
    shape = ids.shape[:2]
    return output.hidden_states[-layer].unflatten(0, shape), output.last_hidden_state.unflatten(0, shape)


def pooled_state(encoder: Any, last: Tensor, ids: Tensor, eos: int) -> Tensor:
    """(B, width of the projection): the projected state at the first EOS, or at the start where there is none.

    The configs of some published encoders name another EOS, so the place is looked for here.

    Args:
        encoder: has the projection.
        last: (B, 77, width), after the final layer norm.
        ids: (B, 77) int64.
        eos: id of the end of a text.
    """
    place = (ids == eos).int().argmax(dim=1)
    return encoder.text_projection(last[torch.arange(len(last), device=last.device), place])
