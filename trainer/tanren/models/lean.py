"""A frozen diffusers U-Net that keeps fewer activations for the backward pass and starts fewer kernels.

Nothing is approximated. What autograd would keep for gradients that nobody asks for (inputs of frozen convolutions) is
dropped, and cheap element-wise results are computed again instead of kept: GroupNorm followed by SiLU, and the gated
GELU of the feed-forward. Divisions by 1 that diffusers does after attention and resnets are left out.

Every layer looks at itself when it is called: a leaf with its own hooks (a network's) or a weight that learns is run in
the ordinary way. Memory format: each node answers in the format the plain layer answers in.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.activations import GEGLU
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from .frozen import FrozenConv2d
from .gated_gelu import GatedGelu

aten = torch.ops.aten


def make_lean(unet: nn.Module) -> None:
    """Give the layers of a frozen U-Net their lean forwards, in place.

    Attach the network first: its hooks take the plain leaves, and leaves that carry hooks keep them.
    """
    for module in unet.modules():
        lean = _lean_forward(module)
        if lean is not None and "forward" not in module.__dict__:
            module.__dict__["forward"] = MethodType(lean, module)
        elif isinstance(module, Attention) and type(module.processor) is AttnProcessor2_0:
            module.set_processor(LeanAttention())


def make_plain(unet: nn.Module) -> None:
    """Undo `make_lean`."""
    lean = {conv_forward, feed_forward, resnet_forward}
    for module in unet.modules():
        forward = module.__dict__.get("forward")
        if isinstance(forward, MethodType) and forward.__func__ in lean:
            del module.__dict__["forward"]
        elif isinstance(module, Attention) and type(module.processor) is LeanAttention:
            module.set_processor(AttnProcessor2_0())


def _lean_forward(module: nn.Module) -> Any:
    if type(module) is nn.Conv2d:
        return conv_forward if module.padding_mode == "zeros" and not isinstance(module.padding, str) else None
    if type(module) is FeedForward:
        return feed_forward if _is_geglu(module) else None
    if type(module) is ResnetBlock2D:
        plain = module.upsample is None and module.downsample is None and module.time_embedding_norm == "default"
        return resnet_forward if plain else None
    return None


def _is_geglu(module: FeedForward) -> bool:
    kinds = [type(layer) for layer in module.net]
    dropout: Any = module.net[1]
    return kinds == [GEGLU, nn.Dropout, nn.Linear] and dropout.p == 0


def conv_forward(self: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution that keeps nothing but its weight."""
    if self.weight.requires_grad or (self.bias is not None and self.bias.requires_grad):
        return nn.Conv2d.forward(self, x)
    return FrozenConv2d.apply(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def feed_forward(self: FeedForward, hidden_states: Tensor, *unused: Any, **also_unused: Any) -> Tensor:
    """Projection, gated GELU, projection; keeps the result of the first projection, not what the second one reads."""
    first: Any = self.net[0]
    last: Any = self.net[2]
    projected = first.proj(hidden_states)
    # A network's layer can take the activation into its own node, so that its input need not be kept.
    after_gated_gelu = getattr(getattr(last.forward, "__self__", None), "after_gated_gelu", None)
    return after_gated_gelu(projected) if after_gated_gelu else last(GatedGelu.apply(projected))


def resnet_forward(self: ResnetBlock2D, input_tensor: Tensor, temb: Tensor, *unused: Any, **also_unused: Any) -> Tensor:
    """(B, in, H, W) and time embedding (B, width) -> (B, out, H, W); keeps the inputs of both norms."""
    hidden = self.conv1(norm_and_act(self.norm1, self.nonlinearity, input_tensor))
    if self.time_emb_proj is not None and temb is not None:
        moved = temb if self.skip_time_act else self.nonlinearity(temb)
        hidden = hidden + self.time_emb_proj(moved)[:, :, None, None]
    hidden = self.conv2(self.dropout(norm_and_act(self.norm2, self.nonlinearity, hidden)))
    shortcut = input_tensor if self.conv_shortcut is None else self.conv_shortcut(input_tensor)
    total = shortcut + hidden
    return total if self.output_scale_factor == 1 else total / self.output_scale_factor


def norm_and_act(norm: nn.GroupNorm, act: nn.Module, x: Tensor) -> Tensor:
    """GroupNorm, then SiLU, in one node where both are ordinary and frozen."""
    has_hooks = "forward" in norm.__dict__ or type(norm) is not nn.GroupNorm or type(act) is not nn.SiLU
    if has_hooks or norm.weight is None or norm.weight.requires_grad or norm.bias.requires_grad:
        return act(norm(x))
    return GroupNormSilu.apply(x, norm.weight, norm.bias, norm.num_groups, norm.eps)


class LeanAttention(AttnProcessor2_0):
    """PyTorch's scaled dot-product attention without the steps that SD's attention layers leave at their defaults."""

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
        """(B, tokens, width) attended to itself or to the text states (B, text tokens, text width)."""
        if attention_mask is not None or not _is_ordinary(attn, hidden_states):
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        key = attn.to_k(context).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        value = attn.to_v(context).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        attended = F.scaled_dot_product_attention(query, key, value)
        return attn.to_out[1](attn.to_out[0](attended.transpose(1, 2).flatten(2)))


def _is_ordinary(attn: Attention, hidden_states: Tensor) -> bool:
    extras = (attn.spatial_norm, attn.group_norm, attn.norm_q, attn.norm_k, attn.norm_cross)
    changes_result = attn.residual_connection or attn.rescale_output_factor != 1
    return hidden_states.dim() == 3 and not changes_result and not any(extra is not None and extra for extra in extras)


class GroupNormSilu(torch.autograd.Function):
    """SiLU(GroupNorm(x)) with frozen weights; keeps x and its group statistics, computes the norm again in backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        """(B, C, H, W) -> the same shape and dtype."""
        x = _settled(x)
        ctx.sizes = (x.shape[0], x.shape[1], x.numel() // (x.shape[0] * x.shape[1]), groups)
        ctx.eps = eps
        normed, mean, rstd = aten.native_group_norm(x, weight, bias, *ctx.sizes, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        return F.silu(normed, inplace=True)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of x for `grad` (B, C, H, W)."""
        x, weight, bias, mean, rstd = ctx.saved_tensors
        normed = aten.native_group_norm(x, weight, bias, *ctx.sizes, ctx.eps)[0]
        grad = aten.silu_backward(_like(grad, x), normed)
        grad_x, _, _ = aten.native_group_norm_backward(grad, x, mean, rstd, weight, *ctx.sizes, (True, False, False))
        return grad_x, None, None, None, None


def _settled(x: Tensor) -> Tensor:
    """x in a format that the group norm kernels take: as it is, else contiguous."""
    is_channels_last = x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last)
    return x if is_channels_last else x.contiguous()


def _like(grad: Tensor, x: Tensor) -> Tensor:
    """Gradient in the memory format of x, which the group norm kernels require."""
    return grad if grad.stride() == x.stride() else torch.empty_like(x).copy_(grad)
