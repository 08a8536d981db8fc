"""Activations computed twice, and what is kept for that waiting in main memory."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from models.test_lean import SMALL, assert_close, gradients, kept_bytes, network_on
from networks.tiny import tiny_unet
from tanren.engine.setup import _block_runner, check_computing
from tanren.events import Report
from tanren.formats.checkpoint_kind import SD1, SDXL
from tanren.models.build import quiet_libraries
from tanren.models.checkpointing import InMainMemory, can_offload, enable_gradient_checkpointing
from tanren.models.configs import STANDARD
from tanren.options.model import AttentionOptions
from tanren.options.spec import Settings
from tanren.options.training import TrainingOptions
from tanren.vram import KNOWN

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


@pytest.mark.parametrize("kind", [SD1, SDXL])
def test_estimates_count_the_stored_inputs_of_full_size_blocks(kind):
    with torch.device("meta"), quiet_libraries():
        unet = UNet2DConditionModel(**STANDARD[kind].unet)
        width, side = STANDARD[kind].unet["cross_attention_dim"], 64
        latents, text = torch.empty(1, 4, side, side, requires_grad=True), torch.empty(1, 77, width)
        added = {"text_embeds": torch.empty(1, 1280), "time_ids": torch.empty(1, 6)}
        run_block = OnMeta()
        enable_gradient_checkpointing(unet, [], run_block)
        unet(latents, torch.empty(1), text, added_cond_kwargs=added)

    # Text and time are read by every block, and do not grow with the picture.
    large = sum(bytes for bytes in run_block.put if bytes > 4 * 77 * width)
    assert large / side**2 == pytest.approx(KNOWN[kind].block_inputs, rel=0.05)


class OnMeta(InMainMemory):
    """Counts bytes of float32."""

    def __init__(self):
        super().__init__(pinned=False, smallest=0)
        self.put = []

    def _put_away(self, tensor):
        self.put.append(tensor.nbytes)
        return tensor.device, tensor
