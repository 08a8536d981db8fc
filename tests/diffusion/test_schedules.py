import math

import pytest
import torch
from diffusers import DDPMScheduler
from tanren.diffusion.schedules import NoiseSchedule

TIMESTEPS = [0, 100, 250, 500, 900, 999]


@pytest.fixture(scope="module")
def schedule():
    return NoiseSchedule.stable_diffusion()


def in_plain_python():
    """Cumulative alphas with Python's floats only."""
    product, alphas = 1.0, []
    for i in range(1000):
        root = math.sqrt(0.00085) + (math.sqrt(0.012) - math.sqrt(0.00085)) * i / 999
        product *= 1 - root * root
        alphas.append(product)
    return alphas


def test_the_share_of_signal_is_the_published_one(schedule):
    shown = [f"{value:.6f}" for value in schedule.alphas_cumprod[TIMESTEPS].tolist()]
    assert shown == ["0.999150", "0.894223", "0.673793", "0.276333", "0.014151", "0.004660"]


def test_snr_is_the_published_one(schedule):
    shown = [f"{value:.6f}" for value in schedule.snr[TIMESTEPS[1:]].tolist()]
    assert shown == ["8.453894", "2.065535", "0.381850", "0.014354", "0.004682"]
    assert f"{schedule.snr[0].item():.4f}" == "1175.4706"


def test_the_table_equals_a_plain_computation(schedule):
    expected = torch.tensor(in_plain_python(), dtype=torch.float64).float()
    torch.testing.assert_close(schedule.alphas_cumprod, expected, atol=0, rtol=2e-7)


def test_noising_and_velocity_equal_those_of_diffusers(schedule):
    peer = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
    generator = torch.Generator().manual_seed(1)
    latents, noise = torch.randn(2, 6, 4, 8, 8, generator=generator)
    timesteps = torch.tensor(TIMESTEPS)
    torch.testing.assert_close(
        schedule.add_noise(latents, noise, timesteps), peer.add_noise(latents, noise, timesteps), atol=2e-6, rtol=2e-5
    )
    torch.testing.assert_close(
        schedule.velocity(latents, noise, timesteps), peer.get_velocity(latents, noise, timesteps), atol=2e-6, rtol=2e-5
    )


def test_zero_terminal_snr_ends_in_pure_noise(schedule):
    shifted = schedule.zero_terminal_snr()
    assert [f"{value:.6f}" for value in shifted.alphas_cumprod[[0, 500, 999]].tolist()] == [
        "0.999150",
        "0.241019",
        "0.000000",
    ]
    latents, noise = torch.ones(1, 4, 2, 2), torch.full((1, 4, 2, 2), 0.5)
    assert torch.equal(shifted.add_noise(latents, noise, torch.tensor([999])), noise)
    assert torch.equal(shifted.velocity(latents, noise, torch.tensor([999])), -latents)


def test_zero_terminal_snr_equals_diffusers_rescaling(schedule):
    peer = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", rescale_betas_zero_snr=True)
    torch.testing.assert_close(schedule.zero_terminal_snr().alphas_cumprod, peer.alphas_cumprod, atol=2e-6, rtol=0)


def test_zero_terminal_snr_leaves_the_snr_of_loss_weights_alone(schedule):
    assert torch.equal(schedule.zero_terminal_snr().snr, schedule.snr)
