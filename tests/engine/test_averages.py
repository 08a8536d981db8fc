import pytest
from tanren.engine.averages import FiniteWatch, LossAverage
from tanren.errors import NumericError


def test_the_average_covers_the_last_epochs_worth_of_steps():
    average = LossAverage()
    for step, loss in enumerate([4.0, 2.0]):
        average.add(epoch=0, step_in_epoch=step, loss=loss)
    assert average.value == 3.0

    average.add(epoch=1, step_in_epoch=0, loss=1.0)

    assert average.value == 1.5


def test_the_average_goes_on_after_a_resume_with_the_same_digits():
    first = LossAverage()
    for step in range(7):
        first.add(epoch=0, step_in_epoch=step, loss=0.1 * step)
    second = LossAverage()
    second.restore(first.state())

    first.add(epoch=1, step_in_epoch=3, loss=0.7)
    second.add(epoch=1, step_in_epoch=3, loss=0.7)

    assert second.value == first.value


@pytest.mark.rule("flt-05")
def test_three_broken_steps_in_a_row_end_the_run_and_name_the_last_good_file():
    watch = FiniteWatch()
    watch.add(step=1, finite=True, last_good=None)
    watch.add(step=2, finite=False, last_good=None)
    watch.add(step=3, finite=False, last_good=None)

    with pytest.raises(NumericError, match="not a number any more") as caught:
        watch.add(step=4, finite=False, last_good="out/moon-step00000002.safetensors")

    assert caught.value.code == 7
    assert "moon-step00000002" in caught.value.fix


@pytest.mark.rule("flt-05")
def test_ten_broken_steps_within_a_thousand_end_the_run():
    watch = FiniteWatch()
    with pytest.raises(NumericError):
        for step in range(40):
            watch.add(step=step, finite=step % 4 != 0, last_good=None)
    assert watch.skipped == 10


def test_a_few_broken_steps_are_only_counted():
    watch = FiniteWatch()
    for step in range(40):
        watch.add(step=step, finite=step % 5 != 0, last_good=None)
    assert watch.skipped == 8
