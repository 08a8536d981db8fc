"""How large a LoRA of a model will be, from the shapes in the model's header alone.

Layers are recognised by the ends of their names, in ldm files and diffusers folders alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .lora_args import LoraArgs

Shapes = Mapping[str, Sequence[int]]
TRANSFORMER = re.compile(r"\.(attn[12]\.to_(q|k|v|out\.0)|ff\.net\.(0\.proj|2)|proj_(in|out))\.weight$")
RESNETS = re.compile(
    r"\.(in_layers\.2|out_layers\.3|emb_layers\.1|skip_connection|op|[1-9]\.conv"
    r"|conv1|conv2|time_emb_proj|conv_shortcut|(down|up)samplers\.0\.conv)\.weight$"
)
TEXT = re.compile(
    r"\.(self_attn\.(q|k|v|out)_proj\.weight|mlp\.(fc1|fc2|c_fc|c_proj)\.weight|attn\.out_proj\.weight|attn\.in_proj_weight)$"
)
# In front of the names of a folder's second text encoder, which are those of the first.
SECOND_ENCODER = "text_encoder_2"
UNET_PLACES = ("model.diffusion_model.", "down_blocks.", "mid_block.", "up_blocks.")
TEXT_PLACES = ("cond_stage_model.", "conditioner.embedders.", "text_model.", f"{SECOND_ENCODER}.")


@dataclass(frozen=True)
class LoraSize:
    """Layers that get a LoRA, and the numbers that are trained."""

    unet_layers: int
    text_layers: int
    numbers: int

    @property
    def keys(self) -> int:
        """Tensors in the file: up, down and alpha of each layer."""
        return 3 * (self.unet_layers + self.text_layers)


def lora_size(shapes: Shapes, lora: LoraArgs, *, unet: bool, text_encoder: bool) -> LoraSize:
    """Size of a LoRA; where ranks differ by block, the largest one is taken for all.

    Args:
        shapes: tensor name -> shape, as in the model's file or files.
        lora: ranks.
        unet, text_encoder: which of the two are trained.
    """
    rank, conv_rank = max(lora.block_ranks or (lora.rank,)), max(lora.conv_block_ranks or (lora.conv_rank,))
    unet_layers = text_layers = numbers = 0
    for name, shape in shapes.items():
        if unet and name.startswith(UNET_PLACES):
            is_wide = len(shape) == 4 and shape[2] > 1
            chosen = bool(TRANSFORMER.search(name)) or (lora.adapts_convolutions and bool(RESNETS.search(name)))
            used = (conv_rank if is_wide else rank) if chosen else 0
            unet_layers += bool(used)
            numbers += _numbers(shape, used) if used else 0
        elif text_encoder and name.startswith(TEXT_PLACES) and TEXT.search(name):
            # OpenCLIP keeps query, key and value in one matrix; they are three layers of a LoRA.
            parts = 3 if name.endswith("in_proj_weight") else 1
            text_layers += parts
            numbers += parts * _numbers((shape[0] // parts, *shape[1:]), rank)
    return LoraSize(unet_layers, text_layers, numbers)


def _numbers(shape: Sequence[int], rank: int) -> int:
    outputs, inputs, *kernel = shape
    size = kernel[0] * kernel[1] if kernel else 1
    return rank * (inputs * size + outputs)
