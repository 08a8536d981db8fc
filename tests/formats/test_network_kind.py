"""Family, type, naming and ranks of small networks, from names and shapes alone."""

from __future__ import annotations

import pytest
from model_files import SD1_SHAPES, SDXL_SHAPES
from network_files import (
    CLIP,
    FLUX_DOUBLE,
    FLUX_LORA,
    FLUX_SINGLE,
    SD1_LORA,
    SD2_LORA,
    SD_ATTENTION,
    SDXL_ATTENTION,
    SDXL_LORA,
    lora,
    peft,
    write_network,
)
from tanren.formats.network_kind import Ranks, network_kind, read_alphas
from tanren.formats.network_names import block_of, part_of, split_name
from tanren.formats.safetensors_header import read_header

UNET_DOTS = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
LLLITE = "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
KINDS = {
    "kohya SD1": (SD1_LORA, "sd1", "lora", "kohya"),
    "kohya SD2": (SD2_LORA, "sd2", "lora", "kohya"),
    "kohya SDXL": (SDXL_LORA, "sdxl", "lora", "kohya"),
    "kohya FLUX": (FLUX_LORA, "flux", "lora", "kohya"),
    "SD1 LoCon": (
        {**SD1_LORA, **lora("lora_unet_down_blocks_0_resnets_0_conv1", 320, 320, 4, (3, 3))},
        *("sd1", "locon", "kohya"),
    ),
    "SD1 with 1x1 convolutions only": (
        lora("lora_unet_down_blocks_0_attentions_0_proj_in", 320, 320, 4, (1, 1)),
        *("sd1", "lora", "kohya"),
    ),
    "SD2 projections only": (
        lora("lora_unet_down_blocks_0_attentions_0_proj_in", 320, 320, 4),
        *("sd2", "lora", "kohya"),
    ),
    "LoCon with a core": (
        {
            f"lora_unet_{SDXL_ATTENTION}.lora_mid.weight": (4, 4, 3, 3),
            **lora(f"lora_unet_{SDXL_ATTENTION}", 2048, 8, 4, (1, 1)),
        },
        *("sdxl", "locon", "kohya"),
    ),
    "SDXL in diffusers names": (
        lora("lora_unet_down_blocks_2_attentions_0_transformer_blocks_3_attn1_to_q", 1280, 1280),
        *("sdxl", "lora", "kohya"),
    ),
    "SDXL self-attention only": (
        lora("lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q", 1280, 1280),
        *("sdxl", "lora", "kohya"),
    ),
    "SD1 text encoder only": (lora(f"lora_te_{CLIP}", 768, 768), "sd1", "lora", "kohya"),
    "SD2 text encoder only": (lora(f"lora_te_{CLIP}", 1024, 1024), "sd2", "lora", "kohya"),
    "SDXL second text encoder only": (lora(f"lora_te2_{CLIP}", 1280, 1280), "sdxl", "lora", "kohya"),
    "LoHa": (
        {
            f"lora_unet_{SD_ATTENTION}.{role}": shape
            for role, shape in {
                "hada_w1_a": (640, 8),
                "hada_w1_b": (8, 768),
                "hada_w2_a": (640, 8),
                "hada_w2_b": (8, 768),
                "alpha": (),
            }.items()
        },
        *("sd1", "loha", "kohya"),
    ),
    "LoKr whole": (
        {
            f"lycoris_{SDXL_ATTENTION}.lokr_w1": (16, 16),
            f"lycoris_{SDXL_ATTENTION}.lokr_w2": (40, 128),
            f"lycoris_{SDXL_ATTENTION}.alpha": (),
        },
        *("sdxl", "lokr", "LyCORIS"),
    ),
    "LoKr in pieces": (
        {
            f"lora_unet_{SD_ATTENTION}.lokr_w1_a": (8, 4),
            f"lora_unet_{SD_ATTENTION}.lokr_w1_b": (4, 8),
            f"lora_unet_{SD_ATTENTION}.lokr_w2_a": (80, 4),
            f"lora_unet_{SD_ATTENTION}.lokr_w2_b": (4, 96),
        },
        *("sd1", "lokr", "kohya"),
    ),
    "GLoRA": (
        {
            f"lora_unet_{SDXL_ATTENTION}.a1.weight": (8, 2048),
            f"lora_unet_{SDXL_ATTENTION}.a2.weight": (2048, 8),
            f"lora_unet_{SDXL_ATTENTION}.b1.weight": (8, 2048),
            f"lora_unet_{SDXL_ATTENTION}.b2.weight": (640, 8),
        },
        *("sdxl", "glora", "kohya"),
    ),
    "OFT of kohya": ({f"oft_unet_{SDXL_ATTENTION}.oft_blocks": (4, 160, 160)}, "sdxl", "oft", "kohya (OFT)"),
    "BOFT": ({f"lora_unet_{SDXL_ATTENTION}.oft_blocks": (2, 4, 160, 160)}, "sdxl", "boft", "kohya"),
    "IA3": (
        {f"lora_unet_{SDXL_ATTENTION}.weight": (640, 1), f"lora_unet_{SDXL_ATTENTION}.on_input": ()},
        *("sdxl", "ia3", "kohya"),
    ),
    "full differences": (
        {f"lora_unet_{SD_ATTENTION}.diff": (640, 768), f"lora_unet_{SD_ATTENTION}.diff_b": (640,)},
        *("sd1", "full", "kohya"),
    ),
    "LLLite": (
        {
            f"{LLLITE}.conditioning1.0.weight": (16, 3, 4, 4),
            f"{LLLITE}.down.0.weight": (64, 640),
            f"{LLLITE}.mid.0.weight": (64, 96),
            f"{LLLITE}.up.0.weight": (640, 64),
        },
        *("sdxl", "lllite", "kohya (LLLite)"),
    ),
    "PEFT SD1": (peft(f"unet.{UNET_DOTS}", 768, 640), "sd1", "lora", "PEFT (diffusers)"),
    "PEFT SDXL (ai-toolkit)": (
        peft("unet.down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k", 2048, 640),
        *("sdxl", "lora", "PEFT (diffusers)"),
    ),
    "PEFT FLUX (ai-toolkit)": (
        peft("transformer.single_transformer_blocks.0.attn.to_q", 3072, 3072),
        *("flux", "lora", "PEFT (diffusers)"),
    ),
    "PEFT FLUX, double blocks only": (
        {
            **peft("transformer.transformer_blocks.0.attn.to_q", 3072, 3072),
            **peft("transformer.transformer_blocks.0.attn.add_q_proj", 3072, 3072),
        },
        *("flux", "lora", "PEFT (diffusers)"),
    ),
    "PEFT SD3": (
        {
            **peft("transformer.transformer_blocks.0.attn.to_q", 1536, 1536),
            **peft("transformer.transformer_blocks.0.attn.add_q_proj", 1536, 1536),
        },
        *("sd3", "lora", "PEFT (diffusers)"),
    ),
    "old diffusers": (
        {f"unet.{UNET_DOTS}.lora.down.weight": (4, 768), f"unet.{UNET_DOTS}.lora.up.weight": (640, 4)},
        *("sd1", "lora", "diffusers"),
    ),
    "attention processors": (
        {
            "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight": (4, 768),
            "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.up.weight": (640, 4),
        },
        *("sd1", "lora", "diffusers"),
    ),
    "OneTrainer FLUX": (
        lora("lora_transformer_single_transformer_blocks_0_attn_to_q", 3072, 3072),
        *("flux", "lora", "OneTrainer"),
    ),
    "generic FLUX": (
        peft("diffusion_model.double_blocks.0.img_attn.qkv", 3072, 9216),
        *("flux", "lora", "generic (ComfyUI)"),
    ),
    "xlabs FLUX": (
        {
            "double_blocks.0.processor.qkv_lora1.down.weight": (16, 3072),
            "double_blocks.0.processor.qkv_lora1.up.weight": (9216, 16),
        },
        *("flux", "lora", ""),
    ),
    "SD1 checkpoint": (SD1_SHAPES, "sd1", "checkpoint", ""),
    "SDXL checkpoint": (SDXL_SHAPES, "sdxl", "checkpoint", ""),
    "embedding": ({"emb_params": (4, 768)}, "unknown", "embedding", ""),
    "VAE": ({"decoder.conv_in.weight": (4, 4, 3, 3)}, "unknown", "vae", ""),
    "anything": ({"weight": (1,)}, "unknown", "unknown", ""),
    "nothing": ({}, "unknown", "unknown", ""),
    "alphas alone": ({"lora_unet_x.alpha": ()}, "unknown", "unknown", ""),
}


@pytest.mark.parametrize("name", KINDS)
def test_family_type_and_naming_follow_from_names_and_shapes(name):
    shapes, family, kind, naming = KINDS[name]

    found = network_kind(shapes)

    assert (found.family, found.type, found.naming) == (family, kind, naming)


def test_a_dora_is_told_by_its_magnitudes():
    with_scale = {**SDXL_LORA, f"lora_unet_{SDXL_ATTENTION}.dora_scale": (1, 2048)}

    assert network_kind(with_scale).type_title == "DoRA"
    assert network_kind({**KINDS["LoKr whole"][0], "lycoris_x.dora_scale": (1, 4)}).type_title == "DoRA on LoKr"


def test_ranks_are_told_per_part_and_per_block():
    shapes = {**FLUX_LORA, **lora("lora_unet_double_blocks_0_img_attn_proj", 3072, 3072, 4)}

    kind = network_kind(shapes, {f"lora_unet_{FLUX_DOUBLE}": 16.0, f"lora_unet_{FLUX_SINGLE}": 1.0})

    assert kind.by_part() == {
        "unet": Ranks(3, {4: 1, 16: 2}, {1.0: 1, 16.0: 1}),
        "te1": Ranks(1, {8: 1}, {}),
    }
    assert list(kind.by_block()) == [
        ("unet", "double 0"),
        ("unet", "double 7"),
        ("unet", "single 30"),
        ("te1", "layer 3"),
    ]
    assert kind.by_part()["unet"].text == "rank 4 to 16, alpha 1 to 16"


@pytest.mark.parametrize(
    ("name", "rank"),
    [("LoHa", 8), ("LoKr whole", None), ("LoKr in pieces", 4), ("GLoRA", 8), ("OFT of kohya", None), ("LLLite", 64)],
)
def test_the_rank_of_other_algorithms(name, rank):
    assert [layer.rank for layer in network_kind(KINDS[name][0]).layers] == [rank]


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
def test_alphas_are_read_from_the_payload(tmp_path, dtype):
    path = write_network(tmp_path / "a.safetensors", SD1_LORA, alpha=2.5, dtype=dtype)

    assert read_alphas(path, read_header(path)) == {f"lora_unet_{SD_ATTENTION}": 2.5, f"lora_te_{CLIP}": 2.5}


def test_alphas_that_are_no_numbers_are_left_out(tmp_path):
    shapes = {"lora_unet_x.lora_down.weight": (1, 1), "lora_unet_x.alpha": (4, 4), "lora_unet_y.alpha": (0,)}
    path = write_network(tmp_path / "a.safetensors", {**shapes})
    header = read_header(path)

    assert read_alphas(path, header) == {}


@pytest.mark.parametrize(
    ("layer", "part", "block"),
    [
        ("lora_unet_input_blocks_4_1_proj_in", "unet", "in 4"),
        ("lora_unet_middle_block_1_proj_in", "unet", "mid"),
        ("lora_unet_mid_block_attentions_0_proj_in", "unet", "mid"),
        ("lora_unet_output_blocks_0_1_proj_in", "unet", "out 0"),
        ("lora_unet_up_blocks_3_attentions_2_proj_in", "unet", "up 3"),
        ("text_encoder_2.text_model.encoder.layers.11.mlp.fc1", "te2", "layer 11"),
        ("lora_te3_encoder_block_23_layer_0_SelfAttention_q", "te3", "layer 23"),
        ("transformer.single_transformer_blocks.37.proj_out", "unet", "single 37"),
        ("bundle_emb.cat.string_to_param", "embedding", "other"),
        ("something", "other", "other"),
    ],
)
def test_parts_and_blocks(layer, part, block):
    assert (part_of(layer), block_of(layer)) == (part, block)


def test_names_of_other_things_are_not_split():
    assert split_name("model.diffusion_model.input_blocks.0.0.weight") is None
    assert split_name("alpha") is None
