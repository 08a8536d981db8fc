"""Activations computed twice, and what is kept for that waiting in main memory."""

import pytest
import torch
from models.test_lean import SMALL, assert_close, gradients, kept_bytes, network_on
from networks.tiny import tiny_unet
from tanren.engine.setup import _block_runner, check_computing
from tanren.events import Report
from tanren.models.checkpointing import InMainMemory, can_offload, enable_gradient_checkpointing
from tanren.options.model import AttentionOptions
from tanren.options.spec import Settings
from tanren.options.training import TrainingOptions

CPU, GPU = torch.device("cpu"), torch.device("cuda")


class Counting(InMainMemory):
    """Everything is put away, and counted."""

    def __init__(self):
        super().__init__(pinned=False, smallest=0)
        self.put, self.brought = [], []

    def _put_away(self, tensor):
        device, copy = super()._put_away(tensor)
        assert copy.data_ptr() != tensor.data_ptr() or not tensor.numel()
        self.put.append(tensor.shape)
        return device, copy

    def _bring_back(self, packed):
        self.brought.append(packed[1].shape)
        return super()._bring_back(packed)


@pytest.mark.option("gradient_checkpointing")
def test_checkpointing_keeps_a_part_and_gives_the_same_gradients():
    unet = tiny_unet(**SMALL)
    network = network_on(unet)
    plain, everything = gradients(unet, network), kept_bytes(unet, network)

    enable_gradient_checkpointing(unet, [])

    assert_close(gradients(unet, network), plain, 1e-5)
    assert kept_bytes(unet, network) < 0.4 * everything


@pytest.mark.option("cpu_offload_checkpointing")
def test_inputs_of_blocks_wait_elsewhere_and_gradients_stay_the_same():
    unet = tiny_unet(**SMALL)
    network = network_on(unet)
    plain = gradients(unet, network)
    run_block = Counting()

    enable_gradient_checkpointing(unet, [], run_block)
    offloaded = gradients(unet, network)

    assert_close(offloaded, plain, 1e-5)
    # (2, 32, 16, 16) is what the first resnet reads, (2, 256, 32) the first transformer.
    assert {(2, 32, 16, 16), (2, 256, 32)} <= {tuple(shape) for shape in run_block.put}
    assert sorted(map(tuple, run_block.put)) == sorted(map(tuple, run_block.brought))


def test_small_inputs_stay_where_they_are():
    run_block = InMainMemory(pinned=False)
    small = torch.zeros(2, 77, 768)
    large = torch.zeros(2, 320, 64, 64)

    assert run_block._put_away(small)[1] is small
    assert run_block._put_away(large)[1] is not large


@pytest.mark.parametrize(("device", "answer"), [(CPU, False), (GPU, True), (torch.device("mps"), True)])
def test_only_a_device_with_memory_of_its_own_has_something_to_move(device, answer):
    assert can_offload(device) is answer


@pytest.mark.option("cpu_offload_checkpointing")
def test_the_option_decides_and_memory_is_pinned_for_a_gpu():
    asked = TrainingOptions(cpu_offload_checkpointing=True, gradient_checkpointing=True)

    assert _block_runner(asked, GPU).pinned
    assert _block_runner(asked, CPU) is None
    assert _block_runner(TrainingOptions(gradient_checkpointing=True), GPU) is None


def test_a_cpu_is_told_that_nothing_is_moved():
    events = []
    asked = TrainingOptions(cpu_offload_checkpointing=True, gradient_checkpointing=True)

    check_computing(Settings("train_network", [asked, AttentionOptions()]), CPU, Report([events.append]))

    assert [event["text"] for event in events] == [
        "--cpu_offload_checkpointing has no effect: what a CPU keeps is in main memory anyway."
    ]
