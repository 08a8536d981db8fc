"""Text states of requests, kept while prompts repeat."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.batch import TextStates
from ..families.base import Model
from ..models.text_encoding import windows_needed
from .request import Request

KEPT = 16


@dataclass(frozen=True)
class PromptStates:
    """What the text encoders say about one request.

    Args:
        prompt, negative, empty: each (1, tokens, width); all of the same length.
    """

    prompt: TextStates
    negative: TextStates
    empty: TextStates


class PromptEncoder:
    """Encodes prompts, each on its own, so that no picture depends on what is drawn beside it."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._kept: OrderedDict[tuple[object, ...], PromptStates] = OrderedDict()

    def length(self, request: Request) -> int:
        """Windows of a request's prompts; only pictures with equally many can be drawn together."""
        texts = [request.prompt, request.negative_prompt]
        return windows_needed(self.model.tokenizers[0], texts, self.model.text.prompts)

    @torch.no_grad()
    def states(self, request: Request) -> PromptStates:
        """The states of a request, with the networks at the strengths that they have now, which are the request's."""
        key = (request.prompt, request.negative_prompt, request.multipliers)
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            encode = self.model.family.encode_prompts
            prompt, others = encode(self.model, [request.prompt], [request.negative_prompt, ""])
            self._kept[key] = PromptStates(prompt, _row(others, 0), _row(others, 1))
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]


def joined(states: list[TextStates]) -> TextStates:
    """One batch of several."""
    pooled: list[Tensor] = [part.pooled for part in states if part.pooled is not None]
    return TextStates(torch.cat([part.hidden for part in states]), torch.cat(pooled) if pooled else None)


def _row(states: TextStates, index: int) -> TextStates:
    pooled = None if states.pooled is None else states.pooled[index : index + 1]
    return TextStates(states.hidden[index : index + 1], pooled)
