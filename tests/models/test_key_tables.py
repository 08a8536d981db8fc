"""Names of weights, ours and those of single files."""

import pytest
import torch
from tanren.models import text_keys, unet_keys, vae_keys
from tanren.models.configs import SD_VAE, STANDARD
from tiny_models import tiny_parts

UNET = unet_keys.unet_table()
VAE = vae_keys.vae_table()


@pytest.mark.parametrize(
    ("ours", "ldm"),
    [
        ("conv_in.weight", "input_blocks.0.0.weight"),
        ("time_embedding.linear_2.bias", "time_embed.2.bias"),
        ("down_blocks.0.resnets.0.norm1.weight", "input_blocks.1.0.in_layers.0.weight"),
        ("down_blocks.1.resnets.0.conv_shortcut.weight", "input_blocks.4.0.skip_connection.weight"),
        ("down_blocks.2.downsamplers.0.conv.bias", "input_blocks.9.0.op.bias"),
        ("down_blocks.3.resnets.1.time_emb_proj.weight", "input_blocks.11.0.emb_layers.1.weight"),
        ("mid_block.resnets.1.conv2.weight", "middle_block.2.out_layers.3.weight"),
        (
            "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0.bias",
            "middle_block.1.transformer_blocks.0.attn1.to_out.0.bias",
        ),
        ("up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"),
        ("up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"),
        ("up_blocks.3.attentions.2.proj_out.weight", "output_blocks.11.1.proj_out.weight"),
        ("conv_norm_out.bias", "out.0.bias"),
        ("conv_out.weight", "out.2.weight"),
    ],
)
def test_unet_names(ours, ldm):
    back = {theirs: mine for mine, theirs in UNET.items()}

    assert unet_keys.renamed(ours, UNET) == ldm
    assert unet_keys.renamed(ldm, back) == ours


@pytest.mark.parametrize(
    ("ours", "ldm"),
    [
        ("encoder.down_blocks.3.resnets.1.conv2.weight", "encoder.down.3.block.1.conv2.weight"),
        ("encoder.down_blocks.0.downsamplers.0.conv.bias", "encoder.down.0.downsample.conv.bias"),
        ("decoder.up_blocks.0.resnets.2.norm1.weight", "decoder.up.3.block.2.norm1.weight"),
        ("decoder.up_blocks.2.resnets.0.conv_shortcut.bias", "decoder.up.1.block.0.nin_shortcut.bias"),
        ("decoder.up_blocks.2.upsamplers.0.conv.weight", "decoder.up.1.upsample.conv.weight"),
        ("decoder.mid_block.resnets.0.conv1.weight", "decoder.mid.block_1.conv1.weight"),
        ("encoder.mid_block.attentions.0.to_out.0.weight", "encoder.mid.attn_1.proj_out.weight"),
        ("encoder.mid_block.attentions.0.group_norm.bias", "encoder.mid.attn_1.norm.bias"),
        ("decoder.conv_norm_out.weight", "decoder.norm_out.weight"),
        ("post_quant_conv.weight", "post_quant_conv.weight"),
    ],
)
def test_vae_names(ours, ldm):
    back = {theirs: mine for mine, theirs in VAE.items()}

    assert unet_keys.renamed(ours, VAE) == ldm
    assert unet_keys.renamed(ldm, back) == ours


def test_no_two_names_become_one():
    assert len(set(UNET.values())) == len(UNET)
    assert len(set(VAE.values())) == len(VAE)


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_every_weight_of_the_unet_has_a_name_on_both_sides(family):
    back = {theirs: mine for mine, theirs in UNET.items()}
    names = list(tiny_parts(family).unet.state_dict())

    there = [unet_keys.renamed(name, UNET) for name in names]

    assert len(set(there)) == len(names) == 686
    assert [unet_keys.renamed(name, back) for name in there] == names


def test_every_weight_of_the_vae_has_a_name_on_both_sides(meta_vae):
    back = {theirs: mine for mine, theirs in VAE.items()}
    names = list(meta_vae.state_dict())

    there = [unet_keys.renamed(name, VAE) for name in names]

    assert len(set(there)) == len(names) == 248
    assert [unet_keys.renamed(name, back) for name in there] == names


def test_unknown_names_have_no_other_side():
    assert unet_keys.renamed("input_blocks.99.0.weight", UNET) is None


def test_openclip_holds_query_key_and_value_in_one_matrix():
    ours = {
        f"encoder.layers.0.self_attn.{part}.weight": torch.full((2, 2), float(number))
        for number, part in enumerate(("q_proj", "k_proj", "v_proj"))
    }
    ours |= {f"encoder.layers.0.self_attn.{part}.bias": torch.zeros(2) for part in ("q_proj", "k_proj", "v_proj")}
    ours |= {name: torch.zeros(1) for name in text_keys.openclip_table(1)}

    theirs = text_keys.to_openclip(ours, 1)

    assert theirs["transformer.resblocks.0.attn.in_proj_weight"].tolist() == [
        [0, 0],
        [0, 0],
        [1, 1],
        [1, 1],
        [2, 2],
        [2, 2],
    ]
    assert theirs.keys() >= {"positional_embedding", "ln_final.bias", "transformer.resblocks.0.mlp.c_fc.weight"}
    back = text_keys.from_openclip(theirs, 1)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], ours[name]) for name in ours)


def test_openclip_layers_that_the_model_has_not_are_left_out():
    theirs = {f"transformer.resblocks.{layer}.ln_1.weight": torch.zeros(2) for layer in range(24)}

    assert len(text_keys.from_openclip(theirs, 23)) == 23


@pytest.mark.parametrize(
    ("name", "is_ignored"),
    [
        ("embeddings.position_ids", True),
        ("text_projection.weight", True),
        ("logit_scale", True),
        ("vision_model.post_layernorm.weight", True),
        ("final_layer_norm.weight", False),
    ],
)
def test_names_beside_the_text_encoder_are_ignored(name, is_ignored):
    assert bool(text_keys.IGNORED.search(name)) is is_ignored


@pytest.fixture(scope="module")
def meta_vae():
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        return AutoencoderKL(**SD_VAE)


def test_standard_configs_have_the_published_sizes(meta_vae):
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    def parameters(model):
        return sum(parameter.numel() for parameter in model.parameters())

    with torch.device("meta"):
        unets = [UNet2DConditionModel(**STANDARD[family].unet) for family in ("sd1", "sd2")]
        texts = [CLIPTextModel(CLIPTextConfig(**STANDARD[family].text_encoders[0])) for family in ("sd1", "sd2")]

    assert [parameters(unet) for unet in unets] == [859_520_964, 865_910_724]
    assert parameters(meta_vae) == 83_653_863
    assert [parameters(text) for text in texts] == [123_060_480, 340_387_840]
