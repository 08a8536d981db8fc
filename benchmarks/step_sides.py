"""The two sides of `step.py`: our training step, and the loop that diffusers' own LoRA examples have, with PEFT."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "trainer"))

from tanren.commands import COMMANDS
from tanren.data.batch import Batch, SampleKey, TextStates
from tanren.diffusion.schedules import NoiseSchedule
from tanren.engine.learner import Learner
from tanren.engine.precision import Precision
from tanren.engine.processes import Processes
from tanren.engine.setup import prepare_model
from tanren.engine.step import TrainingStep
from tanren.events import Report
from tanren.families import sd, sdxl
from tanren.families.base import Family, Model, Placement, TextRules
from tanren.models.configs import STANDARD
from tanren.networks.modules import attach_network
from tanren.objectives.denoising import Denoising
from tanren.objectives.denoising_inputs import DenoisingInputs
from tanren.options.loss import LossOptions
from tanren.options.network import NetworkOptions
from tanren.options.parse import parse

RATE, CLIP, SEED = 1e-4, 1.0, 1
POOLED = STANDARD["sdxl"].text_encoders[1]["projection_dim"]
LEVELS = {
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}
UNETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "norm_num_groups": 8,
        "attention_head_dim": 2,
        "cross_attention_dim": 32,
    },
    "mid": {**LEVELS, "block_out_channels": (128, 256, 512, 512), "attention_head_dim": 4, "cross_attention_dim": 768},
    # Every module of SDXL with next to nothing to compute: what is left is the work of calling them.
    "thin sdxl": {
        **STANDARD["sdxl"].unet,
        "block_out_channels": (16, 32, 64),
        "attention_head_dim": (1, 2, 4),
        "norm_num_groups": 8,
    },
    "sd15": dict(STANDARD["sd1"].unet),
    "sdxl": dict(STANDARD["sdxl"].unet),
}
PEFT_TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]


@dataclass(frozen=True)
class Work:
    """What both sides do.

    Args:
        unet: a key of `UNETS`.
        pixels: side of the square picture.
        batch: samples per step.
        rank: of the LoRA; alpha is the same.
        dtype: of the frozen weights and activations; trained weights are float32.
        device: "cpu" or "cuda".
    """

    unet: str
    pixels: int
    batch: int
    rank: int
    dtype: torch.dtype
    device: str = "cpu"

    @property
    def family(self) -> Family:
        """SDXL's U-Nets are told sizes and a pooled text."""
        return sdxl.FAMILY if "addition_embed_type" in UNETS[self.unet] else sd.FAMILY

    def build_unet(self) -> UNet2DConditionModel:
        """The frozen U-Net with random weights, the same every time."""
        torch.manual_seed(SEED)
        with torch.device(self.device):
            return UNet2DConditionModel(**UNETS[self.unet]).requires_grad_(False).eval()

    def data(self, step: int) -> Batch:
        """Latents and text states of one step, drawn by its number."""
        generator = torch.Generator().manual_seed(step)
        cells = self.pixels // 8
        width = UNETS[self.unet]["cross_attention_dim"]
        count = self.batch
        return Batch(
            keys=[SampleKey(0, 0, step * count + index, 0) for index in range(count)],
            paths=[""] * count,
            captions=[""] * count,
            bucket_wh=(self.pixels, self.pixels),
            latents=torch.randn(count, 4, cells, cells, generator=generator),
            pixels=None,
            posterior_noise=None,
            text=TextStates(
                torch.randn(count, 77, width, generator=generator),
                torch.randn(count, POOLED, generator=generator) if self.family is sdxl.FAMILY else None,
            ),
            mask=None,
            loss_weights=torch.ones(count),
            preserve_output=torch.zeros(count, dtype=torch.bool),
            original_hw=torch.zeros(count, 2, dtype=torch.int64),
            crop_top_left=torch.zeros(count, 2, dtype=torch.int64),
            target_hw=torch.zeros(count, 2, dtype=torch.int64),
        )


class Side(Protocol):
    """One way to train."""

    unet: nn.Module
    parameters: list[nn.Parameter]

    def loss(self, inputs: DenoisingInputs) -> Tensor:
        """The forward pass alone."""

    def step(self, inputs: DenoisingInputs, number: int) -> Tensor:
        """One update; returns its loss."""


class Ours:
    """The training step of this package, with its objective, network, optimizer and lean U-Net."""

    def __init__(self, work: Work, unet: UNet2DConditionModel) -> None:
        device = torch.device(work.device)
        words = ["--network_module=networks.lora", f"--network_dim={work.rank}", f"--network_alpha={work.rank}"]
        words += ["--network_train_unet_only", f"--learning_rate={RATE}", f"--max_grad_norm={CLIP}"]
        settings = parse("train_network", COMMANDS["train_network"].groups, words).settings
        self.unet, self._device = unet, device
        model = Model(
            family=work.family,
            denoiser=unet.to(work.dtype),
            vae=nn.Identity(),
            text_encoders=[nn.Identity()] * (2 if work.family is sdxl.FAMILY else 1),
            tokenizers=[],
            schedule=NoiseSchedule.stable_diffusion(),
            prediction_type="epsilon",
            placement=Placement(device, work.dtype, torch.float32),
            text=TextRules(),
        )
        self.network: Any = attach_network(model, settings[NetworkOptions], SEED, lambda path: {})
        if device.type != "cpu":
            # It is made in float32. Fake weights, which memory is counted with, could not be moved.
            self.network.to(device)
        self.names = {target.key: target.path.removeprefix("unet.") for target in work.family.lora_targets(model)}
        learner = Learner(self.network, settings, 1000, 1, Report())
        prepare_model(model, self.network, settings, Processes(device))
        self.objective = Denoising(model, self.network, LossOptions(), seed=SEED)
        used = "no" if work.dtype is torch.float32 else "bf16"
        precision = Precision(used, work.dtype, torch.float32, device)
        self.parameters = self.network.trainable()
        self.network.on_epoch_start()
        self._step = TrainingStep(
            self.objective,
            self.network,
            learner.optimizer,
            learner.scheduler,
            precision.make_scaler(),
            precision,
            Processes(device),
            seed=SEED,
            max_grad_norm=CLIP,
            scale_weight_norms=None,
        )

    def loss(self, inputs: DenoisingInputs) -> Tensor:
        """The forward pass alone."""
        return self.objective.loss(inputs.to(self._device)).loss

    def step(self, inputs: DenoisingInputs, number: int) -> Tensor:
        """One update."""
        return self._step([inputs], number).loss


class Plain:
    """The loop of diffusers' text-to-image LoRA example: PEFT layers in float32, autocast when the base is smaller."""

    def __init__(self, work: Work, unet: UNet2DConditionModel) -> None:
        self.unet = unet.to(work.dtype)
        config = LoraConfig(
            r=work.rank, lora_alpha=work.rank, init_lora_weights="gaussian", target_modules=PEFT_TARGETS
        )
        self.unet.add_adapter(config)
        self.parameters = [parameter for parameter in self.unet.parameters() if parameter.requires_grad]
        for parameter in self.parameters:
            parameter.data = parameter.data.float()
        self.unet.train()
        self.dtype, self.device, self.has_sizes = work.dtype, work.device, work.family is sdxl.FAMILY
        self.scheduler = DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000
        )
        self.optimizer = torch.optim.AdamW(self.parameters, lr=RATE)
        self.rates = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1.0)

    def start_like(self, ours: Ours) -> None:
        """Take the start weights of our network."""
        layers: dict[str, Any] = dict(self.unet.named_modules())
        with torch.no_grad():
            for key, layer in ours.network.layers.items():
                there = layers[ours.names[key]]
                there.lora_A["default"].weight.copy_(layer.down)
                there.lora_B["default"].weight.copy_(layer.up)

    def loss(self, inputs: DenoisingInputs) -> Tensor:
        """The forward pass alone."""
        inputs = inputs.to(torch.device(self.device))
        assert inputs.latents is not None and inputs.text is not None
        noisy = self.scheduler.add_noise(inputs.latents, inputs.noise, inputs.timesteps)
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.dtype is not torch.float32):
            text = inputs.text.hidden.to(self.dtype)
            told = {"added_cond_kwargs": self.sizes(inputs)} if self.has_sizes else {}
            prediction = self.unet(noisy.to(self.dtype), inputs.timesteps, text, return_dict=False, **told)[0]
        return F.mse_loss(prediction.float(), inputs.noise.float())

    def sizes(self, inputs: DenoisingInputs) -> dict[str, Tensor]:
        """What SDXL is told beside the text; the pictures of `Work.data` have no size."""
        assert inputs.text is not None and inputs.text.pooled is not None
        pooled = inputs.text.pooled.to(self.dtype)
        return {"text_embeds": pooled, "time_ids": pooled.new_zeros(len(pooled), 6)}

    def step(self, inputs: DenoisingInputs, number: int) -> Tensor:
        """One update."""
        loss = self.loss(inputs)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        self.rates.step()
        self.optimizer.zero_grad()
        return loss.detach()


SIDES: dict[str, type[Ours] | type[Plain]] = {"ours": Ours, "plain": Plain}
