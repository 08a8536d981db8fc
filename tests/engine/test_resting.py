"""Where text encoders and VAE wait while the U-Net learns."""

import pytest
import torch
from tanren.engine.resting import MAIN_MEMORY, NOWHERE, WHERE_IT_IS, Resting, resting_place
from tanren.options.model import ModelOptions
from torch import nn

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.option("lowram", "highvram")
@pytest.mark.parametrize(
    ("options", "device", "draws_pictures", "place"),
    [
        ({}, GPU, True, MAIN_MEMORY),
        ({"lowram": True}, GPU, True, WHERE_IT_IS),
        ({"highvram": True}, GPU, True, WHERE_IT_IS),
        ({}, CPU, True, WHERE_IT_IS),
        ({}, GPU, False, NOWHERE),
        ({}, CPU, False, NOWHERE),
        ({"lowram": True}, GPU, False, NOWHERE),
        ({"highvram": True}, GPU, False, NOWHERE),
    ],
)
def test_parts_wait_where_memory_is_to_spare(options, device, draws_pictures, place):
    assert resting_place(ModelOptions(**options), device, draws_pictures=draws_pictures) == place


def places(part):
    return {parameter.device.type for parameter in part.parameters()}


def test_a_waiting_part_is_on_the_device_while_pictures_are_drawn():
    # The meta device stands for a GPU: it is another place, and has no numbers.
    resting, part = Resting(ModelOptions(), torch.device("meta"), draws_pictures=True), nn.Linear(2, 2)
    resting.put(part)
    assert places(part) == {"cpu"}

    with pytest.raises(NotImplementedError), resting.at_hand():
        assert places(part) == {"meta"}


@pytest.mark.parametrize("options", [{"lowram": True}, {"highvram": True}])
def test_a_part_that_stays_is_not_moved(options):
    resting, part = Resting(ModelOptions(**options), GPU, draws_pictures=True), nn.Linear(2, 2)

    resting.put(part)

    assert places(part) == {"cpu"}
    with resting.at_hand():
        assert places(part) == {"cpu"}


def test_a_part_that_nobody_needs_gives_its_memory_back():
    resting, part = Resting(ModelOptions(), CPU, draws_pictures=False), nn.Linear(2, 2)

    resting.put(part)

    assert places(part) == {"meta"}
    assert resting.parts == []


@pytest.mark.option("highvram")
@pytest.mark.parametrize(("options", "times"), [({}, 1), ({"highvram": True}, 0)])
def test_memory_that_falls_free_is_given_back_unless_there_is_plenty(monkeypatch, options, times):
    freed = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(True))

    Resting(ModelOptions(**options), GPU, draws_pictures=False).put(nn.Linear(2, 2))

    assert len(freed) == times
