import pytest
import torch
from accelerate.state import AcceleratorState
from tanren.engine.processes import Processes, start_processes
from tanren.options.training import TrainingOptions

FLOAT, HALF = torch.float32, torch.bfloat16


@pytest.mark.parametrize("order", [(FLOAT, HALF), (HALF, FLOAT)])
def test_every_process_sends_its_messages_in_the_order_of_the_tensors(order, monkeypatch):
    sent = []
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda flat: sent.append(flat.dtype))
    tensors = [torch.ones(2, dtype=dtype) for dtype in (*order, *order)]

    Processes(torch.device("cpu"), index=0, count=2).average(tensors)

    assert tuple(sent) == order
    assert all(torch.equal(tensor, torch.full_like(tensor, 0.5)) for tensor in tensors)


def test_a_precision_in_accelerates_configuration_does_not_matter(monkeypatch):
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp8")

    assert start_processes(TrainingOptions()).count == 1

    AcceleratorState._reset_state(reset_partial_state=True)
