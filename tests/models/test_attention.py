"""Which attention computes, seen at the calls that reach PyTorch."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from objectives.small_unets import CONFIGS
from tanren.events import Report
from tanren.models.attention import choose_attention
from tanren.options.model import AttentionOptions
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

CPU = torch.device("cpu")


class Watch(TorchFunctionMode):
    """Notes how many heads come together in each call of PyTorch's attention."""

    def __init__(self):
        super().__init__()
        self.heads = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            self.heads.append(args[0].shape[1])
        return func(*args, **(kwargs or {}))


def watched(**options):
    """Heads of each call, the prediction, and what was said."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**{**CONFIGS["sd1"], "attention_head_dim": (2, 4)}).eval()
    told = []
    choose_attention(unet, AttentionOptions(**options), CPU, Report([lambda event: told.append(event["text"])]))
    latents, text = torch.randn(2, 4, 8, 12), torch.randn(2, 5, 12)
    with torch.no_grad(), Watch() as watch:
        prediction = unet(latents, torch.tensor([3, 700]), text).sample
    return watch.heads, prediction, told


@pytest.mark.option("sdpa")
def test_pytorchs_own_attention_takes_all_heads_at_once_asked_for_or_not():
    heads, prediction, told = watched(sdpa=True)
    by_default, same, _ = watched()

    assert len(heads) > 4 and min(heads) > 1
    assert heads == by_default
    assert torch.equal(prediction, same)
    assert told == []


@pytest.mark.option("mem_eff_attn")
@pytest.mark.parametrize("also", [{}, {"sdpa": True}, {"xformers": True}], ids=str)
def test_memory_efficient_attention_takes_one_head_at_a_time_and_wins(also):
    heads, prediction, told = watched(mem_eff_attn=True, **also)
    together, wanted, _ = watched()

    assert set(heads) == {1}
    assert len(heads) == sum(together)
    torch.testing.assert_close(prediction, wanted, rtol=1e-4, atol=1e-5)
    assert told == []


@pytest.mark.option("xformers")
def test_xformers_without_a_gpu_says_what_computes_instead():
    heads, prediction, told = watched(xformers=True)
    _, wanted, _ = watched()

    assert min(heads) > 1
    assert torch.equal(prediction, wanted)
    assert told == ["--xformers: xformers needs a CUDA device; PyTorch's own attention (--sdpa) is used instead."]
