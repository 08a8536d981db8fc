import math

import torch
from tanren.diffusion.noise import normal, pyramid_noise, pyramid_sizes, shift_channels


def test_noise_depends_on_all_bits_of_the_seed_and_on_nothing_else():
    torch.manual_seed(1)
    first = normal(7, (4, 8, 8))
    torch.manual_seed(2)
    assert torch.equal(first, normal(7, (4, 8, 8)))
    assert not torch.equal(first, normal(7 + 2**32, (4, 8, 8)))
    assert first.dtype is torch.float32


def test_noise_of_a_known_seed_is_frozen():
    # A change of these numbers changes every run of every user.
    assert [f"{value:.5f}" for value in normal(2026, (4,)).tolist()] == ["0.39089", "0.72470", "0.56768", "0.65172"]


def test_noise_is_standard_normal():
    sample = normal(3, (100_000,))
    assert abs(sample.mean().item()) < 0.02
    assert abs(sample.std().item() - 1) < 0.02


def test_pyramid_levels_shrink_by_powers_of_their_ratio():
    assert pyramid_sizes(64, 48, [3.0, 2.0, 4.0]) == [(64, 48), (32, 24), (4, 3)]


def test_the_pyramid_ends_with_the_first_side_of_one_cell():
    assert pyramid_sizes(8, 32, [2.0, 2.0, 2.0, 2.0, 2.0]) == [(8, 32), (4, 16), (2, 8), (1, 4)]


def test_a_pyramid_of_one_level_is_a_second_noise_of_full_size():
    assert torch.equal(pyramid_noise(5, (4, 8, 8), [2.5], 0.3), normal(5, (4 * 64,)).view(4, 8, 8))


def test_each_level_counts_discount_to_its_power():
    # Two levels on a picture of 2 x 2 cells: the second is a single number per channel.
    numbers = normal(9, (2 * 5,))
    full, single = numbers[:8].view(2, 2, 2), numbers[8:].view(2, 1, 1)
    torch.testing.assert_close(pyramid_noise(9, (2, 2, 2), [2.0, 2.0], 0.3), full + 0.3 * single)


def test_coarse_levels_are_stretched_bilinearly():
    # A level of 1 x 2 cells on 2 x 4: half-pixel centres put 0.25 and 0.75 between the two numbers.
    numbers = normal(4, (8 + 2,))
    a, b = numbers[8:].tolist()
    row = torch.tensor([a, 0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b, b])
    expected = numbers[:8].view(1, 2, 4) + row * 0.5
    torch.testing.assert_close(pyramid_noise(4, (1, 2, 4), [2.0, 2.0], 0.5), expected)


def test_offset_moves_each_channel_of_each_sample_as_a_whole():
    noise, latents = torch.zeros(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    shift = torch.tensor([1.0, -2.0, 3.0, 0.5, 0.0, -1.0]).view(2, 3, 1, 1)
    moved = shift_channels(noise, shift, torch.tensor(0.1), latents, None)
    assert torch.equal(moved, (0.1 * shift).expand(2, 3, 4, 4))


def test_adaptive_offset_adds_the_size_of_the_channel_mean():
    latents = torch.full((1, 2, 2, 2), -0.5)
    latents[:, 1] = 0.25
    moved = shift_channels(torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 1, 1), torch.tensor(0.1), latents, 0.2)
    assert [round(value, 6) for value in moved[0, :, 0, 0].tolist()] == [0.2, 0.15]


def test_adaptive_offset_is_never_negative():
    latents = torch.full((1, 1, 2, 2), 2.0)
    moved = shift_channels(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 1, 1), torch.tensor(0.1), latents, -0.2)
    assert math.isclose(moved.abs().max().item(), 0.0)
