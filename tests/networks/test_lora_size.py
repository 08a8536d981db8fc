"""The size of a LoRA from a header."""

from model_files import SD1_SHAPES
from tanren.networks.lora_args import LoraArgs
from tanren.networks.lora_size import lora_size


def test_linear_and_1x1_layers_of_transformers_count_with_the_rank():
    size = lora_size(SD1_SHAPES, LoraArgs(rank=4), unet=True, text_encoder=True)

    # rank * (in + out): proj_in 64, to_q 64, to_k 96, ff 288; q 128, fc1 320.
    assert (size.unet_layers, size.text_layers, size.numbers) == (4, 2, 960)
    assert size.keys == 18


def test_parts_that_are_not_trained_do_not_count():
    assert lora_size(SD1_SHAPES, LoraArgs(rank=4), unet=True, text_encoder=False).numbers == 512
    assert lora_size(SD1_SHAPES, LoraArgs(rank=4), unet=False, text_encoder=True).numbers == 448


def test_convolutions_count_with_their_own_rank_and_the_time_embedding_with_the_common_one():
    size = lora_size(SD1_SHAPES, LoraArgs(rank=4, conv_rank=2), unet=True, text_encoder=False)

    # in_layers.2: 2 * (8 * 9 + 8) = 160; emb_layers.1: 4 * (32 + 8) = 160.
    assert (size.unet_layers, size.numbers) == (6, 832)


def test_openclip_keeps_three_layers_in_one_matrix():
    shapes = {"cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight": (48, 16)}

    assert lora_size(shapes, LoraArgs(rank=1), unet=True, text_encoder=True).text_layers == 3
    assert lora_size(shapes, LoraArgs(rank=1), unet=True, text_encoder=True).numbers == 96


def test_both_text_encoders_of_sdxl_count_in_single_files_and_folders():
    layer = "encoder.layers.0.self_attn.q_proj.weight"
    single = {
        f"conditioner.embedders.0.transformer.text_model.{layer}": (16, 16),
        "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight": (72, 24),
        "conditioner.embedders.1.model.text_projection": (24, 20),
    }
    folder = {f"text_model.{layer}": (16, 16), f"text_encoder_2.text_model.{layer}": (24, 24)}

    assert lora_size(single, LoraArgs(rank=1), unet=True, text_encoder=True).text_layers == 1 + 3
    assert lora_size(folder, LoraArgs(rank=1), unet=True, text_encoder=True).numbers == 32 + 48
