"""Change what a prompt means, without pictures: erase, strengthen or slide a concept (LECO).

The network at a pair's strength, asked for `target`, shall say what the untrained model says for `neutral`, moved
away from (erase) or towards (enhance) the difference between `positive` and `unconditional`. The latents come from the
network's own partial denoising of `target`, which nothing is learned through.

What one iteration costs in calls of the U-Net, for batch B and k of `max_denoising_steps` steps: k calls of 2B (of B
when the denoising guidance is 1) without gradient, one call of 1 to 3 B without gradient, because equal prompts are
asked for once, and one of B with gradient.

Source: Gandikota et al. 2023, "Erasing Concepts from Diffusion Models", arXiv:2303.07345, equation 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..data.batch import TextStates
from ..diffusion.ancestral import ancestral_step, spaced_timesteps
from ..diffusion.losses import weight_table
from ..families.base import Model
from ..formats.leco_prompts import ERASE, PromptPair
from ..networks.base import TrainedNetwork
from ..options.leco import LecoOptions
from ..options.loss import LossOptions
from .concept_inputs import ConceptDraws, ConceptInputs
from .denoising import LossResult


class Concept:
    """The objective of LECO. `inputs(number, step)` draws on the CPU; `loss` draws nothing.

    Args:
        model: the frozen base.
        network: what is trained; layers of the U-Net only.
        pairs: what shall be learned.
        texts: states of every prompt of the pairs, (1, tokens, width), on the model's device.
        leco: length and guidance of the denoising.
        options: noise offset and min-SNR.
        seed: of the run.
    """

    def __init__(
        self,
        model: Model,
        network: TrainedNetwork,
        pairs: Sequence[PromptPair],
        texts: Mapping[str, TextStates],
        leco: LecoOptions,
        options: LossOptions,
        *,
        seed: int,
    ) -> None:
        self.model, self.network, self.pairs, self.texts = model, network, tuple(pairs), texts
        self.guidance = leco.leco_denoise_guidance_scale
        self.timesteps = spaced_timesteps(leco.max_denoising_steps)
        self.weights = weight_table(options, model.schedule, model.prediction_type)
        geometry = model.family.latents
        self.inputs = ConceptDraws(
            self.pairs,
            leco.max_denoising_steps,
            options.noise_offset or 0.0,
            geometry.channels,
            geometry.downscale,
            seed,
        )

    def loss(self, inputs: ConceptInputs) -> LossResult:
        """Loss of one micro-batch whose tensors are on the model's device.

        The network keeps the pair's strength: a backward that recomputes activations needs it.
        """
        pair = self.pairs[inputs.pair]
        with torch.no_grad():
            self.network.set_multiplier(pair.multiplier)
            latents = self._denoised(inputs, pair)
            self.network.set_multiplier(0.0)
            target = self._target(latents, inputs, pair)
        self.network.set_multiplier(pair.multiplier)
        prediction = self._predict(latents, inputs.timestep, [pair.target], inputs.sizes)
        per_sample = (prediction - target).square().mean(dim=(1, 2, 3))
        per_sample = per_sample * (pair.weight * float(self.weights[inputs.timestep]))
        return LossResult(per_sample.mean(), per_sample.detach(), None)

    def facts(self, inputs: ConceptInputs) -> dict[str, float]:
        """What the pair of a micro-batch asks for, as it is logged."""
        pair = self.pairs[inputs.pair]
        return {"guidance_scale": pair.guidance_scale, "network_multiplier": pair.multiplier}

    def validation_loss(self, batch: object) -> Tensor:
        """Never asked for: nothing is held out."""
        raise AssertionError("there is no validation without pictures")

    def _denoised(self, inputs: ConceptInputs, pair: PromptPair) -> Tensor:
        """What the network makes of pure noise in its first steps, (B, C, h, w)."""
        latents = inputs.latents
        for place, noise in enumerate(inputs.step_noises):
            timestep = self.timesteps[place]
            before = self.timesteps[place + 1] if place + 1 < len(self.timesteps) else -1
            prediction = self._guided(latents, timestep, pair, inputs.sizes)
            latents = ancestral_step(
                self.model.schedule, latents, prediction, noise, timestep, before, self.model.prediction_type
            )
        return latents

    def _guided(self, latents: Tensor, timestep: int, pair: PromptPair, sizes: Tensor) -> Tensor:
        if self.guidance == 1 or pair.target == pair.unconditional:
            return self._predict(latents, timestep, [pair.target], sizes)
        without, with_target = self._predict(latents, timestep, [pair.unconditional, pair.target], sizes).chunk(2)
        return without + self.guidance * (with_target - without)

    def _target(self, latents: Tensor, inputs: ConceptInputs, pair: PromptPair) -> Tensor:
        """What the network shall say, (B, C, h, w)."""
        asked = list(dict.fromkeys((pair.positive, pair.neutral, pair.unconditional)))
        said = dict(
            zip(
                asked,
                self._predict(latents, inputs.timestep, asked, inputs.sizes).chunk(len(asked)),
                strict=True,
            )
        )
        offset = pair.guidance_scale * (said[pair.positive] - said[pair.unconditional])
        return said[pair.neutral] - offset if pair.action == ERASE else said[pair.neutral] + offset

    def _predict(self, latents: Tensor, timestep: int, prompts: Sequence[str], sizes: Tensor) -> Tensor:
        """Predictions for the same latents under each prompt, (prompts · B, C, h, w) float32, in one call."""
        count, batch = len(prompts), len(latents)
        states = [self.texts[prompt] for prompt in prompts]
        hidden = torch.cat([state.hidden.expand(batch, -1, -1) for state in states])
        pooled = [state.pooled.expand(batch, -1) for state in states if state.pooled is not None]
        timesteps = torch.full((count * batch,), timestep, device=latents.device)
        text = TextStates(hidden, torch.cat(pooled) if pooled else None)
        family = self.model.family
        return family.predict(
            self.model, latents.repeat(count, 1, 1, 1), timesteps, text, sizes.repeat(count, 1)
        ).float()
