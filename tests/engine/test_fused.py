"""Updates made while gradients are computed."""

import pytest
import torch
from objectives.tiny_family import tiny_batch, tiny_model, tiny_network
from tanren.engine.fused import FusedStep, check_fused
from tanren.engine.optimizers import make_optimizer
from tanren.engine.precision import Precision
from tanren.engine.processes import Processes
from tanren.engine.step import TrainingStep
from tanren.errors import UsageError
from tanren.events import Report
from tanren.networks.base import LearningRates
from tanren.objectives.denoising import Denoising
from tanren.options.loss import LossOptions
from tanren.options.optimizer import OptimizerOptions
from tanren.options.spec import Settings

CPU = torch.device("cpu")
FIXED = ("relative_step=False", "scale_parameter=False", "warmup_init=False")


class NoScheduler:
    def step(self):
        pass


def make_step(kind, *, max_grad_norm=0.0, arguments=FIXED):
    model = tiny_model()
    network = tiny_network(model)
    options = OptimizerOptions(optimizer_type="Adafactor", optimizer_args=arguments, learning_rate=0.01)
    optimizer = make_optimizer(network.parameter_groups(LearningRates(0.01)), options, Report()).optimizer
    precision = Precision("no", torch.float32, torch.float32, CPU)
    return kind(
        Denoising(model, network, LossOptions(), seed=7),
        network,
        optimizer,
        NoScheduler(),
        precision.make_scaler(),
        precision,
        Processes(CPU),
        seed=7,
        max_grad_norm=max_grad_norm,
        scale_weight_norms=None,
    )


def run(step, steps=4):
    return [step([step.objective.inputs(tiny_batch((0, 1)), number)], number) for number in range(steps)]


def weights(step):
    return [parameter.detach().clone() for parameter in step.parameters]


@pytest.mark.option("fused_backward_pass")
@pytest.mark.parametrize("arguments", [FIXED, ("beta1=0.9", "weight_decay=0.01", *FIXED), ()])
def test_the_weights_are_bit_by_bit_those_of_ordinary_updates(arguments):
    fused, ordinary = make_step(FusedStep, arguments=arguments), make_step(TrainingStep, arguments=arguments)

    ours, theirs = run(fused), run(ordinary)

    assert all(torch.equal(one, other) for one, other in zip(weights(fused), weights(ordinary), strict=True))
    assert [float(one.loss) for one in ours] == [float(one.loss) for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad_norm, other.grad_norm)
        assert bool(one.finite) and not bool(one.overflow)


@pytest.mark.option("fused_backward_pass")
def test_at_most_one_gradient_exists_at_a_time_and_none_afterwards():
    step = make_step(FusedStep)
    held = []
    update = step.optimizer.step
    step.optimizer.step = lambda: (
        held.append(sum(p.grad.numel() for p in step.parameters if p.grad is not None)) or update()
    )

    run(step, steps=1)

    assert len(held) == len(step.parameters)
    assert max(held) == max(parameter.numel() for parameter in step.parameters)
    assert all(parameter.grad is None for parameter in step.parameters)


def test_each_weights_gradient_is_limited_by_itself():
    step = make_step(FusedStep, max_grad_norm=1e-3)
    norms = []
    update = step.optimizer.step
    step.optimizer.step = lambda: (
        norms.extend(float(p.grad.norm()) for p in step.parameters if p.grad is not None) or update()
    )

    (told,) = run(step, steps=1)

    assert norms == pytest.approx([1e-3] * len(step.parameters), rel=1e-2)
    assert float(told.grad_norm) > 1e-2


@pytest.mark.rule("flt-05")
def test_a_weight_whose_gradient_is_not_finite_stays_and_the_step_is_told():
    step = make_step(FusedStep)
    before = weights(step)
    step.parameters[0].register_hook(lambda gradient: gradient * float("nan"))

    (told,) = run(step, steps=1)

    assert not bool(told.finite)
    after = weights(step)
    assert torch.equal(after[0], before[0])
    assert not torch.equal(after[1], before[1])
    assert all(parameter.isfinite().all() for parameter in after)


@pytest.mark.rule("flt-05")
def test_a_loss_that_is_not_finite_changes_nothing():
    step = make_step(FusedStep)
    before = weights(step)
    inputs = step.objective.inputs(tiny_batch((0, 1)), 0)
    inputs.latents.fill_(float("nan"))

    told = step([inputs], 0)

    assert not bool(told.finite)
    assert all(torch.equal(one, other) for one, other in zip(weights(step), before, strict=True))
    assert step.optimizer.state_dict()["state"] == {}


def test_several_processes_are_refused():
    settings = Settings("train_network", [OptimizerOptions(fused_backward_pass=True)])

    with pytest.raises(UsageError) as caught:
        check_fused(settings, Processes(CPU, 0, 2))

    assert caught.value.what == "It works in one process, and 2 train together."
    check_fused(settings, Processes(CPU))
