"""What the command line says about options for several processes."""

import pytest
from tanren.commands import COMMANDS
from tanren.errors import Problems
from tanren.options.checks import check_declared_rules
from tanren.options.parse import parse


def said(*words):
    problems = Problems()
    parsed = parse("train_network", COMMANDS["train_network"].groups, list(words), problems)
    check_declared_rules(parsed.settings, problems)
    return [str(error) for error in problems.errors], problems.warnings


@pytest.mark.option(
    "offload_param_nvme_path",
    "offload_optimizer_device",
    "offload_optimizer_nvme_path",
    "zero3_init_flag",
    "zero3_save_16bit_model",
    "fp16_master_weights_and_gradients",
)
@pytest.mark.parametrize(
    ("word", "because"),
    [
        ("--offload_param_nvme_path=x", "Weights rest in main memory only: --offload_param_device=cpu."),
        ("--offload_optimizer_device=cpu", "The optimizer's state of a LoRA is small and stays where it is used."),
        ("--offload_optimizer_nvme_path=x", "The optimizer's state of a LoRA is small and stays where it is used."),
        (
            "--zero3_init_flag",
            "Every process loads the whole model into main memory and then lets go of the other parts.",
        ),
        ("--zero3_save_16bit_model", "Only what was trained is saved, and every process has all of that."),
        ("--fp16_master_weights_and_gradients", "--full_fp16 trains weights in float16."),
    ],
)
def test_what_there_is_no_need_for_says_so(word, because):
    name = word.split("=")[0]
    assert said(word) == ([], [f"{name} has no effect here. {because}"])


def test_weights_that_rest_elsewhere_need_a_model_that_is_shared_out():
    _, warnings = said("--offload_param_device=cpu")
    assert warnings == [
        "--offload_param_device: It needs --deepspeed: it says how the weights are shared out among processes."
    ]
    assert said("--deepspeed", "--zero_stage=3", "--offload_param_device=cpu") == ([], [])


def test_weights_cannot_rest_on_a_disk():
    errors, _ = said("--deepspeed", "--zero_stage=3", "--offload_param_device=nvme")
    assert errors[0].startswith("--offload_param_device: ")
    assert "cpu" in errors[0]
