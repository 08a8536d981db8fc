"""Memory that ran out, in the user's words."""

import pytest
from tanren.commands import COMMANDS
from tanren.memory_hints import memory_problem
from tanren.options.parse import parse

CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB.\nIncluding non-PyTorch memory"


def settings(*argv, command="train_network"):
    return parse(command, COMMANDS[command].groups, argv).settings


@pytest.mark.rule("flt-04")
def test_gpu_memory_names_the_options_that_would_help():
    problem = memory_problem(
        RuntimeError(CUDA), settings("--train_batch_size=4", "--resolution=768", "--network_dim=128")
    )

    assert problem.code == 6
    assert problem.what == "The GPU memory is exhausted."
    assert problem.why == "CUDA out of memory. Tried to allocate 2.00 GiB."
    for hint in ("--gradient_checkpointing", "--train_batch_size (now 4)", "--network_dim (now 128)", "(now 768,768)"):
        assert hint in problem.fix


@pytest.mark.rule("flt-04")
def test_options_that_are_set_already_are_not_advised():
    problem = memory_problem(
        MemoryError(), settings("--gradient_checkpointing", "--cache_latents", "--mixed_precision=fp16")
    )

    assert problem.what == "The main memory is exhausted."
    assert "gradient_checkpointing" not in problem.fix
    assert "--cache_latents;" not in problem.fix
    assert "--optimizer_type AdamW8bit" in problem.fix


@pytest.mark.rule("flt-04")
def test_sdxl_is_advised_8_bits_and_cached_captions_but_not_less_than_its_own_size():
    words = ("--mixed_precision=bf16", "--network_train_unet_only", "--resolution=1024")

    fix = memory_problem(MemoryError(), settings(*words, command="sdxl_train_network")).fix

    assert "--fp8_base_unet, which keeps the U-Net in 8 bits" in fix
    assert "--cache_text_encoder_outputs, where captions do not vary" in fix
    assert "--resolution" not in fix
    small = settings(*words, "--fp8_base", "--cache_text_encoder_outputs", command="sdxl_train_network")
    assert "fp8_base" not in memory_problem(MemoryError(), small).fix
    assert "captions" not in memory_problem(MemoryError(), small).fix


@pytest.mark.rule("flt-04")
def test_what_checkpointing_stores_can_leave_a_gpu_but_not_the_main_memory():
    words = ("--gradient_checkpointing", "--mixed_precision=bf16")

    assert "--cpu_offload_checkpointing" in memory_problem(RuntimeError(CUDA), settings(*words)).fix
    assert "--cpu_offload_checkpointing" not in memory_problem(MemoryError(), settings(*words)).fix
    moved = settings(*words, "--cpu_offload_checkpointing")
    assert "--cpu_offload_checkpointing" not in memory_problem(RuntimeError(CUDA), moved).fix


@pytest.mark.rule("flt-04")
def test_adafactor_is_advised_to_drop_its_gradients():
    words = ("--optimizer_type=Adafactor", "--mixed_precision=bf16")

    assert "--fused_backward_pass" in memory_problem(MemoryError(), settings(*words)).fix
    assert "--fused_backward_pass" not in memory_problem(MemoryError(), settings()).fix
    accumulated = settings(*words, "--gradient_accumulation_steps=2")
    assert "--fused_backward_pass" not in memory_problem(MemoryError(), accumulated).fix


def test_other_errors_are_none_of_its_business():
    assert memory_problem(RuntimeError("shapes differ"), settings()) is None
