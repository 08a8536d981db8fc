import math

import pytest
import torch
from tanren.diffusion.losses import compare, huber_table, weight_table
from tanren.diffusion.schedules import NoiseSchedule
from tanren.options.loss import LossOptions

TIMESTEPS = [0, 100, 250, 500, 900, 999]


@pytest.fixture(scope="module")
def schedule():
    return NoiseSchedule.stable_diffusion()


def rows(table):
    return [f"{value:.6f}" for value in table[TIMESTEPS].tolist()]


def test_no_option_weighs_every_timestep_alike(schedule):
    assert torch.equal(weight_table(LossOptions(), schedule, "epsilon"), torch.ones(1000))


def test_min_snr_for_noise(schedule):
    weights = weight_table(LossOptions(min_snr_gamma=5), schedule, "epsilon")
    assert rows(weights) == ["0.004254", "0.591443", "1.000000", "1.000000", "1.000000", "1.000000"]


def test_min_snr_for_velocity(schedule):
    weights = weight_table(LossOptions(min_snr_gamma=5), schedule, "v")
    assert rows(weights) == ["0.004250", "0.528883", "0.673793", "0.276333", "0.014151", "0.004660"]


def test_debiased_estimation_for_noise(schedule):
    weights = weight_table(LossOptions(debiased_estimation_loss=True), schedule, "epsilon")
    assert rows(weights) == ["0.031623", "0.343931", "0.695799", "1.618279", "8.346597", "14.614641"]


def test_debiased_estimation_for_velocity(schedule):
    weights = weight_table(LossOptions(debiased_estimation_loss=True), schedule, "v")
    assert rows(weights) == ["0.000999", "0.105777", "0.326207", "0.723667", "0.985849", "0.995340"]


def test_velocity_loss_scaled_like_a_noise_loss(schedule):
    weights = weight_table(LossOptions(scale_v_pred_loss_like_noise_pred=True), schedule, "v")
    assert rows(weights) == ["0.999001", "0.894223", "0.673793", "0.276333", "0.014151", "0.004660"]


def test_velocity_like_loss_adds_the_loss_over_the_velocity_scale(schedule):
    weights = weight_table(LossOptions(v_pred_like_loss=0.5), schedule, "epsilon")
    snr = schedule.snr[500].item()
    assert math.isclose(weights[500].item(), 1 + 0.5 * (snr + 1) / snr, rel_tol=1e-6)


def test_factors_multiply(schedule):
    both = weight_table(LossOptions(min_snr_gamma=5, debiased_estimation_loss=True), schedule, "epsilon")
    assert math.isclose(both[100].item(), 0.591443 * 0.343931, rel_tol=1e-5)


def test_huber_threshold_by_snr(schedule):
    table = huber_table(LossOptions(loss_type="huber"), schedule)
    assert rows(table) == ["0.949710", "0.598297", "0.412964", "0.231284", "0.110302", "0.103691"]


def test_huber_scale_does_not_act_on_the_snr_schedule(schedule):
    assert torch.equal(huber_table(LossOptions(huber_scale=3), schedule), huber_table(LossOptions(), schedule))


def test_huber_threshold_falls_exponentially(schedule):
    table = huber_table(LossOptions(huber_schedule="exponential", huber_c=0.1, huber_scale=2), schedule)
    assert rows(table)[::5] == ["2.000000", f"{2 * 0.1**0.999:.6f}"]


def test_huber_threshold_stays_constant(schedule):
    table = huber_table(LossOptions(huber_schedule="constant", huber_c=0.2, huber_scale=2), schedule)
    assert torch.equal(table, torch.full((1000,), 0.4))


def test_huber_threshold_is_finite_at_zero_terminal_snr(schedule):
    table = huber_table(LossOptions(), schedule.zero_terminal_snr())
    assert math.isclose(table[999].item(), 0.1, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("loss_type", "expected"),
    [("l2", 4.0), ("l1", 2.0), ("huber", 1.5615528), ("smooth_l1", 3.1231056)],
)
def test_each_kind_of_loss_at_a_difference_of_two(loss_type, expected):
    c = torch.tensor([0.5])
    loss = compare(torch.full((1, 1, 1, 1), 3.0), torch.ones(1, 1, 1, 1), loss_type, c)
    assert math.isclose(loss.item(), expected, rel_tol=1e-6)


def test_small_differences_make_smooth_l1_a_parabola_and_large_ones_a_line():
    c = torch.tensor([1.0])
    small = compare(torch.full((1, 1, 1, 1), 1e-2), torch.zeros(1, 1, 1, 1), "smooth_l1", c).item()
    large = compare(torch.full((1, 1, 1, 1), 1e3), torch.zeros(1, 1, 1, 1), "smooth_l1", c).item()
    assert math.isclose(small, 1e-4, rel_tol=1e-2)
    assert math.isclose(large, 2e3, rel_tol=1e-2)


def test_each_sample_has_its_own_threshold():
    loss = compare(torch.ones(2, 1, 1, 1), torch.zeros(2, 1, 1, 1), "huber", torch.tensor([0.5, 1.0])).flatten()
    assert [round(value, 6) for value in loss.tolist()] == [0.618034, 0.828427]


def test_losses_are_computed_in_float32():
    half = torch.full((1, 1, 1, 1), 300.0, dtype=torch.float16)
    assert compare(half, torch.zeros_like(half), "l2", torch.ones(1)).item() == 90000.0
