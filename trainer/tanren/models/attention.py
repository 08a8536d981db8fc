"""How the U-Net computes attention."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor
from torch.nn import functional as F

from ..events import Report
from ..options.model import AttentionOptions

HEADS_AT_ONCE = 1


def choose_attention(unet: Any, options: AttentionOptions, device: torch.device, report: Report) -> None:
    """Install the asked kind of attention; PyTorch's own stays where nothing else is asked for or possible.

    Of several `--mem_eff_attn` wins, then `--xformers`, as in sd-scripts.
    """
    if options.mem_eff_attn:
        unet.set_attn_processor(SlicedAttention())
    elif options.xformers:
        if device.type == "cuda" and importlib.util.find_spec("xformers") is not None:
            unet.enable_xformers_memory_efficient_attention()
            return
        reason = "needs a CUDA device" if device.type != "cuda" else "is not installed"
        report.warning(f"--xformers: xformers {reason}; PyTorch's own attention (--sdpa) is used instead.")


class SlicedAttention(AttnProcessor2_0):
    """Attention one head at a time: where no fused kernel serves, only one head's scores are held at once."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        *unused: Any,
        **also_unused: Any,
    ) -> Tensor:
        """(B, tokens, width) attended to itself or to the text states (B, text tokens, text width).

        The U-Nets of SD 1, SD 2 and SDXL use neither masks nor norms nor residuals in their attention layers.
        """
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        key = attn.to_k(context).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        value = attn.to_v(context).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        slices = [
            F.scaled_dot_product_attention(q, k, v)
            for q, k, v in zip(
                query.split(HEADS_AT_ONCE, 1), key.split(HEADS_AT_ONCE, 1), value.split(HEADS_AT_ONCE, 1), strict=True
            )
        ]
        joined = torch.cat(slices, dim=1).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](joined))
