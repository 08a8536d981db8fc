"""LECO's objective: its target, its draws, and what an iteration asks of the U-Net."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tanren.data.batch import LatentGeometry, TextStates
from tanren.diffusion.ancestral import ancestral_step, spaced_timesteps
from tanren.diffusion.schedules import NoiseSchedule
from tanren.formats.leco_prompts import PromptPair
from tanren.objectives.concept import Concept
from tanren.options.leco import LecoOptions
from tanren.options.loss import LossOptions

PROMPTS = {"": 0.0, "circle": 1.0, "round": 2.0, "shape": 5.0}
# What the untrained model says for each prompt, whatever the latents are; and what the network adds at strength 1.
SAID = {0.0: 0.25, 1.0: -1.5, 2.0: 3.0, 5.0: 0.75}
ADDED = 0.125


@dataclass
class Call:
    """One call of the U-Net."""

    prompts: list[float]
    timestep: int
    strength: float
    with_gradient: bool
    sizes: list[list[int]]


@dataclass
class Stub:
    """A U-Net that says a known number for each prompt, and a network that adds its strength times another."""

    strength: float = 1.0
    calls: list[Call] = field(default_factory=list)
    weight: torch.Tensor = field(default_factory=lambda: torch.tensor(ADDED, requires_grad=True))

    def set_multiplier(self, multiplier: float) -> None:
        self.strength = multiplier

    def predict(self, model: Any, latents: Any, timesteps: Any, text: TextStates, sizes: Any) -> torch.Tensor:
        prompts = text.hidden[:, 0, 0].tolist()
        assert len(prompts) == len(latents) == len(timesteps) == len(sizes)
        (timestep,) = set(timesteps.tolist())
        self.calls.append(Call(prompts, timestep, self.strength, torch.is_grad_enabled(), sizes.tolist()))
        said = torch.tensor([SAID[prompt] for prompt in prompts]).view(-1, 1, 1, 1).expand(latents.shape)
        return said + self.strength * self.weight


def concept(stub: Stub, pair: PromptPair, *, guidance: float = 3.0, options: LossOptions | None = None) -> Concept:
    schedule = NoiseSchedule.stable_diffusion()
    family = SimpleNamespace(latents=LatentGeometry(4, 8, 1.0), predict=stub.predict)
    model: Any = SimpleNamespace(family=family, schedule=schedule, prediction_type="epsilon")
    texts = {prompt: TextStates(torch.full((1, 1, 1), number)) for prompt, number in PROMPTS.items()}
    leco = LecoOptions(max_denoising_steps=10, leco_denoise_guidance_scale=guidance)
    network: Any = stub
    return Concept(model, network, [pair], texts, leco, options or LossOptions(), seed=7)


ERASE = PromptPair("circle", "circle", resolution_hw=(64, 64))


@pytest.mark.parametrize("action", ["erase", "enhance"])
@pytest.mark.parametrize("strength", [1.0, -0.5])
@pytest.mark.parametrize(("positive", "unconditional", "neutral"), [("circle", "", ""), ("round", "circle", "shape")])
def test_the_target_is_the_papers_formula(action, strength, positive, unconditional, neutral):
    pair = PromptPair(
        "circle", positive, unconditional, neutral, action, 1.5, (64, 64), batch_size=2, multiplier=strength, weight=3.0
    )
    stub = Stub()
    objective = concept(stub, pair)

    loss = objective.loss(objective.inputs(0, 0))

    offset = 1.5 * (SAID[PROMPTS[positive]] - SAID[PROMPTS[unconditional]])
    target = SAID[PROMPTS[neutral]] + (-offset if action == "erase" else offset)
    said = SAID[PROMPTS["circle"]] + strength * ADDED
    assert loss.loss.item() == pytest.approx(3.0 * (said - target) ** 2, rel=1e-5)
    loss.loss.backward()
    assert stub.weight.grad is not None
    assert stub.weight.grad.item() == pytest.approx(3.0 * 2 * (said - target) * strength, rel=1e-5)


def test_an_iteration_makes_the_calls_that_are_promised():
    pair = replace(ERASE, positive="round", neutral="shape", batch_size=3, multiplier=0.5)
    stub = Stub()
    objective = concept(stub, pair)
    inputs = objective.inputs(4, 0)
    steps = len(inputs.step_noises)

    objective.loss(inputs)

    *denoising, target, learned = stub.calls
    assert len(denoising) == steps
    assert [(call.prompts, call.strength, call.with_gradient) for call in denoising] == [
        ([0.0] * 3 + [1.0] * 3, 0.5, False)
    ] * steps
    assert [call.timestep for call in denoising] == spaced_timesteps(10)[:steps]
    assert (target.prompts, target.strength, target.with_gradient) == ([2.0] * 3 + [5.0] * 3 + [0.0] * 3, 0.0, False)
    assert (learned.prompts, learned.strength, learned.with_gradient) == ([1.0] * 3, 0.5, True)
    assert target.timestep == learned.timestep == 999 - steps * 100


def test_equal_prompts_are_asked_for_once_and_guidance_1_needs_no_second_half():
    stub = Stub()
    objective = concept(stub, ERASE, guidance=1.0)
    objective.loss(objective.inputs(0, 0))
    assert all(call.prompts == [1.0] for call in stub.calls[:-2])
    assert stub.calls[-2].prompts == [1.0, 0.0]


def test_denoising_with_guidance_is_the_ancestral_process():
    stub = Stub(strength=0.0)
    objective = concept(stub, ERASE, guidance=3.0)
    inputs = objective.inputs(1, 0)
    with torch.no_grad():
        ours = objective._denoised(inputs, ERASE)
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    bars = np.cumprod(1 - betas)
    said = SAID[0.0] + 3.0 * (SAID[1.0] - SAID[0.0])
    latents = inputs.latents.double().numpy()
    for place, noise in enumerate(inputs.step_noises.double().numpy()):
        t = 900 - 100 * place
        bar, before = bars[t], bars[t - 100]
        alpha = bar / before
        clean = (latents - np.sqrt(1 - bar) * said) / np.sqrt(bar)
        mean = np.sqrt(before) * (1 - alpha) / (1 - bar) * clean + np.sqrt(alpha) * (1 - before) / (1 - bar) * latents
        latents = mean + np.sqrt((1 - before) / (1 - bar) * (1 - alpha)) * noise
    assert ours.numpy() == pytest.approx(latents, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v"])
def test_an_ancestral_step_is_the_one_of_diffusers(prediction_type):
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="v_prediction" if prediction_type == "v" else "epsilon",
    )
    theirs.set_timesteps(20)
    assert theirs.timesteps.tolist() == spaced_timesteps(20)
    latents, prediction = torch.randn(2, 2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    for timestep, before in ((950, 900), (500, 450), (50, 0), (0, -50)):
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(5))
        expected = theirs.step(prediction, timestep, latents, generator=torch.Generator().manual_seed(5)).prev_sample
        schedule = NoiseSchedule.stable_diffusion()
        ours = ancestral_step(schedule, latents, prediction, noise, timestep, before, prediction_type)
        assert torch.allclose(ours, expected, atol=2e-4, rtol=1e-4), timestep


def test_draws_depend_on_the_number_alone_and_cover_everything():
    objective = concept(Stub(), ERASE)
    drawn = [objective.inputs(number, 0) for number in range(200)]
    again = objective.inputs(17, 99)
    assert torch.equal(again.latents, drawn[17].latents) and torch.equal(again.step_noises, drawn[17].step_noises)
    assert {len(inputs.step_noises) for inputs in drawn} == set(range(1, 10))
    assert {inputs.timestep for inputs in drawn} == {999 - 100 * steps for steps in range(1, 10)}


def test_dynamic_resolutions_are_between_half_the_side_and_the_side():
    pair = replace(ERASE, resolution_hw=(512, 512), dynamic_resolution=True)
    sizes = sizes_of(pair, 300)
    assert {height for height, _ in sizes} == {width for _, width in sizes} == {256, 320, 384, 448, 512}
    assert any(height != width for height, width in sizes)
    assert set(sizes_of(replace(pair, resolution_hw=(512, 768)), 20)) == {(512, 768)}


def sizes_of(pair: PromptPair, count: int) -> list[tuple[int, int]]:
    draws = concept(Stub(), pair).inputs
    shapes = [draws(number, 0).latents.shape for number in range(count)]
    return [(8 * height, 8 * width) for _, _, height, width in shapes]


def test_dynamic_crops_lie_inside_an_original_up_to_three_times_as_large():
    draws = concept(Stub(), replace(ERASE, resolution_hw=(128, 64), dynamic_crops=True, batch_size=2)).inputs
    seen = [draws(number, 0).sizes.tolist() for number in range(200)]
    for first, second in seen:
        assert first == second
        original_h, original_w, top, left, height, width = first
        assert (height, width) == (128, 64)
        assert 128 <= original_h <= 384 and 64 <= original_w <= 192
        assert 0 <= top <= original_h - height and 0 <= left <= original_w - width
    assert max(sizes[0][0] for sizes in seen) > 350
    assert concept(Stub(), ERASE).inputs(0, 0).sizes.tolist() == [[64, 64, 0, 0, 64, 64]]


def test_the_noise_offset_shifts_channels_of_the_start():
    plain = concept(Stub(), ERASE).inputs(3, 0).latents
    shifted = concept(Stub(), ERASE, options=LossOptions(noise_offset=0.5)).inputs(3, 0).latents
    difference = (shifted - plain)[0]
    assert difference.std(dim=(1, 2)).max() < 1e-6
    assert difference.mean(dim=(1, 2)).abs().min() > 1e-3


@pytest.mark.option("min_snr_gamma")
def test_min_snr_weighs_by_the_real_timestep():
    plain, weighed = Stub(), Stub()
    inputs = concept(plain, ERASE).inputs(2, 0)
    base = concept(plain, ERASE).loss(inputs).loss.item()
    ours = concept(weighed, ERASE, options=LossOptions(min_snr_gamma=5.0)).loss(inputs).loss.item()
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    bar = np.cumprod(1 - betas)[inputs.timestep]
    snr = bar / (1 - bar)
    assert ours / base == pytest.approx(min(snr, 5.0) / snr, rel=1e-4)
