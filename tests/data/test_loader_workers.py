"""Which processes prepare the batches, as `--max_data_loader_n_workers` and `--persistent_data_loader_workers` say."""

import os
import time

import pytest
from small_datasets import dataset, noise_picture, plan, subset


class PreparedBy:
    """A prepare function that tells its process; slow enough that one worker does not do everything."""

    def __call__(self, batch, number):
        time.sleep(0.1)
        return os.getpid()


def preparers(folder, epochs=2, **options):
    """The processes that prepared the eight batches of each epoch."""
    for number in range(8):
        noise_picture(folder / f"{number}.png", text="a")
    data = dataset(plan(subset(folder)), **options)
    found = [set(data.loader(epoch, prepare=PreparedBy())) for epoch in range(epochs)]
    data.close()
    return found


@pytest.mark.option("max_data_loader_n_workers")
def test_without_workers_the_trainer_prepares_batches_itself(tmp_path):
    assert preparers(tmp_path, epochs=1, max_data_loader_n_workers=0) == [{os.getpid()}]


@pytest.mark.option("max_data_loader_n_workers")
@pytest.mark.parametrize(("cores", "used"), [(8, 2), (1, 1)])
def test_that_many_processes_prepare_batches_but_no_more_than_there_are_cores(tmp_path, monkeypatch, cores, used):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)

    (found,) = preparers(tmp_path, epochs=1, max_data_loader_n_workers=2)

    assert len(found) == used
    assert os.getpid() not in found


@pytest.mark.option("persistent_data_loader_workers")
def test_the_processes_of_an_epoch_end_with_it_unless_they_are_to_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    options = {"max_data_loader_n_workers": 2}

    first, second = preparers(tmp_path, **options)
    assert first.isdisjoint(second)

    first, second = preparers(tmp_path, persistent_data_loader_workers=True, **options)
    assert first == second
