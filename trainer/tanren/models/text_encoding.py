"""Captions and prompts to the text states of CLIP encoders.

A window is what an encoder sees at once: BOS, 75 tokens, EOS or padding. Longer texts are cut into several windows. In
training the windows' contents are joined between one BOS and one EOS state (75·n + 2 states), in previews and generated
pictures all 77 states of each window are kept (77·n), as sd-scripts does and existing LoRAs expect.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..formats.prompt_weights import parse_prompt_weights

CONTENT = 75
WINDOW = CONTENT + 2
SMALLEST_MEAN = 1e-6
NEW_WINDOW = re.compile(r"\bBREAK\b")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PromptRules:
    """How prompts of pictures become text states; the defaults are those of sample pictures while training.

    Args:
        most_windows: what is longer is cut.
        breaks: the word BREAK fills the window up, so that the following text begins a new one.
        keeps: what emphasis leaves as it was: "original", the mean of a prompt's states; "abs", that of their sizes;
            "none", nothing.
    """

    most_windows: int = 3
    breaks: bool = False
    keeps: str = "original"


SAMPLE_RULES = PromptRules()


@dataclass(frozen=True)
class TokenRow:
    """One text as the encoder sees it.

    Args:
        ids: n·75 + 2 token ids: BOS, content, EOS and padding.
        weights: emphasis of each of them; 1 for BOS, EOS and padding.
        cut: tokens that found no place.
    """

    ids: list[int]
    weights: list[float]
    cut: int


def windows_of(max_token_length: int | None) -> int:
    """How many windows a caption may fill: 1 for none or 75, 2 for 150, 3 for 225."""
    return max(1, (max_token_length or CONTENT) // CONTENT)


def token_row(tokenizer: Any, text: str, windows: int, *, weighted: bool, breaks: bool = False) -> TokenRow:
    """Tokenise one text to exactly `windows` windows; what is longer is cut, what is shorter is padded.

    Args:
        tokenizer: CLIP's; its `pad_token_id` decides the padding.
        text: caption or prompt.
        windows: 1 to 3.
        weighted: read emphasis such as `(red:1.2)`; each stretch of equal weight is tokenised on its own.
        breaks: BREAK begins a new window.
    """
    ids, weights = content_tokens(tokenizer, text, weighted=weighted, breaks=breaks)
    room = windows * CONTENT
    kept, padding = ids[:room], max(0, room - len(ids))
    return TokenRow(
        ids=[tokenizer.bos_token_id, *kept, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * padding],
        weights=[1.0, *weights[:room], 1.0, *[1.0] * padding],
        cut=len(ids) - len(kept),
    )


def content_tokens(tokenizer: Any, text: str, *, weighted: bool, breaks: bool = False) -> tuple[list[int], list[float]]:
    """Ids without BOS and EOS, uncut, and the emphasis of each; with `breaks`, BREAK fills its window up."""
    stretches = parse_prompt_weights(text) if weighted else [(text, 1.0)]
    ids: list[int] = []
    weights: list[float] = []
    for stretch, weight in stretches:
        for index, part in enumerate(NEW_WINDOW.split(stretch) if breaks else [stretch]):
            if index:
                _fill_window(tokenizer, ids, weights)
            # The length is ours to judge: the tokenizer would warn of texts over 77 tokens.
            found = tokenizer(part, add_special_tokens=False, truncation=False, verbose=False).input_ids
            ids += found
            weights += [weight] * len(found)
    return ids, weights


def _fill_window(tokenizer: Any, ids: list[int], weights: list[float]) -> None:
    """End a window as a short text ends: EOS, then padding."""
    missing = -len(ids) % CONTENT
    if missing:
        ids += [tokenizer.eos_token_id, *[tokenizer.pad_token_id] * (missing - 1)]
        weights += [1.0] * missing


def split_windows(ids: Tensor, eos: int, pad: int) -> Tensor:
    """Cut rows of 75·n + 2 ids into windows of 77, each with its own BOS and end.

    The end of a window is the end of the whole row. Where padding is not EOS (SD 2), a window full of ordinary tokens
    ends with EOS, and one that holds nothing but padding begins with EOS.

    Args:
        ids: (B, 75·n + 2) int64.
        eos, pad: ids of the tokenizer.

    Returns:
        (B, n, 77) int64.
    """
    content = ids[:, 1:-1].unflatten(1, (-1, CONTENT))
    ends = ids[:, -1].view(-1, 1, 1).expand(-1, content.shape[1], 1)
    starts = ids[:, 0].view(-1, 1, 1).expand(-1, content.shape[1], 1)
    windows = torch.cat([starts, content, ends], dim=2)
    if pad == eos or windows.shape[1] == 1:
        return windows
    is_full = (windows[..., -2] != eos) & (windows[..., -2] != pad)
    windows[..., -1] = torch.where(is_full, eos, windows[..., -1])
    is_empty = windows[..., 1] == pad
    windows[..., 1] = torch.where(is_empty, eos, windows[..., 1])
    return windows


def last_states(encoder: nn.Module, ids: Tensor, clip_skip: int | None) -> Tensor:
    """Hidden states of CLIP after the final layer norm.

    Args:
        encoder: CLIPTextModel, with or without its `text_model` level.
        ids: (B, 77) int64 on the encoder's device.
        clip_skip: layer to take, counted from the end; None and 1 mean the last.

    Returns:
        (B, 77, width) in the encoder's dtype.
    """
    if clip_skip is None or clip_skip <= 1:
        return encoder(ids).last_hidden_state
    states = encoder(ids, output_hidden_states=True).hidden_states[-clip_skip]
    norm: Any = getattr(encoder, "text_model", encoder).final_layer_norm
    return norm(states)


def window_states(encoder: nn.Module, windows: Tensor, clip_skip: int | None) -> Tensor:
    """(B, n, 77) ids -> (B, n, 77, width) states, all windows in one pass."""
    states = last_states(encoder, windows.flatten(0, 1), clip_skip)
    return states.unflatten(0, windows.shape[:2])


def join_captions(states: Tensor) -> Tensor:
    """(B, n, 77, width) -> (B, 75·n + 2, width): the first BOS, every window's content, the last end."""
    if states.shape[1] == 1:
        return states[:, 0]
    content = states[:, :, 1:-1].flatten(1, 2)
    return torch.cat([states[:, 0, :1], content, states[:, -1, -1:]], dim=1)


def encode_captions(
    encoder: nn.Module,
    tokenizer: Any,
    captions: Sequence[str],
    *,
    max_token_length: int | None,
    clip_skip: int | None,
    weighted: bool,
) -> Tensor:
    """Training captions -> (B, 75·n + 2, width) of one encoder, see `caption_states`."""
    windows = caption_windows(
        tokenizer, captions, device_of(encoder), max_token_length=max_token_length, weighted=weighted
    )
    return caption_states(window_states(encoder, windows.ids, clip_skip), windows)


def encode_prompts(
    encoder: nn.Module,
    tokenizer: Any,
    prompts: Sequence[str],
    negatives: Sequence[str],
    *,
    clip_skip: int | None,
    rules: PromptRules = SAMPLE_RULES,
) -> tuple[Tensor, Tensor]:
    """Prompts and negative prompts with emphasis -> two tensors (B, 77·n, width) of the same length."""
    windows = prompt_windows(tokenizer, [*prompts, *negatives], device_of(encoder), rules)
    emphasised = prompt_states(window_states(encoder, windows.ids, clip_skip), windows)
    return emphasised[: len(prompts)], emphasised[len(prompts) :]


@dataclass(frozen=True)
class Windows:
    """Texts as one encoder sees them.

    Args:
        ids: (B, n, 77) int64.
        weights: emphasis of each of the states that are kept in the end, (B, 75·n + 2) of captions or (B, 77·n) of
            prompts; None when all are 1.
        keeps: of `PromptRules`.
    """

    ids: Tensor
    weights: Tensor | None
    keeps: str = "original"


def caption_windows(
    tokenizer: Any, captions: Sequence[str], device: torch.device, *, max_token_length: int | None, weighted: bool
) -> Windows:
    """Training captions, each in as many windows as the longest may fill."""
    count = windows_of(max_token_length)
    rows = [token_row(tokenizer, caption, count, weighted=weighted) for caption in captions]
    ids = _windows_of_rows(rows, tokenizer, device)
    if not weighted:
        return Windows(ids, None)
    return Windows(ids, torch.tensor([row.weights for row in rows]).to(device, non_blocking=True))


def caption_states(states: Tensor, windows: Windows) -> Tensor:
    """(B, n, 77, width) -> (B, 75·n + 2, width), joined.

    Each state is multiplied by its token's emphasis; unlike in previews the mean is left as it comes.
    """
    joined = join_captions(states)
    return joined if windows.weights is None else joined * windows.weights.to(joined.dtype).unsqueeze(-1)


def windows_needed(tokenizer: Any, texts: Sequence[str], rules: PromptRules = SAMPLE_RULES) -> int:
    """How many windows the longest of the texts fills, up to what the rules allow."""
    lengths = [len(content_tokens(tokenizer, text, weighted=True, breaks=rules.breaks)[0]) for text in texts]
    return min(rules.most_windows, max(1, math.ceil(max(lengths) / CONTENT)))


def prompt_windows(
    tokenizer: Any, texts: Sequence[str], device: torch.device, rules: PromptRules = SAMPLE_RULES
) -> Windows:
    """Prompts with emphasis, all in as many windows as the longest needs; what finds no place is cut with a warning."""
    count = windows_needed(tokenizer, texts, rules)
    rows = [token_row(tokenizer, text, count, weighted=True, breaks=rules.breaks) for text in texts]
    for text, row in zip(texts, rows, strict=True):
        if row.cut:
            log.warning("A prompt is %d tokens too long; its end is cut off: %s", row.cut, text[:80])
    inner = torch.tensor([row.weights[1:-1] for row in rows], device=device).unflatten(1, (-1, CONTENT))
    weights = nn.functional.pad(inner, (1, 1), value=1.0).flatten(1)
    return Windows(_windows_of_rows(rows, tokenizer, device), weights, rules.keeps)


def prompt_states(states: Tensor, windows: Windows) -> Tensor:
    """(B, n, 77, width) -> (B, 77·n, width), weighted.

    After weighting, the states of a prompt are scaled so that their mean is what it was before, unless the rules say
    otherwise.
    """
    assert windows.weights is not None, "prompts have weights"
    return emphasise(states.flatten(1, 2), windows.weights, windows.keeps)


def _windows_of_rows(rows: Sequence[TokenRow], tokenizer: Any, device: torch.device) -> Tensor:
    ids = torch.tensor([row.ids for row in rows]).to(device, non_blocking=True)
    return split_windows(ids, tokenizer.eos_token_id, tokenizer.pad_token_id)


def emphasise(states: Tensor, weights: Tensor, keeps: str = "original") -> Tensor:
    """Multiply states by their tokens' weights and restore each text's mean over tokens and channels.

    Args:
        states: (B, tokens, width).
        weights: (B, tokens).
        keeps: see `PromptRules`.
    """
    wide = states.float()
    weighted = wide * weights.unsqueeze(-1)
    if keeps == "none":
        return weighted.to(states.dtype)
    sizes = (wide.abs(), weighted.abs()) if keeps == "abs" else (wide, weighted)
    before, after = (part.mean(dim=(1, 2), keepdim=True) for part in sizes)
    # A mean of nothing cannot be restored; dividing by it would blow the states up.
    usable = after.abs() > SMALLEST_MEAN
    factor = torch.where(usable, before / torch.where(usable, after, torch.ones_like(after)), torch.ones_like(after))
    return (weighted * factor).to(states.dtype)


def device_of(module: nn.Module) -> torch.device:
    """Where a model lives."""
    return next(module.parameters()).device
