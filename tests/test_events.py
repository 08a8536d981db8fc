"""Requests that come in while nothing can be saved yet."""

import pytest
from tanren.errors import StoppedOnRequest
from tanren.events import Report


def test_a_stop_before_the_training_ends_the_phase_at_once():
    report = Report(asked=lambda: {"stop"})

    with report.phase("cache latents", 3) as phase, pytest.raises(StoppedOnRequest, match="nothing new was learnt"):
        phase.advance()


def test_a_stop_while_samples_are_drawn_waits_for_the_loop_that_saves():
    requests = [{"stop", "save"}, set()]
    report = Report(asked=lambda: requests.pop(0))

    with report.phase("sample", 3) as phase:
        phase.advance()
        assert report.is_asked_to_stop()
    assert report.asked() == {"stop", "save"}
