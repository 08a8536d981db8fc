import pytest
from accelerate.state import AcceleratorState
from tanren.engine.processes import refuse_several
from tanren.engine.together import joined
from tanren.errors import UsageError
from tanren.events import Report
from tanren.options.distributed import ORDINARY


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
        refuse_several(processes, "something", "it cannot be shared")


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
