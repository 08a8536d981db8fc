"""Train a model to say what noise, or which velocity, is in noisy latents.

Source: Ho et al. 2020, arXiv:2006.11239, equation 14; the order of masks, weights and means is kohya's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.batch import Batch, TextStates
from ..diffusion.losses import compare, huber_table, weight_table
from ..diffusion.noise import shift_channels
from ..families.base import Model
from ..networks.base import TrainedNetwork
from ..options.loss import LossOptions
from .denoising_inputs import DenoisingInputs, InputDraws


@dataclass(frozen=True)
class LossResult:
    """What one micro-batch cost, still on the device.

    Args:
        loss: scalar, to be differentiated.
        per_sample: (B,), detached; their mean is the loss.
        nan_latents: scalar, how many NaNs of the VAE were replaced by 0; None when latents came from the cache.
    """

    loss: Tensor
    per_sample: Tensor
    nan_latents: Tensor | None


class Denoising:
    """The objective of LoRA, DreamBooth and LLLite training on SD 1, SD 2 and SDXL.

    `inputs(batch, step)` draws on the CPU and can be sent to other processes. `loss` draws nothing, has the same shapes
    for every batch of a bucket and never asks the device for a value, so that a step can be captured as a graph.

    Args:
        model: the frozen base.
        network: what is trained.
        options: noise variants, loss and its weights.
        seed: of the run.
        validation_seed: of measurements; the run's when None.
        vae_batch_size: pictures encoded at a time where latents are not cached; None: the whole batch.
    """

    def __init__(
        self,
        model: Model,
        network: TrainedNetwork,
        options: LossOptions,
        *,
        seed: int,
        validation_seed: int | None = None,
        vae_batch_size: int | None = None,
    ) -> None:
        self.model, self.network, self.options = model, network, options
        device = model.placement.device
        self.schedule = model.schedule.to(device)
        self.weights = weight_table(options, model.schedule, model.prediction_type).to(device)
        self.huber_c = huber_table(options, model.schedule).to(device)
        measured = seed if validation_seed is None else validation_seed
        self.inputs = InputDraws(options, seed, measured)
        self.vae_batch_size = vae_batch_size

    def loss(self, inputs: DenoisingInputs) -> LossResult:
        """Loss of one micro-batch whose tensors are on the model's device."""
        latents, nan_latents = self._latents(inputs)
        noise = self._noise(inputs, latents)
        noisy_latents = self._noisy(inputs, latents, noise)
        text = self._text(inputs)
        prediction = self._predict(noisy_latents, text, inputs)
        target = self._target(inputs, latents, noise)
        if inputs.preserve_output is not None:
            own = self._prediction_of_base(inputs, noisy_latents)
            target = torch.where(inputs.preserve_output.view(-1, 1, 1, 1), own, target)
        per_sample = self._per_sample(prediction, target, inputs)
        return LossResult(per_sample.mean(), per_sample.detach(), nan_latents)

    @torch.no_grad()
    def validation_loss(self, batch: Batch) -> Tensor:
        """Mean loss of a batch over the measured timesteps, a scalar on the device; the network is in eval mode."""
        device = self.model.placement.device
        self.network.eval()
        try:
            losses = [self.loss(inputs.to(device)).loss for inputs in self.inputs.validation(batch)]
        finally:
            self.network.train()
        return torch.stack(losses).mean()

    def _latents(self, inputs: DenoisingInputs) -> tuple[Tensor, Tensor | None]:
        if inputs.latents is not None:
            return inputs.latents, None
        assert inputs.pixels is not None and inputs.posterior_noise is not None
        # A network that asks for autocast must not make the VAE compute in half precision: --no_half_vae.
        with torch.no_grad(), torch.autocast(inputs.pixels.device.type, enabled=False):
            at_once = self.vae_batch_size or len(inputs.pixels)
            parts = zip(inputs.pixels.split(at_once), inputs.posterior_noise.split(at_once), strict=True)
            latents = torch.cat([self.model.family.encode_pixels(self.model, *part) for part in parts])
        is_nan = latents.isnan()
        return latents.masked_fill(is_nan, 0.0), is_nan.sum()

    def _noise(self, inputs: DenoisingInputs, latents: Tensor) -> Tensor:
        noise = inputs.noise
        if inputs.channel_shift is not None and inputs.shift_strength is not None:
            noise = shift_channels(
                noise, inputs.channel_shift, inputs.shift_strength, latents, self.options.adaptive_noise_scale
            )
        # kohya divides by the standard deviation of the whole batch, not of each sample.
        return noise / noise.std() if self.options.multires_noise_iterations else noise

    def _noisy(self, inputs: DenoisingInputs, latents: Tensor, noise: Tensor) -> Tensor:
        if inputs.input_noise is not None:
            noise = noise + inputs.input_noise
        return self.schedule.add_noise(latents, noise, inputs.timesteps)

    def _text(self, inputs: DenoisingInputs) -> TextStates:
        if inputs.text is not None:
            return inputs.text
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.network.trains_text_encoder):
            return self.model.family.encode_text(self.model, inputs.captions)

    def _predict(self, noisy_latents: Tensor, text: TextStates, inputs: DenoisingInputs) -> Tensor:
        family = self.model.family
        return family.predict(self.model, noisy_latents, inputs.timesteps, text, inputs.sizes).float()

    def _target(self, inputs: DenoisingInputs, latents: Tensor, noise: Tensor) -> Tensor:
        if self.model.prediction_type == "v":
            return self.schedule.velocity(latents, noise, inputs.timesteps)
        return noise

    @torch.no_grad()
    def _prediction_of_base(self, inputs: DenoisingInputs, noisy_latents: Tensor) -> Tensor:
        """What the untrained model says; its text encoder reads the captions without the network, too."""
        self.network.set_multiplier(0.0)
        try:
            return self._predict(noisy_latents, self._text(inputs), inputs)
        finally:
            self.network.set_multiplier(1.0)

    def _per_sample(self, prediction: Tensor, target: Tensor, inputs: DenoisingInputs) -> Tensor:
        """(B,): element-wise loss, mask, mean over the picture, weight of the sample, weight of the timestep."""
        loss = compare(prediction, target, self.options.loss_type, self.huber_c[inputs.timesteps])
        if inputs.mask is not None:
            loss = loss * inputs.mask
        return loss.mean(dim=(1, 2, 3)) * inputs.loss_weights * self.weights[inputs.timesteps]
