"""Gradients of two real processes become their mean, whichever way they travel."""

import sys

import pytest
import torch
from several import run_several
from tanren.engine.gradients import SharedGradients
from tanren.engine.processes import Processes
from tanren.engine.together import joined
from tanren.errors import UsageError
from tanren.events import Report
from tanren.options.distributed import ORDINARY
from torch import nn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end, and forks")
WAYS = [
    pytest.param({}, id="copied"),
    pytest.param({"as_views": True}, id="views", marks=pytest.mark.option("ddp_gradient_as_bucket_view")),
    pytest.param({"is_static": True}, id="static", marks=pytest.mark.option("ddp_static_graph")),
    pytest.param({"as_views": True, "is_static": True}, id="both"),
]


def in_two(work, dtypes=(torch.float32, torch.bfloat16, torch.float32, torch.float32), **how):
    """The work of each process, given four parameters of two numbers each and what shares their gradients."""

    def begin(index):
        with joined(ORDINARY, Report(), give_up=print) as processes:
            parameters = [nn.Parameter(torch.zeros(2, dtype=dtype)) for dtype in dtypes]
            return work(index, parameters, SharedGradients(parameters, processes, **how))

    return run_several(begin)


def backward(parameters, factors):
    """A gradient of each factor for its parameter, none where the factor is None."""
    for parameter, factor in zip(parameters, factors, strict=True):
        if factor is not None:
            (parameter * factor).sum().backward()


def grads(parameters):
    return [None if parameter.grad is None else parameter.grad.tolist() for parameter in parameters]


@pytest.mark.parametrize("how", WAYS)
def test_each_gradient_becomes_the_mean_and_nobodys_stays_none(how):
    """Parameter 0 has a gradient in both processes, 1 too and of another dtype, 2 in one of them, 3 in none."""

    def work(index, parameters, shared):
        seen = []
        for step in (1, 2):
            loss = torch.tensor(float(step + index))
            backward(parameters, [1.0, 4.0, None, None] if index else [3.0, 2.0, 8.0 * step, None])
            shared.average(loss)
            seen.append((loss.item(), grads(parameters)))
            shared.clear()
        return seen

    first = (1.5, [[2.0, 2.0], [3.0, 3.0], [4.0, 4.0], None])
    second = (2.5, [[2.0, 2.0], [3.0, 3.0], [8.0, 8.0], None])
    assert in_two(work, **how) == [[first, second]] * 2


def test_batches_of_one_update_add_up_before_they_are_sent():
    def work(index, parameters, shared):
        for _ in range(2):
            backward(parameters, [1.0 + index, None, None, None])
        shared.average(torch.zeros(()))
        return grads(parameters)[0]

    assert in_two(work) == in_two(work, as_views=True) == [[3.0, 3.0]] * 2


@pytest.mark.option("ddp_gradient_as_bucket_view")
def test_gradients_are_computed_in_the_memory_that_is_sent():
    def work(index, parameters, shared):
        places = []
        for _ in range(2):
            backward(parameters, [1.0] * 4)
            places.append([parameter.grad.data_ptr() for parameter in parameters])
            shared.average(torch.zeros(()))
            places.append([parameter.grad.data_ptr() for parameter in parameters])
            shared.clear()
        before, sent, again, still = places
        return before != sent, again == sent == still

    assert in_two(work, as_views=True) == [(True, True)] * 2
    assert in_two(work) == [(True, False)] * 2


@pytest.mark.option("ddp_static_graph")
def test_processes_ask_each_other_once_which_layers_learn():
    def work(index, parameters, shared):
        counts = []
        for _ in range(3):
            backward(parameters, [1.0] * 4)
            before = shared.processes.board.arrivals
            shared.average(torch.zeros(()))
            counts.append(shared.processes.board.arrivals - before)
            shared.clear()
        return counts

    # One message per dtype, and one more that asks.
    assert in_two(work, is_static=True) == [[3, 2, 2]] * 2
    assert in_two(work) == [[3, 3, 3]] * 2


@pytest.mark.option("ddp_static_graph")
def test_a_layer_that_begins_to_learn_later_is_refused():
    def work(index, parameters, shared):
        backward(parameters, [1.0, None, None, None])
        shared.average(torch.zeros(()))
        shared.clear()
        backward(parameters, [1.0, 1.0, None, None])
        shared.average(torch.zeros(()))

    for raised in in_two(work, is_static=True):
        assert raised.kind is UsageError
        assert "--ddp_static_graph: 1 tensors have a gradient now that had none in the first update." in raised.text


def test_a_single_process_keeps_its_gradients_and_clears_them():
    parameter = nn.Parameter(torch.zeros(2))
    shared = SharedGradients([parameter], Processes(torch.device("cpu")), as_views=True, is_static=True)
    parameter.sum().backward()
    mine = parameter.grad

    shared.average(torch.tensor(1.0))

    assert parameter.grad is mine
    shared.clear()
    assert parameter.grad is None
