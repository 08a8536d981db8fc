"""Denoising while control pictures steer the model: what a ControlNet-LLLite learns from."""

from __future__ import annotations

from torch import Tensor

from ..data.batch import TextStates
from ..families.base import Model
from ..networks.lllite import LlliteNetwork
from ..options.loss import LossOptions
from .denoising import Denoising
from .denoising_inputs import DenoisingInputs


class SteeredDenoising(Denoising):
    """`Denoising` whose every prediction is steered by the control pictures of its batch.

    They stay in place until the next batch: a backward pass that recomputes activations needs them again.

    Args:
        network: what is trained; the others as for `Denoising`.
    """

    def __init__(
        self,
        model: Model,
        network: LlliteNetwork,
        options: LossOptions,
        *,
        seed: int,
        validation_seed: int | None = None,
        vae_batch_size: int | None = None,
    ) -> None:
        super().__init__(
            model, network, options, seed=seed, validation_seed=validation_seed, vae_batch_size=vae_batch_size
        )
        self.steering = network

    def _predict(self, noisy_latents: Tensor, text: TextStates, inputs: DenoisingInputs) -> Tensor:
        assert inputs.control is not None, "every picture has a control picture"
        self.steering.show(inputs.control)
        return super()._predict(noisy_latents, text, inputs)
