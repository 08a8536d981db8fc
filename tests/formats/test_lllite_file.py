"""What a ControlNet-LLLite file tells in its header, and when it cannot be a start."""

import pytest
from model_files import write_model
from tanren.errors import ModelFileError
from tanren.formats.lllite_file import LlliteSizes, check_lllite, lllite_sizes

LAYER = "lllite_unet_middle_block_1_transformer_blocks_0_attn1_to_q"
SHAPES = {
    f"{LAYER}.conditioning1.0.weight": (16, 3, 4, 4),
    f"{LAYER}.conditioning1.2.weight": (16, 16, 4, 4),
    f"{LAYER}.down.0.weight": (64, 1280),
}


def test_sizes_are_read_from_the_shapes():
    assert lllite_sizes(SHAPES) == LlliteSizes(channels=32, dim=64, layers=1)
    assert lllite_sizes({"lora_unet_x.down.0.weight": (4, 4)}) is None
    assert lllite_sizes({}) is None


@pytest.mark.parametrize(
    ("shapes", "channels", "dim", "message"),
    [
        ({"lora_unet_x.lora_down.weight": (4, 4)}, 32, 64, "mine.safetensors is no ControlNet-LLLite."),
        (SHAPES, 16, 64, "mine.safetensors has --cond_emb_dim 32 and --network_dim 64."),
        (SHAPES, 32, 32, "Use --cond_emb_dim=32 --network_dim=64 to start from it."),
    ],
)
def test_a_file_that_cannot_be_a_start_is_refused(tmp_path, shapes, channels, dim, message):
    path = write_model(tmp_path / "mine.safetensors", shapes)

    with pytest.raises(ModelFileError) as caught:
        check_lllite(path, "mine.safetensors", channels, dim)

    assert message in str(caught.value)


def test_a_file_of_the_same_sizes_is_accepted(tmp_path):
    path = write_model(tmp_path / "mine.safetensors", SHAPES)

    check_lllite(path, "mine.safetensors", 32, 64)
    check_lllite(path, "mine.safetensors", None, None)
    (tmp_path / "mine.ckpt").write_bytes(b"PK\x03\x04" + bytes(100))
    check_lllite(tmp_path / "mine.ckpt", "mine.ckpt", 1, 1)
