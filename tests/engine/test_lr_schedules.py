import math

import pytest
import torch
from diffusers.optimization import get_scheduler as diffusers_scheduler
from tanren.engine.lr_schedules import make_scheduler
from tanren.engine.optimizers import make_optimizer
from tanren.errors import UsageError
from tanren.events import Report
from tanren.networks.base import ParameterGroup
from tanren.options.optimizer import OptimizerOptions, SchedulerOptions
from transformers import get_scheduler as transformers_scheduler


def adamw(*rates):
    return torch.optim.AdamW([{"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in rates], lr=1e-3)


def warnings_of(report):
    texts = []
    report.add_sink(lambda event: texts.append(event["text"]) if event["kind"] == "warning" else None)
    return texts


def factors(steps, total=100, processes=1, **options):
    """Factor of the first group at each of `steps`, with a rate of 1e-3."""
    optimizer = adamw(1e-3)
    schedule = make_scheduler(
        optimizer, SchedulerOptions(**options), Report(), learning_rate=1e-3, total_steps=total, processes=processes
    )
    seen = []
    for _ in range(max(steps) + 1):
        seen.append(optimizer.param_groups[0]["lr"] / 1e-3)
        optimizer.step()
        schedule.step()
    return [round(seen[step], 6) for step in steps]


def test_constant():
    assert factors([0, 50, 99]) == [1, 1, 1]


@pytest.mark.option("lr_scheduler", "lr_warmup_steps")
def test_constant_with_warmup():
    assert factors([0, 5, 10, 99], lr_scheduler="constant_with_warmup", lr_warmup_steps=10) == [0, 0.5, 1, 1]


def test_linear():
    assert factors([0, 5, 10, 55, 99], lr_scheduler="linear", lr_warmup_steps=10) == [0, 0.5, 1, 0.5, 0.011111]


def test_cosine():
    assert factors([0, 25, 50, 75, 99], lr_scheduler="cosine") == [1, 0.853553, 0.5, 0.146447, 0.000247]


@pytest.mark.option("lr_scheduler_num_cycles")
def test_cosine_with_restarts():
    options = {"lr_scheduler": "cosine_with_restarts", "lr_scheduler_num_cycles": 2}
    assert factors([0, 25, 49, 50, 75, 100], **options) == [1, 0.5, 0.000987, 1, 0.5, 0]


@pytest.mark.option("lr_scheduler_power")
def test_polynomial():
    options = {"lr_scheduler": "polynomial", "lr_scheduler_power": 2.0}
    assert factors([0, 50, 100], **options) == [1, 0.250075, 0.0001]


@pytest.mark.option("lr_scheduler_timescale")
def test_inverse_sqrt():
    assert factors([10, 40], lr_scheduler="inverse_sqrt", lr_warmup_steps=10) == [1, 0.5]
    assert factors([0, 100], total=200, lr_scheduler="inverse_sqrt") == [1, round(1 / math.sqrt(1.01), 6)]
    timescale = {"lr_warmup_steps": 10, "lr_scheduler_timescale": 30}
    assert factors([5, 10, 100], lr_scheduler="inverse_sqrt", **timescale) == [0.5, 1, 0.5]


@pytest.mark.option("lr_scheduler_min_lr_ratio")
def test_cosine_with_min_lr():
    options = {"lr_scheduler": "cosine_with_min_lr", "lr_scheduler_min_lr_ratio": 0.1}
    assert factors([0, 50, 100], **options) == [1, 0.55, 0.1]


@pytest.mark.option("lr_decay_steps", "lr_warmup_steps")
def test_warmup_stable_decay():
    options = {"lr_scheduler": "warmup_stable_decay", "lr_warmup_steps": 10, "lr_decay_steps": 20}
    assert factors([0, 5, 10, 79, 80, 90, 100], **options) == [0, 0.5, 1, 1, 1, 0.5, 0]


@pytest.mark.option("lr_scheduler_args", "lr_scheduler_min_lr_ratio")
def test_warmup_stable_decay_with_its_arguments():
    options = {
        "lr_scheduler": "warmup_stable_decay",
        "lr_warmup_steps": 10,
        "lr_decay_steps": 20,
        "lr_scheduler_min_lr_ratio": 0.2,
        "lr_scheduler_args": ("decay_type='linear'", "warmup_type='cosine'"),
    }
    assert factors([0, 5, 10, 90, 100], **options) == [0.2, 0.6, 1, 0.6, 0.2]


@pytest.mark.option("lr_scheduler_args")
def test_piecewise_constant():
    options = {"lr_scheduler": "piecewise_constant", "lr_scheduler_args": ("step_rules='1:10,0.1:20,0.05'",)}
    assert factors([0, 9, 10, 19, 20, 99], **options) == [1, 1, 0.1, 0.1, 0.05, 0.05]


PEERS = {
    "linear": (diffusers_scheduler, {}, {}),
    "cosine": (diffusers_scheduler, {}, {}),
    "constant_with_warmup": (diffusers_scheduler, {}, {}),
    "cosine_with_restarts": (diffusers_scheduler, {"num_cycles": 3}, {"lr_scheduler_num_cycles": 3}),
    "polynomial": (diffusers_scheduler, {"power": 1.5}, {"lr_scheduler_power": 1.5}),
    "inverse_sqrt": (transformers_scheduler, {}, {}),
    "cosine_with_min_lr": (
        transformers_scheduler,
        {"scheduler_specific_kwargs": {"min_lr_rate": 0.2, "num_cycles": 1.5}},
        {"lr_scheduler_min_lr_ratio": 0.2, "lr_scheduler_num_cycles": 3},
    ),
    "warmup_stable_decay": (
        transformers_scheduler,
        {
            "scheduler_specific_kwargs": {
                "num_decay_steps": 15,
                "num_stable_steps": 28,
                "min_lr_ratio": 0.1,
                "num_cycles": 0.5,
                "decay_type": "1-sqrt",
                "warmup_type": "1-sqrt",
            }
        },
        {
            "lr_decay_steps": 15,
            "lr_scheduler_min_lr_ratio": 0.1,
            "lr_scheduler_args": ("decay_type='1-sqrt'", "warmup_type='1-sqrt'"),
        },
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_the_curve_equals_that_of_the_library_whose_name_it_has(name):
    peer_of, peer_arguments, options = PEERS[name]
    optimizer = adamw(1e-3)
    arguments = {"num_warmup_steps": 7, **peer_arguments}
    if name not in ("constant_with_warmup", "warmup_stable_decay", "inverse_sqrt"):
        arguments["num_training_steps"] = 50
    if name == "warmup_stable_decay":
        arguments["num_training_steps"] = None
    peer = peer_of(name, optimizer, **arguments)
    expected = []
    for _ in range(51):
        expected.append(round(peer.get_last_lr()[0] / 1e-3, 6))
        optimizer.step()
        peer.step()
    assert factors(range(51), total=50, lr_scheduler=name, lr_warmup_steps=7, **options) == expected


@pytest.mark.option("lr_warmup_steps")
def test_a_ratio_counts_all_steps():
    assert factors([0, 10, 20, 99], lr_scheduler="constant_with_warmup", lr_warmup_steps=0.2) == [0, 0.5, 1, 1]


def test_processes_pass_the_steps_faster_and_end_together():
    assert factors([0, 50, 99], lr_scheduler="linear", processes=2) == factors([0, 50, 99], lr_scheduler="linear")
    ramp = factors([0, 2, 5], lr_scheduler="constant_with_warmup", lr_warmup_steps=10, processes=2)
    assert ramp == [0, 0.4, 1]


def test_every_group_keeps_its_own_rate():
    optimizer = adamw(1e-3, 4e-4)
    schedule = make_scheduler(
        optimizer, SchedulerOptions(lr_scheduler="linear"), Report(), learning_rate=1e-3, total_steps=4
    )
    schedule.step()
    assert [round(rate, 8) for rate in schedule.rates()] == [0.00075, 0.0003]
    assert [round(group["lr"], 8) for group in optimizer.param_groups] == [0.00075, 0.0003]


def test_a_saved_schedule_goes_on_where_it_was():
    options = SchedulerOptions(lr_scheduler="cosine", lr_warmup_steps=3)
    whole, broken = adamw(1e-3), adamw(1e-3)
    first = make_scheduler(whole, options, Report(), learning_rate=1e-3, total_steps=20)
    for _ in range(8):
        first.step()
    second = make_scheduler(broken, options, Report(), learning_rate=1e-3, total_steps=20)
    second.load_state_dict(first.state_dict())
    assert broken.param_groups[0]["lr"] == whole.param_groups[0]["lr"]


def test_a_warmup_longer_than_the_run_is_said():
    report = Report()
    texts = warnings_of(report)
    options = SchedulerOptions(lr_scheduler="linear", lr_warmup_steps=500)
    make_scheduler(adamw(1e-3), options, report, learning_rate=1e-3, total_steps=100)
    assert texts == ["Warm-up and decay take 500 steps, the run has 100: it ends before them."]


@pytest.mark.option("lr_scheduler_type", "lr_scheduler_args")
def test_a_class_of_torch_can_be_named():
    options = {"lr_scheduler_type": "CosineAnnealingLR", "lr_scheduler_args": ("T_max=100", "eta_min=0.0")}
    assert factors([0, 50, 100], **options) == [1, 0.5, 0]


@pytest.mark.option("lr_scheduler_type")
def test_a_dotted_class_can_be_named():
    options = {
        "lr_scheduler_type": "torch.optim.lr_scheduler.StepLR",
        "lr_scheduler_args": ("step_size=10", "gamma=0.5"),
    }
    assert factors([0, 9, 10, 20], **options) == [1, 1, 0.5, 0.25]


def test_adafactor_reports_the_rate_it_found():
    parameter = torch.nn.Parameter(torch.ones(4, 4))
    options = OptimizerOptions(optimizer_type="AdaFactor", learning_rate=1e-4)
    optimizer = make_optimizer([ParameterGroup("unet", [parameter], 1e-4)], options, Report()).optimizer
    schedule = make_scheduler(optimizer, SchedulerOptions(), Report(), learning_rate=1e-4, total_steps=10)
    assert schedule.name == "adafactor:0.0001"
    assert schedule.rates() == [1e-4]
    parameter.square().sum().backward()
    optimizer.step()
    # min(1e-2, 1/sqrt(1)) times the root mean square of the weights, which is near 1.
    assert schedule.rates()[0] == pytest.approx(0.01, rel=0.02)


def test_schedule_free_optimizers_get_no_schedule():
    parameter = torch.nn.Parameter(torch.ones(2))
    options = OptimizerOptions(optimizer_type="AdamWScheduleFree", learning_rate=1e-3)
    optimizer = make_optimizer([ParameterGroup("unet", [parameter], 1e-3)], options, Report()).optimizer
    chosen = SchedulerOptions(lr_scheduler="cosine")
    schedule = make_scheduler(optimizer, chosen, Report(), learning_rate=1e-3, total_steps=10)
    for _ in range(5):
        schedule.step()
    assert schedule.rates() == [1e-3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr_warmup_steps": 5}, "--lr_warmup_steps: The schedule constant takes no warm-up, and 5 is set."),
        (
            {"lr_scheduler_type": "StepLR", "lr_warmup_steps": 5},
            "--lr_warmup_steps: --lr_scheduler_type StepLR takes no warm-up, and 5 is set.",
        ),
        ({"lr_scheduler": "cosin"}, "--lr_scheduler: 'cosin' is not a known schedule."),
        (
            {"lr_scheduler": "adafactor"},
            "--lr_scheduler: adafactor is the schedule of Adafactor with relative_step=True only.",
        ),
        (
            {"lr_scheduler": "cosine_with_min_lr"},
            "--lr_scheduler: cosine_with_min_lr needs --lr_scheduler_min_lr_ratio.",
        ),
        (
            {"lr_scheduler": "piecewise_constant"},
            "--lr_scheduler_args: piecewise_constant needs step_rules, and None is none.",
        ),
        (
            {"lr_scheduler": "linear", "lr_scheduler_args": ("power=2",)},
            "--lr_scheduler_args: The schedule linear has no argument power.",
        ),
        (
            {"lr_scheduler": "warmup_stable_decay", "lr_scheduler_args": ("decay_type='wave'",)},
            "--lr_scheduler_args: decay_type='wave' is not known.",
        ),
        ({"lr_scheduler_type": "StepLr"}, "--lr_scheduler_type: 'StepLr' is not a scheduler class."),
        (
            {"lr_scheduler_type": "StepLR"},
            "--lr_scheduler_args: StepLR does not accept these arguments: "
            "StepLR.__init__() missing 1 required positional argument: 'step_size'.",
        ),
        (
            {"lr_scheduler_type": "ReduceLROnPlateau"},
            "--lr_scheduler_type: ReduceLROnPlateau follows a measured loss, which this trainer does not hand to it.",
        ),
        (
            {"lr_scheduler_type": "no_such.Thing"},
            "--lr_scheduler_type: no_such cannot be imported: No module named 'no_such'.",
        ),
    ],
)
def test_impossible_schedules_are_refused(options, message):
    with pytest.raises(UsageError) as caught:
        factors([0], **options)
    assert str(caught.value).splitlines()[0] == message


def test_polynomial_needs_a_rate_above_its_end():
    with pytest.raises(UsageError, match="1e-08 is not above 1e-07"):
        make_scheduler(
            adamw(1e-8), SchedulerOptions(lr_scheduler="polynomial"), Report(), learning_rate=1e-8, total_steps=5
        )
