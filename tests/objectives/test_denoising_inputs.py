import pickle

import pytest
import torch
from objectives.tiny_family import tiny_batch
from tanren.data.batch import TextStates
from tanren.objectives.denoising_inputs import InputDraws
from tanren.options.loss import LossOptions


def draws(seed=1, **options):
    return InputDraws(LossOptions(**options), seed, validation_seed=seed)


def row(inputs, index):
    return inputs.noise[index], inputs.timesteps[index]


def test_a_sample_draws_the_same_in_whatever_batch_it_comes():
    alone = draws()(tiny_batch([5]), step=3)
    together = draws()(tiny_batch([2, 5, 7]), step=9)
    assert torch.equal(alone.noise[0], together.noise[1])
    assert alone.timesteps[0] == together.timesteps[1]


def test_nothing_is_taken_from_the_global_stream():
    before = torch.random.get_rng_state()
    options = {"noise_offset": 0.1, "multires_noise_iterations": 3, "ip_noise_gamma": 0.1}
    draws(**options)(tiny_batch(pixels=True), step=0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_another_epoch_seed_or_image_draws_anew():
    first = draws()(tiny_batch([5]), step=0).noise
    assert not torch.equal(first, draws()(tiny_batch([6]), step=0).noise)
    assert not torch.equal(first, draws()(tiny_batch([5], epoch=1), step=0).noise)
    assert not torch.equal(first, draws(seed=2)(tiny_batch([5]), step=0).noise)


def test_the_purposes_have_noises_of_their_own():
    inputs = draws(ip_noise_gamma=1.0)(tiny_batch([1], pixels=True), step=0)
    assert not torch.equal(inputs.noise, inputs.input_noise)
    assert not torch.equal(inputs.noise, inputs.posterior_noise)


def test_timesteps_stay_in_the_range():
    inputs = draws(min_timestep=200, max_timestep=210)(tiny_batch(range(64)), step=0)
    assert inputs.timesteps.dtype is torch.int64
    assert set(inputs.timesteps.tolist()) == set(range(200, 210))


def test_offset_strength_is_fixed_or_one_draw_for_the_batch():
    assert draws(noise_offset=0.1)(tiny_batch(), step=0).shift_strength.item() == pytest.approx(0.1)
    random = draws(noise_offset=0.1, noise_offset_random_strength=True)
    strengths = [random(tiny_batch(), step=step).shift_strength for step in range(50)]
    assert all(strength.ndim == 0 and 0 <= strength <= 0.1 for strength in strengths)
    assert len({strength.item() for strength in strengths}) == 50


def test_offset_zero_is_off():
    assert draws(noise_offset=0.0)(tiny_batch(), step=0).channel_shift is None


def test_ip_noise_scales_with_its_gamma():
    weak = draws(ip_noise_gamma=0.1)(tiny_batch(), step=0).input_noise
    strong = draws(ip_noise_gamma=0.4)(tiny_batch(), step=0).input_noise
    torch.testing.assert_close(4 * weak, strong)


def test_random_ip_noise_is_at_most_its_gamma():
    full = draws(ip_noise_gamma=0.1)(tiny_batch(), step=4).input_noise
    part = draws(ip_noise_gamma=0.1, ip_noise_gamma_random_strength=True)(tiny_batch(), step=4).input_noise
    ratios = part / full
    assert 0 < ratios.mean().item() < 1
    torch.testing.assert_close(ratios, ratios.mean().expand_as(ratios), atol=1e-4, rtol=1e-4)


def test_posterior_noise_is_handed_on_when_pixels_are_encoded():
    assert draws()(tiny_batch(), step=0).posterior_noise is None
    batch = tiny_batch(pixels=True)
    inputs = draws()(batch, step=0)
    assert torch.equal(inputs.posterior_noise, batch.posterior_noise)
    assert inputs.noise.shape == (2, 4, 8, 8)


def test_a_mask_at_pixel_size_is_shrunk_by_area():
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :4] = 1
    inputs = draws()(tiny_batch([0], mask=mask), step=0)
    assert inputs.mask.shape == (1, 1, 8, 8)
    assert inputs.mask[0, 0, 0].tolist() == [0.5, 0, 0, 0, 0, 0, 0, 0]


def test_validation_draws_depend_on_picture_and_timestep_only():
    first = draws().validation(tiny_batch([3], epoch=0))
    later = draws().validation(tiny_batch([3], epoch=7))
    assert [inputs.timesteps.tolist() for inputs in first] == [[200], [400], [600], [800]]
    assert all(torch.equal(a.noise, b.noise) for a, b in zip(first, later, strict=True))
    assert not torch.equal(first[0].noise, first[1].noise)


def test_drawing_can_be_sent_to_another_process():
    copy = pickle.loads(pickle.dumps(draws(noise_offset=0.1)))
    assert torch.equal(copy(tiny_batch(), 3).noise, draws()(tiny_batch(), 3).noise)


def test_inputs_move_with_their_text_states():
    batch = tiny_batch()
    batch.text = TextStates(torch.ones(2, 3, 6), torch.ones(2, 6))
    moved = draws()(batch, 0).to(torch.device("meta"))
    assert {moved.noise.device.type, moved.text.hidden.device.type, moved.text.pooled.device.type} == {"meta"}
    assert moved.captions == ["picture 0", "picture 1"]


def test_sizes_of_the_samples_come_along_in_training_and_validation():
    batch = tiny_batch([1, 2])
    batch.original_hw, batch.crop_top_left = torch.tensor([[5, 6], [7, 8]]), torch.tensor([[1, 2], [3, 4]])
    wanted = [[5, 6, 1, 2, 64, 64], [7, 8, 3, 4, 64, 64]]

    assert draws()(batch, step=0).sizes.tolist() == wanted
    assert all(inputs.sizes.tolist() == wanted for inputs in draws().validation(batch))
