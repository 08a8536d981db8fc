"""What the options of learning do to a real training: one plain gradient step, whose result can be told in advance.

With plain SGD and without clipping, the first update of every `up` matrix, which starts at zero, is the learning rate
times its gradient.
"""

import json

import pytest
import torch
from recipes.training import metadata, same_tensors, tensors, train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ONE_STEP = {
    "optimizer_type": "SGD",
    "learning_rate": "1e-2",
    "max_grad_norm": 0,
    "max_train_epochs": None,
    "max_train_steps": 1,
    "max_data_loader_n_workers": 0,
}
UNET, TEXT = "lora_unet_", "lora_te_"
DOWN, MID, UP = "lora_unet_down_blocks_", "lora_unet_mid_block_", "lora_unet_up_blocks_"


def ups(path):
    """The update of every layer."""
    return {name: tensor for name, tensor in tensors(path).items() if name.endswith("lora_up.weight")}


def check_ratios(path, other, factors):
    """Each update in `path` is a factor, told by the beginning of its name, times that in `other`."""
    after, before = ups(path), ups(other)
    seen = set()
    assert after.keys() == before.keys()
    for name, tensor in after.items():
        (prefix,) = [prefix for prefix in factors if name.startswith(prefix)]
        torch.testing.assert_close(tensor, factors[prefix] * before[name], rtol=2e-3, atol=1e-9)
        seen.add(prefix)
    assert seen == factors.keys()


@pytest.fixture(scope="module")
def plain(model, data, tmp_path_factory):
    """One step at the same rate for all."""
    out = tmp_path_factory.mktemp("plain")
    train(model, data, out, **ONE_STEP)
    assert all(tensor.any() for tensor in ups(out / "waves.safetensors").values())
    return out / "waves.safetensors"


RATES = [
    pytest.param({"learning_rate": "2e-2"}, {UNET: 2, TEXT: 2}, marks=pytest.mark.option("learning_rate")),
    pytest.param({"unet_lr": "5e-3"}, {UNET: 0.5, TEXT: 1}, marks=pytest.mark.option("unet_lr")),
    pytest.param({"text_encoder_lr": "3e-2"}, {UNET: 1, TEXT: 3}, marks=pytest.mark.option("text_encoder_lr")),
    pytest.param(
        {"learning_rate": "1", "unet_lr": "1e-2", "text_encoder_lr": "5e-3"},
        {UNET: 1, TEXT: 0.5},
        marks=pytest.mark.option("unet_lr", "text_encoder_lr"),
    ),
    pytest.param({"network_args": ["loraplus_lr_ratio=16"]}, {UNET: 16, TEXT: 16}),
    pytest.param(
        {"network_args": ["loraplus_unet_lr_ratio=4", "loraplus_text_encoder_lr_ratio=2"]}, {UNET: 4, TEXT: 2}
    ),
    pytest.param(
        {"network_args": ["down_lr_weight=zeros+0.5", "mid_lr_weight=2", "up_lr_weight=zeros+0.25"]},
        {DOWN: 0.5, MID: 2, UP: 0.25, TEXT: 1},
    ),
    pytest.param({"network_alpha": 2}, {UNET: 2, TEXT: 2}, marks=pytest.mark.option("network_alpha")),
    pytest.param({"network_alpha": 0}, {UNET: 4, TEXT: 4}, marks=pytest.mark.option("network_alpha")),
]


@pytest.mark.option("network_args")
@pytest.mark.parametrize(("options", "factors"), RATES, ids=[str(row.values[0]) for row in RATES])
def test_the_first_update_is_its_rate_times_the_gradient(model, data, tmp_path, plain, options, factors):
    train(model, data, tmp_path, **{**ONE_STEP, **options})

    check_ratios(tmp_path / "waves.safetensors", plain, factors)


@pytest.mark.option("unet_lr", "text_encoder_lr")
def test_a_rate_of_zero_leaves_its_part_as_it_was(model, data, tmp_path, plain):
    for part, options in ((UNET, {"unet_lr": 0}), (TEXT, {"text_encoder_lr": 0})):
        train(model, data, tmp_path / part, **{**ONE_STEP, **options})
        found = ups(tmp_path / part / "waves.safetensors")
        assert {name for name, tensor in found.items() if not tensor.any()} == {
            name for name in found if name.startswith(part)
        }


@pytest.mark.option("max_grad_norm")
def test_the_whole_gradient_is_scaled_down_to_the_largest_norm(model, data, tmp_path, plain):
    train(model, data, tmp_path, **{**ONE_STEP, "max_grad_norm": "1e-3"})

    after, before = ups(tmp_path / "waves.safetensors"), ups(plain)
    ratio = 1e-3 * 1e-2 / torch.stack([tensor.square().sum() for tensor in before.values()]).sum().sqrt()
    assert ratio < 0.1
    check_ratios(tmp_path / "waves.safetensors", plain, {UNET: ratio, TEXT: ratio})
    norm = torch.stack([tensor.square().sum() for tensor in after.values()]).sum().sqrt()
    assert float(norm) == pytest.approx(1e-5, rel=1e-3)


@pytest.mark.option("optimizer_type", "optimizer_args")
def test_the_named_optimizer_learns_with_its_arguments(model, data, tmp_path, plain):
    train(model, data, tmp_path / "adam", **{**ONE_STEP, "optimizer_type": "Adam", "optimizer_args": ["eps=1e-30"]})
    decay = {"optimizer_args": ["weight_decay=10"]}
    train(model, data, tmp_path / "decay", **{**ONE_STEP, **decay})

    for name, tensor in ups(tmp_path / "adam" / "waves.safetensors").items():
        # Adam's first step is the rate in the direction of the gradient, however large that is.
        torch.testing.assert_close(tensor, 1e-2 * ups(plain)[name].sign(), rtol=1e-3, atol=0)
    before, after = tensors(plain), tensors(tmp_path / "decay" / "waves.safetensors")
    for name in before:
        if name.endswith("lora_down.weight"):
            torch.testing.assert_close(after[name], (1 - 1e-2 * 10) * before[name], rtol=1e-4, atol=1e-7)
    assert metadata(tmp_path / "decay" / "waves.safetensors")["ss_optimizer"] == "torch.optim.sgd.SGD(weight_decay=10)"


@pytest.mark.option("lr_scheduler", "lr_warmup_steps", "lr_scheduler_type", "lr_scheduler_args")
@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({"lr_scheduler": "constant_with_warmup", "lr_warmup_steps": 2}, 0.0),
        ({"lr_scheduler_type": "ConstantLR", "lr_scheduler_args": ["factor=0.25", "total_iters=5"]}, 0.25),
        ({"lr_scheduler": "piecewise_constant", "lr_scheduler_args": ["step_rules='0.5:3,1'"]}, 0.5),
    ],
    ids=str,
)
def test_the_schedule_acts_on_the_first_update(model, data, tmp_path, plain, options, factor):
    train(model, data, tmp_path, **{**ONE_STEP, **options})

    check_ratios(tmp_path / "waves.safetensors", plain, {UNET: factor, TEXT: factor})


@pytest.mark.option("max_train_steps", "max_train_epochs", "gradient_accumulation_steps")
@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"max_train_steps": 2}, 2),
        # Twelve samples in six buckets of two; epochs win over steps.
        ({"max_train_steps": 1, "max_train_epochs": 1}, 6),
        ({"max_train_epochs": 1, "gradient_accumulation_steps": 4}, 2),
    ],
    ids=str,
)
def test_the_run_has_its_length(model, data, tmp_path, options, steps):
    train(model, data, tmp_path, **{**ONE_STEP, "save_every_n_steps": 1, **options})

    assert metadata(tmp_path / "waves.safetensors")["ss_steps"] == str(steps)
    saved = {int(path.stem[-8:]) for path in tmp_path.glob("waves-step*.safetensors")}
    assert max(saved, default=0) in (steps, steps - 1)


@pytest.mark.option("seed")
def test_a_seed_is_drawn_and_recorded_when_none_is_given(model, data, tmp_path):
    for attempt in ("one", "two"):
        train(model, data, tmp_path / attempt, **{**ONE_STEP, "seed": None})
    one, two = (tmp_path / attempt / "waves.safetensors" for attempt in ("one", "two"))
    seed = metadata(one)["ss_seed"]

    train(model, data, tmp_path / "again", **{**ONE_STEP, "seed": seed})

    assert not same_tensors(one, two)
    assert seed != metadata(two)["ss_seed"]
    assert same_tensors(one, tmp_path / "again" / "waves.safetensors")


@pytest.mark.option("lr_scheduler_num_cycles", "lr_scheduler_power", "lr_decay_steps", "lr_scheduler_min_lr_ratio")
def test_schedules_are_recorded_as_they_ran(model, data, tmp_path):
    """The rates of a whole run, as its trackers saw them."""
    runs = {
        "restarts": ({"lr_scheduler": "cosine_with_restarts", "lr_scheduler_num_cycles": 2}, [1, 0.5, 1, 0.5]),
        "power": ({"lr_scheduler": "polynomial", "lr_scheduler_power": 2, "learning_rate": "1e-2"}, [1, 0.5625]),
        "decay": (
            {"lr_scheduler": "warmup_stable_decay", "lr_decay_steps": "50%", "lr_scheduler_min_lr_ratio": 0.5},
            [1, 1, 1, 0.75],
        ),
    }
    for name, (options, expected) in runs.items():
        logs = tmp_path / name / "logs"
        train(model, data, tmp_path / name, **{**ONE_STEP, "max_train_steps": 4, "logging_dir": logs, **options})
        (file,) = logs.rglob("events.*")
        reader = EventAccumulator(str(file))
        reader.Reload()
        rates = [scalar.value / 1e-2 for scalar in reader.Scalars("lr/unet")]
        assert rates[: len(expected)] == pytest.approx(expected, rel=1e-4), json.dumps(rates)
