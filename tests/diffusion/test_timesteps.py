from random import Random

from tanren.diffusion.timesteps import draw_timestep, timestep_range, validation_timesteps


def test_the_range_is_the_whole_schedule_unless_narrowed():
    assert timestep_range(None, None) == (0, 1000)
    assert timestep_range(200, 600) == (200, 600)


def test_draws_cover_the_range_without_its_upper_end():
    rng = Random(0)
    drawn = {draw_timestep(rng, 3, 7) for _ in range(200)}
    assert drawn == {3, 4, 5, 6}


def test_equal_limits_give_a_constant_timestep():
    assert draw_timestep(Random(0), 500, 500) == 500


def test_validation_measures_four_inner_timesteps():
    assert validation_timesteps(0, 1000) == (200, 400, 600, 800)
    assert validation_timesteps(0, 500) == (100, 200, 300, 400)
