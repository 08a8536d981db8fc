"""Blocks compiled by torch."""

import pytest
import torch
from models.test_lean import assert_close, gradients, network_on
from networks.tiny import tiny_unet
from tanren.engine.setup import check_computing
from tanren.errors import EnvironmentProblem, UsageError
from tanren.events import Report
from tanren.models.checkpointing import enable_gradient_checkpointing
from tanren.models.compiling import compile_blocks, compiles, missing_tool
from tanren.options.model import AttentionOptions
from tanren.options.spec import Settings
from tanren.options.training import TrainingOptions

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SMALLEST = {"block_out_channels": (8,), "down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}


@pytest.fixture
def graphs():
    """What torch hands to the back end "counted", which runs it as it is."""
    found = []

    def counted(graph, inputs):
        found.append(graph)
        return graph.forward

    torch.compiler.reset()
    torch._dynamo.register_backend(counted, name="counted")
    yield found
    torch.compiler.reset()


@pytest.mark.option("torch_compile", "dynamo_backend")
def test_the_back_end_gets_every_kind_of_block_once_and_gradients_stay_the_same(graphs):
    unet = tiny_unet(**SMALLEST)
    network = network_on(unet, "conv_dim=2")
    plain = gradients(unet, network)

    compile_blocks(unet, "counted")
    compiled, compilations = gradients(unet, network), len(graphs)
    enable_gradient_checkpointing(unet, [])
    checkpointed = gradients(unet, network)

    assert_close(compiled, plain, 1e-5)
    assert_close(checkpointed, plain, 1e-5)
    # One transformer, and resnets with and without a shortcut; the middle ones share theirs.
    assert 3 <= compilations <= 6
    again = len(graphs)
    gradients(unet, network)
    assert len(graphs) == again


@pytest.mark.proof
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_gradients_are_the_plain_ones(backend):
    unet = tiny_unet(**SMALLEST)
    network = network_on(unet)
    plain = gradients(unet, network)
    torch.compiler.reset()

    compile_blocks(unet, backend)

    for _ in range(2):
        assert_close(gradients(unet, network), plain, 1e-4)


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({}, False),
        ({"torch_compile": True}, True),
        ({"torch_compile": True, "dynamo_backend": "no"}, False),
        ({"dynamo_backend": "eager"}, False),
    ],
)
def test_only_what_is_asked_for_is_compiled(options, answer):
    assert compiles(AttentionOptions(**options)) is answer


@pytest.mark.parametrize(
    ("backend", "device", "has_triton", "has_cpp", "missing"),
    [
        ("inductor", GPU, False, True, "the package triton (triton-windows on Windows)"),
        ("inductor", GPU, True, False, None),
        ("inductor", CPU, True, False, "a C++ compiler"),
        ("inductor", CPU, False, True, None),
        ("aot_eager", GPU, False, False, None),
    ],
)
def test_what_a_back_end_cannot_do_without(backend, device, has_triton, has_cpp, missing):
    assert missing_tool(backend, device, has_triton=has_triton, has_cpp=has_cpp) == missing


def checked(backend):
    events = []
    asked = AttentionOptions(torch_compile=True, dynamo_backend=backend)
    check_computing(Settings("train_network", [TrainingOptions(), asked]), CPU, Report([events.append]))
    return [event["text"] for event in events]


def test_slow_first_steps_are_told():
    assert checked("eager") == [
        "--torch_compile: steps take long while the U-Net is compiled, at the start and for new sizes."
    ]


def test_a_back_end_that_this_torch_lacks_is_refused_with_those_it_has():
    with pytest.raises(UsageError) as caught:
        checked("nvprims_nvfuser")

    assert caught.value.what == "This version of torch has no back end nvprims_nvfuser."
    assert "aot_eager" in caught.value.fix and "inductor" in caught.value.fix


def test_a_missing_compiler_is_named_before_a_model_is_loaded(monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(EnvironmentProblem) as caught:
        checked("inductor")

    assert caught.value.what == "The back end inductor needs a C++ compiler, which is not installed."
