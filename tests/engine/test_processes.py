import sys

import pytest
from accelerate.state import AcceleratorState
from several import run_several
from tanren.data.counting import count_steps
from tanren.engine.caching import crew_around
from tanren.engine.continuing import recounted
from tanren.engine.position import Position
from tanren.engine.together import joined
from tanren.errors import UsageError
from tanren.events import Report
from tanren.options.distributed import ORDINARY
from tanren.options.training import TrainingOptions


@pytest.fixture(autouse=True)
def fresh_accelerate():
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_a_single_process_agrees_with_itself():
    with joined(ORDINARY, Report(), give_up=print) as processes:
        assert (processes.index, processes.count, processes.is_main) == (0, 1, True)
        assert processes.agree({"stop"}) == {"stop"}
        assert processes.average_of([1.0, 2.0]) == 1.5
        assert processes.from_main("word") == "word"
        assert processes.gather("word") == ["word"]


def test_a_precision_in_accelerates_configuration_does_not_matter(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp8")

    with joined(ORDINARY, Report(), give_up=print) as processes:
        assert processes.count == 1


def test_a_count_of_processes_without_a_launcher_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")

    with pytest.raises(UsageError) as caught, joined(ORDINARY, Report(), give_up=print):
        pass

    assert str(caught.value).splitlines()[0] == (
        "WORLD_SIZE: It says that several processes train, but LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not set."
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end, and forks")
@pytest.mark.parametrize("folders", [("one", "one"), ("one", "another")], ids=["shared", "one of each machine"])
def test_a_cache_is_shared_out_among_those_who_see_the_same_folder(tmp_path, folders):
    def share(index):
        with joined(ORDINARY, Report(), give_up=print) as processes:
            crew = crew_around(tmp_path / folders[index], processes)
            return list(crew.share([1, 2, 3, 4]))

    assert run_several(share) == ([[1, 3], [2, 4]] if folders[1] == "one" else [[1, 2, 3, 4]] * 2)
    assert list(tmp_path.glob("*/.*")) == []


STEPS_OF_ONE = count_steps(8, max_train_steps=16, max_train_epochs=None)
STEPS_OF_TWO = count_steps(8, max_train_steps=16, max_train_epochs=None, processes=2)
EPOCHS_OF_ONE = count_steps(8, max_train_steps=1, max_train_epochs=4)
EPOCHS_OF_TWO = count_steps(8, max_train_steps=1, max_train_epochs=4, processes=2)


@pytest.mark.parametrize(
    ("position", "before", "now", "counts", "epochs", "found"),
    [
        pytest.param(Position(6, 1, 2), 2, 1, EPOCHS_OF_ONE, 4, Position(12, 1, 4), id="fewer, by epochs"),
        pytest.param(Position(12, 1, 4), 1, 2, EPOCHS_OF_TWO, 4, Position(6, 1, 2), id="more, by epochs"),
        pytest.param(Position(9, 1, 1), 1, 2, EPOCHS_OF_TWO, 4, Position(4, 1, 0), id="half an update, by epochs"),
        pytest.param(Position(4, 0, 4), 2, 1, EPOCHS_OF_ONE, 4, Position(8, 0, 8), id="end of an epoch"),
        pytest.param(Position(9, 2, 1), 2, 1, STEPS_OF_ONE, None, Position(9, 1, 1), id="fewer, by steps"),
        pytest.param(Position(9, 1, 1), 1, 2, STEPS_OF_TWO, None, Position(9, 2, 1), id="more, by steps"),
    ],
)
def test_a_position_is_counted_anew_for_another_number_of_processes(position, before, now, counts, epochs, found):
    assert recounted(position, before, now, counts, TrainingOptions(max_train_epochs=epochs)) == found
