"""The model's prediction for a batch of prompts, drawn away from their negative prompts.

Source: Ho and Salimans 2022, arXiv:2207.12598, equation 6, with kohya's scale (1 is no guidance).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..families.base import Model
from .request import Request
from .texts import PromptStates, joined


class Guidance:
    """Predictions for requests that have their scales in common.

    Without a scale of its own, the negative prompt is what the prompt moves away from: n + s (p - n). With one, both
    are weighed against the empty prompt: e + s (p - e) - t (n - e).

    Args:
        model: with its networks attached.
        requests: of one batch, as this stage draws them.
        texts: states of each of them.
    """

    def __init__(self, model: Model, requests: Sequence[Request], texts: Sequence[PromptStates]) -> None:
        self.model = model
        self.scale, self.negative_scale = requests[0].scale, requests[0].negative_scale
        prompts, negatives, empties = ([getattr(text, part) for text in texts] for part in PARTS)
        rows = [prompts]
        if self.scale > 1:
            rows = [negatives, prompts] if self.negative_scale is None else [empties, negatives, prompts]
        self.count = len(rows)
        self.text = joined([states for row in rows for states in row])
        own = [_sizes(request.original_wh, request.crop_top_left, request.size_wh) for request in requests]
        other = [_sizes(request.negative_original_wh, request.crop_top_left, request.size_wh) for request in requests]
        sizes = [*other * (self.count - 1), *own]
        self.sizes = torch.tensor(sizes, device=model.placement.device)

    def __call__(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """Prediction for latents (B, C, h, w), in float32."""
        batch = torch.cat([latents] * self.count)
        timesteps = timestep.expand(len(batch))
        predictions = self.model.family.predict(self.model, batch, timesteps, self.text, self.sizes).float()
        if self.count == 1:
            return predictions
        if self.negative_scale is None:
            negative, prompt = predictions.chunk(2)
            return negative + self.scale * (prompt - negative)
        empty, negative, prompt = predictions.chunk(3)
        return empty + self.scale * (prompt - empty) - self.negative_scale * (negative - empty)


PARTS = ("prompt", "negative", "empty")


def _sizes(original_wh: tuple[int, int], crop_top_left: tuple[int, int], size_wh: tuple[int, int]) -> list[int]:
    """Original height and width, crop top and left, target height and width, as SDXL takes them."""
    return [original_wh[1], original_wh[0], *crop_top_left, size_wh[1], size_wh[0]]
