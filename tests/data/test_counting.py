"""How long a run is: the formulas of the data set's reference, row by row."""

import pytest
from tanren.data.counting import Counts, count_steps


@pytest.mark.parametrize(
    ("batches", "options", "counted"),
    [
        # S4's rule of thumb: pictures times repeats are the steps of an epoch at batch size 1.
        (120, {"max_train_epochs": 10}, Counts(120, 120, 120, 1200, 10)),
        (120, {}, Counts(120, 120, 120, 1600, 14)),
        (120, {"accumulation": 7}, Counts(120, 120, 18, 1600, 89)),
        (120, {"accumulation": 7, "max_train_epochs": 2}, Counts(120, 120, 18, 36, 2)),
        (121, {"processes": 2, "max_train_epochs": 3}, Counts(121, 61, 61, 183, 3)),
        (121, {"processes": 2, "accumulation": 4, "max_train_epochs": 3}, Counts(121, 61, 16, 48, 3)),
        (121, {"processes": 2, "accumulation": 4}, Counts(121, 61, 16, 1600, 100)),
        (3, {"accumulation": 8, "max_train_epochs": 5}, Counts(3, 3, 1, 5, 5)),
        # Epochs win over steps, which are 1600 when nothing is said.
        (10, {"max_train_steps": 5, "max_train_epochs": 1}, Counts(10, 10, 10, 10, 1)),
        (10, {"max_train_steps": 5}, Counts(10, 10, 10, 5, 1)),
        (10, {"max_train_steps": 11}, Counts(10, 10, 10, 11, 2)),
    ],
)
def test_lengths_of_runs(batches, options, counted):
    assert count_steps(batches, **{"max_train_steps": 1600, "max_train_epochs": None, **options}) == counted
