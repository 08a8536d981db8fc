import numpy as np
import pytest
import torch
from tanren.diffusion.linear_multistep import LinearMultistep, multistep_weights
from tanren.diffusion.samplers import KNOWN, make_sampler, takes_generator
from tanren.diffusion.schedules import NoiseSchedule
from tanren.options.sampling import SamplingOptions
from tanren.options.spec import options_of

ANCESTRAL = ("euler_a", "dpm_2_a")
# What numpy 2 says about torch's array protocol, from inside diffusers.
pytestmark = pytest.mark.filterwarnings("ignore:__array")


def run(name, prediction_type="epsilon", steps=12, picture=0.4):
    """Sample from a model that knows the only picture there is: every clean latent is `picture`."""
    schedule = NoiseSchedule.stable_diffusion()
    sampler = make_sampler(name, prediction_type)
    sampler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 4, 8, 8, generator=generator) * sampler.init_noise_sigma
    clean = torch.full_like(latents, picture)
    for timestep in sampler.timesteps:
        given = sampler.scale_model_input(latents, timestep)
        # Samplers with fractional timesteps mix noise for points between two entries of the table.
        position = np.interp(float(timestep), np.arange(1000), np.arange(1000))
        sigmas = (schedule.spread / schedule.signal).numpy()
        sigma = float(np.interp(position, np.arange(1000), sigmas))
        signal, spread = 1 / (sigma**2 + 1) ** 0.5, sigma / (sigma**2 + 1) ** 0.5
        noise = (given - signal * clean) / spread
        says = noise if prediction_type == "epsilon" else signal * noise - spread * clean
        extra = {"generator": generator} if takes_generator(sampler) else {}
        latents = sampler.step(says, timestep, latents, **extra).prev_sample
    return latents


def test_the_command_line_knows_exactly_these_names():
    choices = next(option for option in options_of(SamplingOptions) if option.name == "sample_sampler").text.choices
    assert set(choices) == set(KNOWN)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v"])
@pytest.mark.parametrize("name", KNOWN)
def test_every_sampler_arrives_at_what_the_model_says(name, prediction_type):
    # The second-order kinds stop a little before the end of the schedule.
    assert (run(name, prediction_type) - 0.4).abs().mean().item() < 0.08


@pytest.mark.parametrize("name", ANCESTRAL)
def test_ancestral_noise_comes_from_the_generator_alone(name):
    before = torch.random.get_rng_state()
    first = run(name)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(5)
    assert torch.equal(first, run(name))


@pytest.mark.parametrize("name", KNOWN)
def test_latents_far_from_zero_are_not_cut(name):
    assert run(name, picture=2.0).mean().item() > 1.8


def test_multistep_weights_integrate_lagrange_polynomials():
    sigmas = [14.6, 9.7, 6.2, 3.9, 2.4, 0.0]
    nodes, node_weights = np.polynomial.legendre.leggauss(4)
    for step, order in ((0, 1), (1, 2), (2, 3), (4, 4)):
        low, high = sigmas[step], sigmas[step + 1]
        points = (high - low) / 2 * nodes + (high + low) / 2
        past = [sigmas[step - back] for back in range(order)]
        expected = []
        for own in past:
            basis = np.prod([(points - other) / (own - other) for other in past if other != own], axis=0)
            expected.append((high - low) / 2 * float(np.sum(node_weights * basis)))
        np.testing.assert_allclose(multistep_weights(sigmas, step, order), expected, rtol=1e-9)


def test_multistep_weights_sum_to_the_step():
    sigmas = [14.6, 9.7, 6.2, 3.9, 2.4, 0.0]
    assert sum(multistep_weights(sigmas, 3, 4)) == pytest.approx(2.4 - 3.9)


def test_linear_multistep_starts_from_the_schedules_last_sigma():
    sampler = LinearMultistep("epsilon")
    sampler.set_timesteps(10)
    assert sampler.timesteps[[0, -1]].tolist() == [999, 0]
    assert sampler.init_noise_sigma == pytest.approx(14.6146, abs=1e-3)
    assert sampler.sigmas[-1] == 0.0
