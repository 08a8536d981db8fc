import pytest
import torch
from objectives.tiny_family import tiny_batch, tiny_model, tiny_network
from tanren.engine.precision import LossScaler, Precision
from tanren.engine.processes import Processes
from tanren.engine.readback import Readback
from tanren.engine.step import TrainingStep
from tanren.networks.base import LearningRates
from tanren.objectives.denoising import Denoising
from tanren.options.loss import LossOptions
from torch.utils._python_dispatch import TorchDispatchMode

CPU = torch.device("cpu")


class NoScheduler:
    def step(self):
        pass


def make_step(*, max_grad_norm=1.0, scale_weight_norms=None, skips_on_device=False, lr=0.1):
    model = tiny_model()
    network = tiny_network(model)
    objective = Denoising(model, network, LossOptions(), seed=7)
    groups = network.parameter_groups(LearningRates(lr))
    precision = Precision("no", torch.float32, torch.float32, CPU)
    optimizer = torch.optim.AdamW([{"params": group.params, "lr": lr} for group in groups], fused=True)
    step = TrainingStep(
        objective,
        network,
        optimizer,
        NoScheduler(),
        precision.make_scaler(),
        precision,
        Processes(CPU),
        seed=7,
        max_grad_norm=max_grad_norm,
        scale_weight_norms=scale_weight_norms,
    )
    step.skips_on_device = skips_on_device
    return step


def inputs_of(step, images, number=0):
    return step.objective.inputs(tiny_batch(images), number)


def weights(step):
    return torch.cat([parameter.detach().flatten().clone() for parameter in step.parameters])


def broken(inputs):
    inputs.latents.fill_(float("nan"))
    return inputs


def test_two_micro_batches_give_the_gradient_of_one_twice_as_large():
    together, apart = make_step(max_grad_norm=0), make_step(max_grad_norm=0)

    one = together([inputs_of(together, (0, 1, 2, 3))], 0)
    two = apart([inputs_of(apart, (0, 1)), inputs_of(apart, (2, 3))], 0)

    torch.testing.assert_close(one.grad_norm, two.grad_norm)
    torch.testing.assert_close(weights(together), weights(apart))


@pytest.mark.option("max_grad_norm")
def test_the_gradient_is_clipped_to_the_norm_and_reported_before():
    step = make_step(max_grad_norm=1e-3)
    seen = {}
    update = step.optimizer.step
    step.optimizer.step = lambda: (
        seen.update(norm=torch.nn.utils.get_total_norm([p.grad for p in step.parameters])) or update()
    )

    reported = step([inputs_of(step, (0, 1))], 0).grad_norm

    assert float(reported) > 1e-3
    torch.testing.assert_close(seen["norm"], torch.tensor(1e-3), rtol=1e-3, atol=0)


@pytest.mark.rule("flt-05")
@pytest.mark.parametrize("skips_on_device", [False, True])
def test_a_step_without_a_finite_loss_changes_nothing(skips_on_device):
    step = make_step(skips_on_device=skips_on_device)
    step([inputs_of(step, (0, 1))], 0)
    before = weights(step)
    moments = [state["exp_avg"].clone() for state in step.optimizer.state.values()]

    outcome = step([broken(inputs_of(step, (2, 3)))], 1)

    assert not bool(outcome.finite)
    assert torch.equal(weights(step), before)
    assert all(
        torch.equal(state["exp_avg"], old) for state, old in zip(step.optimizer.state.values(), moments, strict=True)
    )


@pytest.mark.rule("flt-05")
@pytest.mark.parametrize("skips_on_device", [False, True])
def test_training_goes_on_after_a_skipped_step_as_if_it_had_not_been(skips_on_device):
    broken_once, smooth = make_step(skips_on_device=skips_on_device), make_step()
    broken_once([broken(inputs_of(broken_once, (2, 3)))], 0)

    for step in (broken_once, smooth):
        step([inputs_of(step, (0, 1), 1)], 1)

    assert torch.equal(weights(broken_once), weights(smooth))


@pytest.mark.rule("flt-05")
@pytest.mark.parametrize(("scale", "is_overflow"), [(2.0**16, True), (1.0, True), (0.5, False)])
def test_a_loss_scale_that_is_too_large_is_no_broken_step_until_it_is_below_one(scale, is_overflow):
    step = make_step()
    step.scaler = LossScaler("cpu", init_scale=scale)
    before = weights(step)
    step.parameters[0].register_hook(lambda grad: torch.full_like(grad, float("inf")))

    outcome = step([inputs_of(step, (0, 1))], 0)

    assert torch.isfinite(outcome.loss)
    assert not bool(outcome.finite)
    assert bool(outcome.overflow) is is_overflow
    assert torch.equal(weights(step), before)
    assert step.scaler.get_scale() == scale / 2


@pytest.mark.rule("flt-05")
def test_a_loss_that_is_not_finite_is_no_matter_of_the_loss_scale():
    step = make_step()
    step.scaler = LossScaler("cpu")

    outcome = step([broken(inputs_of(step, (0, 1)))], 0)

    assert not bool(outcome.finite)
    assert not bool(outcome.overflow)


def test_float16_weights_learn_with_a_scaled_loss():
    step = make_step()
    step.network.to(torch.float16)
    step.scaler = LossScaler("cpu")
    before = weights(step)

    outcome = step([inputs_of(step, (0, 1))], 0)

    assert bool(outcome.finite)
    assert not torch.equal(weights(step), before)


class RefuseReadingValues(TorchDispatchMode):
    """Fails at the operator behind .item(), float(tensor) and `if tensor`, which makes a GPU's host wait."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not torch.ops.aten._local_scalar_dense.default, "the step waits for the device"
        return func(*args, **(kwargs or {}))


def test_a_step_never_asks_the_device_for_a_value():
    step = make_step(skips_on_device=True, scale_weight_norms=1.0)
    ready = inputs_of(step, (0, 1))

    with RefuseReadingValues():
        step([ready], 0)


def test_numbers_come_back_with_the_step_they_belong_to():
    step = make_step(scale_weight_norms=0.5)
    readback = Readback(CPU)
    readback.push(41, step([inputs_of(step, (0, 1))], 40))

    (numbers,) = readback.arrived()

    assert numbers.step == 41
    assert numbers.finite
    assert numbers.loss > 0
    assert numbers.max_key_norm <= 0.5 + 1e-6
    assert readback.flush() == []
