import sys

import pytest
import torch
from tanren.engine.optimizers import adapted_rates, make_optimizer, weights_for_use
from tanren.errors import EnvironmentProblem, UsageError
from tanren.events import Report
from tanren.networks.base import ParameterGroup
from tanren.options.optimizer import OptimizerOptions
from tanren.options.optimizer_names import KNOWN, missing_packages, packages_of


def groups(*rates, size=(8, 4)):
    return [ParameterGroup(f"group{i}", [torch.nn.Parameter(torch.ones(size))], rate) for i, rate in enumerate(rates)]


def make(*rates, size=(8, 4), report=None, **options):
    made_of = groups(*(rates or (1e-2,)), size=size)
    options = {"learning_rate": 1e-2, **options}
    return make_optimizer(made_of, OptimizerOptions(**options), report or Report()), made_of


def warnings_of(report):
    texts = []
    report.add_sink(lambda event: texts.append(event["text"]) if event["kind"] == "warning" else None)
    return texts


def train(made, made_of, steps=5):
    """Squared weights as loss: every optimizer must make them smaller."""
    for _ in range(steps):
        loss = sum(p.square().sum() for group in made_of for p in group.params)
        loss.backward()
        made.optimizer.step()
        made.optimizer.zero_grad()
    return made_of[0].params[0].detach().mean().item()


CLASSES = {
    "AdamW": "torch.optim.adamw.AdamW",
    "adamw8bit": "bitsandbytes.optim.adamw.AdamW8bit",
    "PagedAdamW8bit": "bitsandbytes.optim.adamw.PagedAdamW8bit",
    "PagedAdamW": "bitsandbytes.optim.adamw.PagedAdamW",
    "PagedAdamW32bit": "bitsandbytes.optim.adamw.PagedAdamW32bit",
    "Lion8bit": "bitsandbytes.optim.lion.Lion8bit",
    "PagedLion8bit": "bitsandbytes.optim.lion.PagedLion8bit",
    "SGDNesterov": "torch.optim.sgd.SGD",
    "SGDNesterov8bit": "bitsandbytes.optim.sgd.SGD8bit",
    "LION": "lion_pytorch.lion_pytorch.Lion",
    "DAdaptation": "dadaptation.experimental.dadapt_adam_preprint.DAdaptAdamPreprint",
    "DAdaptAdamPreprint": "dadaptation.experimental.dadapt_adam_preprint.DAdaptAdamPreprint",
    "DAdaptAdaGrad": "dadaptation.dadapt_adagrad.DAdaptAdaGrad",
    "DAdaptAdam": "dadaptation.dadapt_adam.DAdaptAdam",
    "DAdaptAdan": "dadaptation.dadapt_adan.DAdaptAdan",
    "DAdaptAdanIP": "dadaptation.experimental.dadapt_adan_ip.DAdaptAdanIP",
    "DAdaptLion": "dadaptation.dadapt_lion.DAdaptLion",
    "DAdaptSGD": "dadaptation.dadapt_sgd.DAdaptSGD",
    "Prodigy": "prodigyopt.prodigy.Prodigy",
    "AdaFactor": "transformers.optimization.Adafactor",
    "RAdamScheduleFree": "schedulefree.radam_schedulefree.RAdamScheduleFree",
    "AdamWScheduleFree": "schedulefree.adamw_schedulefree.AdamWScheduleFree",
    "SGDScheduleFree": "schedulefree.sgd_schedulefree.SGDScheduleFree",
    "RAdam": "torch.optim.radam.RAdam",
    "bitsandbytes.optim.AdEMAMix8bit": "bitsandbytes.optim.ademamix.AdEMAMix8bit",
}


def test_every_name_of_the_table_is_tried_here():
    assert KNOWN.keys() <= {name.lower() for name in CLASSES}


@pytest.mark.option("optimizer_type")
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
def test_every_optimizer_trains(name):
    # 8-bit kinds keep tensors of fewer than 4096 numbers in 32 bits.
    size = (64, 100) if "8bit" in name.lower() else (8, 4)
    rate = 1.0 if name.lower().startswith("dadapt") or name == "Prodigy" else 1e-2
    made, made_of = make(rate, size=size, optimizer_type=name, learning_rate=rate)
    assert made.name == CLASSES[name]
    assert train(made, made_of) < 1.0
    if "8bit" in name.lower():
        state = made.optimizer.state[made_of[0].params[0]]
        assert state["state1"].dtype is torch.uint8


def test_eight_bit_adam_stays_close_to_adam_on_the_cpu():
    small, of_small = make(size=(64, 100), optimizer_type="AdamW8bit")
    full, of_full = make(size=(64, 100), optimizer_type="AdamW")
    assert train(small, of_small, 10) == pytest.approx(train(full, of_full, 10), abs=2e-3)


def test_adamw_is_the_default_and_fused():
    made, _ = make()
    assert type(made.optimizer) is torch.optim.AdamW
    assert made.optimizer.defaults["fused"] is True
    assert made.text == "torch.optim.adamw.AdamW"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_sgd_moves_every_weight_in_every_precision(dtype):
    """More weights than one register holds."""
    parameter = torch.nn.Parameter(torch.ones(20, 16, dtype=dtype))
    made = make_optimizer(
        [ParameterGroup("unet", [parameter], 0.5)], OptimizerOptions(optimizer_type="SGD", learning_rate=0.5), Report()
    )
    parameter.grad = torch.ones_like(parameter)

    made.optimizer.step()

    assert torch.equal(parameter.detach(), torch.full_like(parameter, 0.5))


def test_fused_adamw_equals_the_plain_one():
    fused, of_fused = make()
    plain, of_plain = make(optimizer_args=("foreach=False",))
    assert plain.optimizer.defaults["fused"] is None
    train(fused, of_fused, 10)
    train(plain, of_plain, 10)
    torch.testing.assert_close(of_fused[0].params[0], of_plain[0].params[0], atol=1e-7, rtol=1e-6)


@pytest.mark.option("use_8bit_adam", "use_lion_optimizer")
def test_old_spellings():
    assert make(use_8bit_adam=True)[0].name == "bitsandbytes.optim.adamw.AdamW8bit"
    assert make(use_lion_optimizer=True)[0].name == "lion_pytorch.lion_pytorch.Lion"


@pytest.mark.option("optimizer_args")
def test_arguments_reach_the_class_and_the_metadata():
    made, _ = make(optimizer_type="adamw8bit", optimizer_args=("weight_decay=0.1", "betas=0.9,0.99"))
    assert made.optimizer.defaults["weight_decay"] == 0.1
    assert made.text == "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1,betas=(0.9, 0.99))"


def test_nesterov_has_a_momentum_unless_one_is_given():
    assert make(optimizer_type="SGDNesterov")[0].optimizer.defaults["momentum"] == 0.9
    given = make(optimizer_type="SGDNesterov", optimizer_args=("momentum=0.5",))[0].optimizer.defaults
    assert (given["momentum"], given["nesterov"]) == (0.5, True)


def test_groups_keep_their_rates():
    made, _ = make(1e-3, 5e-4, learning_rate=1e-2)
    assert [group["lr"] for group in made.optimizer.param_groups] == [1e-3, 5e-4]


def test_adafactor_steps_relatively_unless_told_otherwise():
    report = Report()
    texts = warnings_of(report)
    made, _ = make(1e-3, 5e-4, report=report, optimizer_type="Adafactor")
    assert [group["lr"] for group in made.optimizer.param_groups] == [None, None]
    assert made.arguments == "relative_step=True"
    assert texts == ["Adafactor with relative_step=True finds its own rate; those of the groups have no effect."]


def test_adafactor_warmup_forces_the_relative_step():
    made, _ = make(optimizer_type="Adafactor", optimizer_args=("relative_step=False", "warmup_init=True"))
    assert made.optimizer.param_groups[0]["relative_step"] is True


def test_adafactor_with_a_fixed_rate():
    words = ("relative_step=False", "scale_parameter=False", "warmup_init=False")
    made, made_of = make(1e-3, optimizer_type="Adafactor", optimizer_args=words)
    assert made.optimizer.param_groups[0]["lr"] == 1e-3
    assert train(made, made_of) < 1.0


@pytest.mark.parametrize("name", ["Prodigy", "DAdaptAdam"])
def test_kinds_that_find_their_rate_take_the_first_one_for_all(name):
    report = Report()
    texts = warnings_of(report)
    made, made_of = make(1.0, 0.5, report=report, optimizer_type=name)
    assert [group["lr"] for group in made.optimizer.param_groups] == [1.0, 1.0]
    assert texts == ["This optimizer takes one learning rate for all groups: 1.0 is used."]
    train(made, made_of, 3)
    assert all(rate > 0 for rate in adapted_rates(made.optimizer))


def test_other_kinds_have_no_adapted_rate():
    assert adapted_rates(make()[0].optimizer) == [None]


def test_schedule_free_kinds_show_their_averaged_weights_for_use():
    made, made_of = make(optimizer_type="AdamWScheduleFree", optimizer_args=("warmup_steps=2",), size=(64, 64))
    for step in range(6):
        slope(made_of, step)
        made.optimizer.step()
    weight = made_of[0].params[0]
    trained = weight.detach().clone()
    with weights_for_use(made.optimizer):
        assert not torch.equal(weight, trained)
    assert torch.equal(weight, trained)
    train(made, made_of, 1)


def test_other_kinds_use_the_weights_they_train():
    made, made_of = make()
    with weights_for_use(made.optimizer):
        assert torch.equal(made_of[0].params[0], torch.ones(8, 4))


def test_names_say_their_packages_without_importing_them():
    assert packages_of("Lion") == ("lion-pytorch",)
    assert packages_of("Foo8bit") == ("bitsandbytes",)
    assert packages_of("prodigyplus.ProdigyPlusScheduleFree") == ("prodigyplus", "schedulefree")
    assert missing_packages("AdamW") == ()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "prodigyopt", None)
    with pytest.raises(EnvironmentProblem) as caught:
        make(optimizer_type="Prodigy")
    assert str(caught.value) == (
        "--optimizer_type: Prodigy needs the package prodigyopt, which is not installed.\n"
        "  Install it in the trainer's environment: pip install prodigyopt"
    )
    assert caught.value.code == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer_type": "AdanW"}, "--optimizer_type: 'AdanW' is not a known optimizer, nor one of torch.optim."),
        ({"optimizer_type": "radam"}, "--optimizer_type: 'radam' is not a known optimizer, nor one of torch.optim."),
        ({"optimizer_type": "LBFGS"}, "--optimizer_type: 'LBFGS' is not a known optimizer, nor one of torch.optim."),
        ({"optimizer_type": "torch.optim.NoSuch"}, "--optimizer_type: torch.optim has no class NoSuch."),
        ({"optimizer_args": ("weight_decai=1",)}, "--optimizer_args: AdamW has no argument weight_decai."),
        ({"optimizer_args": ("lr=1",)}, "--optimizer_args: lr cannot be set here."),
        (
            {"optimizer_args": ("weight_decay=-1",)},
            "--optimizer_args: AdamW does not accept these arguments: Invalid weight_decay value: -1.",
        ),
    ],
)
def test_impossible_choices_are_refused(options, message):
    with pytest.raises(UsageError) as caught:
        make(**options)
    assert str(caught.value).splitlines()[0] == message


def test_a_package_that_is_not_there_is_named_for_dotted_names():
    with pytest.raises(EnvironmentProblem, match=r"no_such_package\.Thing needs the package no_such_package"):
        make(optimizer_type="no_such_package.Thing")


def slope(made_of, step):
    """Gradients that change from step to step, the same in every run."""
    for group in made_of:
        for parameter in group.params:
            generator = torch.Generator().manual_seed(step)
            parameter.grad = parameter.detach() + torch.randn(parameter.shape, generator=generator) * 0.3


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
def test_every_optimizer_goes_on_from_its_saved_state_as_if_nothing_had_happened(name, tmp_path):
    size = (64, 100) if "8bit" in name.lower() else (8, 4)
    rate = 1.0 if name.lower().startswith("dadapt") or name == "Prodigy" else 1e-2

    def fresh():
        return make(rate, size=size, optimizer_type=name, learning_rate=rate)

    whole, of_whole = fresh()
    for step in range(8):
        if step == 4:
            weights = of_whole[0].params[0].detach().clone()
            torch.save(whole.optimizer.state_dict(), tmp_path / "optimizer.pt")
        slope(of_whole, step)
        whole.optimizer.step()

    resumed, of_resumed = fresh()
    with torch.no_grad():
        of_resumed[0].params[0].copy_(weights)
    resumed.optimizer.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    for step in range(4, 8):
        slope(of_resumed, step)
        resumed.optimizer.step()
    assert torch.equal(of_resumed[0].params[0], of_whole[0].params[0])
