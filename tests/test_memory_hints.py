"""Memory that ran out, in the user's words."""

import pytest
from tanren.commands import COMMANDS
from tanren.memory_hints import memory_problem
from tanren.options.parse import parse

CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB.\nIncluding non-PyTorch memory"


def settings(*argv):
    return parse("train_network", COMMANDS["train_network"].groups, argv).settings


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


def test_other_errors_are_none_of_its_business():
    assert memory_problem(RuntimeError("shapes differ"), settings()) is None
