"""What a file is told to be, from names and shapes as they stand in published files."""

import pytest
from tanren.errors import ModelFileError, UsageError
from tanren.formats.checkpoint_kind import (
    SD_BASES,
    SDXL_BASES,
    CheckpointKind,
    base_model_problem,
    kind_of,
    prediction_warnings,
)

M = "model.diffusion_model."
CONTEXT = f"{M}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
FIRST = f"{M}input_blocks.0.0.weight"
SD1_TEXT = "cond_stage_model.transformer.text_model.final_layer_norm.weight"
SD2_TEXT = "cond_stage_model.model.ln_final.weight"
SD1 = {
    FIRST: (320, 4, 3, 3),
    CONTEXT: (640, 768),
    SD1_TEXT: (768,),
    "first_stage_model.quant_conv.weight": (8, 8, 1, 1),
}
SD2 = {FIRST: (320, 4, 3, 3), CONTEXT: (640, 1024), SD2_TEXT: (1024,)}


@pytest.mark.parametrize(
    ("family", "shapes"),
    [
        ("sd1", SD1),
        ("sd1", {FIRST: (320, 4, 3, 3), "cond_stage_model.transformer.embeddings.position_ids": (1, 77)}),
        ("sd1", {FIRST: (320, 4, 3, 3), CONTEXT: (640, 768)}),
        ("sd2", SD2),
        ("sd2", {FIRST: (320, 4, 3, 3), CONTEXT: (640, 1024)}),
        ("sd2", {FIRST: (320, 4, 3, 3), "conditioner.embedders.0.model.ln_final.weight": (1024,)}),
        ("sdxl", {FIRST: (320, 4, 3, 3), "conditioner.embedders.1.model.ln_final.weight": (1280,)}),
        ("sdxl", {FIRST: (320, 4, 3, 3), f"{M}label_emb.0.0.weight": (1280, 2816)}),
        ("sdxl_refiner", {FIRST: (384, 4, 3, 3), f"{M}label_emb.0.0.weight": (1536, 2560)}),
        ("flux", {"double_blocks.0.img_attn.norm.key_norm.scale": (128,)}),
        ("flux", {f"{M}double_blocks.0.img_attn.norm.key_norm.scale": (128,)}),
        ("flux", {"transformer_blocks.0.attn.add_k_proj.bias": (3072,)}),
        ("sd3", {f"{M}joint_blocks.0.context_block.adaLN_modulation.1.bias": (9216,)}),
        ("lora", {"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": (4, 1280, 1, 1)}),
        ("lora", {"unet.mid_block.attentions.0.proj_in.lora_A.weight": (4, 1280)}),
        ("lllite", {"lllite_unet_input_blocks_4_1.down.0.weight": (16, 640)}),
        ("controlnet", {"control_model.input_blocks.0.0.weight": (320, 4, 3, 3)}),
        ("embedding", {"emb_params": (4, 768)}),
        ("vae", {"decoder.conv_in.weight": (512, 4, 3, 3)}),
        ("vae", {"first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3)}),
        ("unet", {"down_blocks.0.resnets.0.conv1.weight": (320, 320, 3, 3)}),
        ("text_encoder", {"text_model.embeddings.token_embedding.weight": (49408, 768)}),
        ("unknown", {"something.weight": (1,)}),
        ("unknown", {}),
    ],
)
def test_family_is_told_from_names_and_shapes(family, shapes):
    assert kind_of(shapes).family == family


def test_widths_do_not_matter_where_names_tell_the_family():
    tiny = {FIRST: (8, 4, 3, 3), CONTEXT: (16, 16), SD1_TEXT: (16,)}

    assert kind_of(tiny).family == "sd1"


def test_nine_input_channels_are_an_inpainting_model():
    kind = kind_of({**SD1, FIRST: (320, 9, 3, 3)})

    assert kind.sentence == "a Stable Diffusion 1 model for inpainting (9 input channels)"


def test_prediction_type_is_what_the_file_says():
    assert kind_of(SD1).prediction is None
    assert kind_of({**SD1, "v_pred": ()}).prediction == "v"
    assert not kind_of({**SD1, "v_pred": ()}).zero_terminal_snr
    assert kind_of({**SD1, "v_pred": (), "ztsnr": ()}).zero_terminal_snr
    assert kind_of(SD2, {"modelspec.prediction_type": "v"}).prediction == "v"
    assert kind_of(SD2, {"modelspec.prediction_type": "epsilon"}).prediction == "epsilon"


def test_parts_that_are_not_in_the_file_are_seen():
    assert kind_of(SD1).has_vae
    assert not kind_of(SD2).has_vae
    assert not kind_of({FIRST: (320, 4, 3, 3), CONTEXT: (640, 768)}).has_text_encoder


def test_fitting_flags_are_no_problem():
    assert base_model_problem(CheckpointKind("sd1"), "a.safetensors", bases=SD_BASES, v2=False) is None
    assert base_model_problem(CheckpointKind("sd2"), "a.safetensors", bases=SD_BASES, v2=True) is None


@pytest.mark.rule("mdl-05")
def test_an_sdxl_file_is_refused_with_what_it_is():
    problem = base_model_problem(CheckpointKind("sdxl"), "juggernaut.safetensors", bases=SD_BASES, v2=False)

    assert isinstance(problem, ModelFileError)
    assert str(problem) == (
        "--pretrained_model_name_or_path: juggernaut.safetensors is an SDXL model.\n"
        "  Use the command of the same name with sdxl_ in front, or give a Stable Diffusion 1 or 2 checkpoint."
    )


def test_v2_on_an_sd1_file_is_refused():
    problem = base_model_problem(CheckpointKind("sd1"), "a.safetensors", bases=SD_BASES, v2=True)

    assert isinstance(problem, UsageError)
    assert str(problem) == (
        "--v2: a.safetensors is a Stable Diffusion 1 model, so --v2 does not fit.\n  Leave --v2 out."
    )


def test_an_sd2_file_without_v2_is_refused():
    problem = base_model_problem(CheckpointKind("sd2"), "a.safetensors", bases=SD_BASES, v2=False)

    assert isinstance(problem, UsageError)
    assert "a.safetensors is a Stable Diffusion 2 model, and --v2 is missing." in str(problem)


@pytest.mark.parametrize(
    ("family", "sentence"),
    [
        ("lora", "a.safetensors is a LoRA or another small network."),
        ("vae", "a.safetensors is an autoencoder (VAE) alone."),
        ("unknown", "a.safetensors is not a model that is known here."),
    ],
)
def test_other_files_are_refused_with_what_they_are(family, sentence):
    assert sentence in str(base_model_problem(CheckpointKind(family), "a.safetensors", bases=SD_BASES, v2=False))


def test_an_inpainting_model_is_refused():
    problem = base_model_problem(CheckpointKind("sd1", in_channels=9), "a.safetensors", bases=SD_BASES, v2=False)

    assert "a Stable Diffusion 1 model for inpainting (9 input channels)" in str(problem)


@pytest.mark.parametrize(
    ("kind", "what", "fix"),
    [
        (
            CheckpointKind("sd1"),
            "a is a Stable Diffusion 1 model.",
            "Use the command of the same name without sdxl_ in front, or give an SDXL base checkpoint.",
        ),
        (CheckpointKind("sdxl_refiner"), "a is an SDXL refiner.", "Give an SDXL base checkpoint."),
        (
            CheckpointKind("sdxl", in_channels=9),
            "a is an SDXL model for inpainting (9 input channels).",
            "Train on the ordinary model it was made from.",
        ),
        (
            CheckpointKind("sdxl", prediction="edm"),
            "a is an SDXL model with the noise schedule EDM, which cannot be trained here.",
            "Give an SDXL base checkpoint that predicts epsilon or v.",
        ),
    ],
)
def test_what_cannot_be_the_base_of_an_sdxl_training_is_named(kind, what, fix):
    problem = base_model_problem(kind, "a", bases=SDXL_BASES, v2=False)

    assert (problem.what, problem.fix) == (what, fix)


@pytest.mark.parametrize("mark", ["edm_mean", "edm_vpred.sigma_max"])
def test_edm_models_are_told_by_their_marks(mark):
    shapes = {FIRST: (320, 4, 3, 3), "conditioner.embedders.1.model.ln_final.weight": (1280,), mark: (4,)}

    assert kind_of(shapes).prediction == "edm"


def test_missing_parts_are_problems_unless_given_otherwise():
    pruned = CheckpointKind("sd1", has_vae=False)

    assert base_model_problem(pruned, "a", bases=SD_BASES, v2=False) is None
    assert "a has no VAE." in str(base_model_problem(pruned, "a", bases=SD_BASES, v2=False, needs_vae=True))
    assert "a has no text encoder." in str(
        base_model_problem(CheckpointKind("sd1", has_text_encoder=False), "a", bases=SD_BASES, v2=False)
    )


def test_flags_that_contradict_the_file_are_warned_of():
    v = CheckpointKind("sd2", prediction="v", zero_terminal_snr=True)
    epsilon = CheckpointKind("sd1", prediction="epsilon")

    assert prediction_warnings(v, "a", v_parameterization=True, zero_terminal_snr=True) == []
    assert prediction_warnings(v, "a", v_parameterization=False, zero_terminal_snr=False) == [
        "a says that it predicts v: --v_parameterization is probably missing.",
        "a says that it was trained with zero terminal SNR: --zero_terminal_snr is missing.",
    ]
    assert prediction_warnings(epsilon, "a", v_parameterization=True, zero_terminal_snr=False) == [
        "a says that it predicts the noise (epsilon): --v_parameterization is probably wrong."
    ]
