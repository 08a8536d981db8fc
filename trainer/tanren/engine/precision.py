"""In which dtype the frozen model computes and the network learns."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import EnvironmentProblem
from ..events import Report
from ..families.base import Model, Placement
from ..models import eight_bit
from ..options.model import ModelOptions
from ..options.training import TrainingOptions

DEVICES_WITH_FLOAT8 = ("cpu", "cuda")
DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Precision:
    """What `--mixed_precision` became on this device.

    Args:
        used: "no", "fp16" or "bf16": what really computes; recorded in the metadata.
        compute: dtype of the frozen weights and activations.
        network: dtype of the trained weights and their gradients.
        device: where it computes.
    """

    used: str
    compute: torch.dtype
    network: torch.dtype
    device: torch.device

    @property
    def scales_loss(self) -> bool:
        """True when the loss is scaled so that float16 gradients do not underflow."""
        return self.compute is torch.float16

    def make_scaler(self) -> torch.amp.GradScaler:
        """The scaler of the loss; it does nothing unless it is needed."""
        return LossScaler(self.device.type, enabled=self.scales_loss)

    def autocast(self, needed: bool) -> contextlib.AbstractContextManager[object]:
        """Autocast for networks that do not cast for themselves."""
        if not needed or self.compute is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.compute)


class LossScaler(torch.amp.GradScaler):
    """torch's scaler, which also takes float16 gradients: with `--full_fp16` the trained weights have no others."""

    def _unscale_grads_(self, optimizer: Any, inv_scale: Tensor, found_inf: Tensor, allow_fp16: bool) -> Any:
        # torch refuses them, since they can underflow when they are unscaled, and offers no other way to allow them.
        return super()._unscale_grads_(optimizer, inv_scale, found_inf, allow_fp16=True)


def choose_precision(training: TrainingOptions, device: torch.device, report: Report) -> Precision:
    """Take the asked precision, or float32 where a CPU is asked for float16."""
    used = training.mixed_precision
    if used == "fp16" and device.type == "cpu":
        report.warning("fp16 needs a GPU: this run computes in float32 (the file's metadata says so).")
        used = "no"
    full = (training.full_fp16 or training.full_bf16) and used != "no"
    return Precision(used, DTYPES[used], DTYPES[used] if full else torch.float32, device)


def place(precision: Precision, model: ModelOptions, *, is_shared: bool = False) -> Placement:
    """Where and how the frozen parts live; `is_shared` when processes share the U-Net out.

    Raises:
        EnvironmentProblem: the device has no float8.
    """
    vae_dtype = torch.float32 if model.no_half_vae else precision.compute
    unet, text = model.fp8_base or model.fp8_base_unet, model.fp8_base
    if unet and precision.device.type not in DEVICES_WITH_FLOAT8:
        raise EnvironmentProblem(
            where="--fp8_base" if text else "--fp8_base_unet",
            what=f"The device {precision.device.type} has no 8-bit numbers.",
            fix="Leave the option out.",
        )
    return Placement(precision.device, precision.compute, vae_dtype, unet, text, unet_waits=is_shared)


def keep_whole(placement: Placement) -> Placement:
    """The same with all weights in the compute dtype, for models that something is merged into before they shrink."""
    return replace(placement, unet_in_eight_bits=False, text_in_eight_bits=False)


def shrink_weights(model: Model, placement: Placement) -> None:
    """Round to 8 bits what the placement says, as loading would have done; what is in 8 bits already stays."""
    if placement.unet_in_eight_bits:
        eight_bit.shrink(model.denoiser, eight_bit.of_unet)
    for encoder in model.text_encoders if placement.text_in_eight_bits else ():
        eight_bit.shrink(encoder, eight_bit.of_text_encoder)
