"""Files, packages and lengths that are looked at before a model is loaded."""

import importlib.util
import sys

import pytest
from model_files import SD1_SHAPES, UNET, write_model
from PIL import Image
from tanren.plan import plan

VAE_SHAPES = {"decoder.conv_in.weight": (8, 4, 3, 3)}
UNET_LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0"
SDXL_SHAPES = {
    **{name: shape for name, shape in SD1_SHAPES.items() if not name.startswith("cond_stage_model")},
    f"{UNET}label_emb.0.0.weight": (8, 2816),
    "conditioner.embedders.1.model.ln_final.weight": (8,),
}


@pytest.fixture
def words(tmp_path):
    folder = tmp_path / "pictures" / "1_cat"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    (folder / "a.caption").write_text("a cat")
    return {
        "pretrained_model_name_or_path": str(write_model(tmp_path / "model.safetensors")),
        "train_data_dir": str(tmp_path / "pictures"),
        "output_dir": str(tmp_path / "out"),
        "network_module": "networks.lora",
        "resolution": "64",
    }


def told(words, *more, **changed):
    """(messages, warnings) of a plan."""
    typed = [f"--{name}={value}" for name, value in {**words, **changed}.items() if value is not None]
    _, problems = plan("train_network", [*typed, *more])
    return [str(problem) for problem in problems.errors], problems.warnings


def test_good_run_has_nothing_to_tell(words):
    assert told(words) == ([], [])


def test_a_precision_that_only_the_launcher_has_is_told(words, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")

    assert told(words) == (
        [],
        [
            "--mixed_precision: accelerate launch was given bf16, which is not handed on; this run computes with no. "
            "Add --mixed_precision=bf16 behind the name of the script."
        ],
    )
    assert told(words, mixed_precision="bf16") == told(words, mixed_precision="no") == ([], [])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pretrained_model_name_or_path": "no.safetensors"}, "'no.safetensors' is not there."),
        ({"vae": "no.safetensors"}, "--vae: 'no.safetensors' is not there."),
        ({"network_weights": "no.safetensors"}, "--network_weights: 'no.safetensors' is not there."),
        ({"base_weights": "no.safetensors"}, "--base_weights: 'no.safetensors' is not there."),
        ({"resume": "no-state"}, "--resume: 'no-state' is not there."),
        ({"sample_prompts": "no.txt", "sample_every_n_epochs": 1}, "--sample_prompts: 'no.txt' is not there."),
        ({"log_tracker_config": "no.toml"}, "--log_tracker_config: 'no.toml' is not there."),
        ({"network_module": None}, "--network_module: no network was chosen."),
        ({"network_module": "networks.dylora"}, "is not part of this trainer."),
        ({"network_args": "conv_dim=x"}, "conv_dim=x is not a whole number of 0 or more."),
        ({"network_args": "block_dims=1,2"}, "block_dims has 2 numbers; this model has 25 blocks."),
        ({"lr_scheduler": "cosine_with_min_lr"}, "needs --lr_scheduler_min_lr_ratio."),
        ({"lr_scheduler": "piecewise_constant"}, "piecewise_constant needs step_rules"),
        ({"initial_step": 20, "max_train_epochs": 10}, "20 is not below the length of the run, 10 steps."),
        ({"initial_epoch": 11, "max_train_epochs": 10}, "11 is behind the last epoch of the run, 10."),
        ({"v2": None, "train_data_dir": "no-folder"}, "--train_data_dir: 'no-folder' is not there."),
    ],
)
@pytest.mark.rule("cfg-03")
def test_what_is_missing_or_does_not_fit_is_told_before_a_model_is_loaded(words, changed, message):
    errors, _ = told(words, **changed)

    assert len(errors) == 1, errors
    assert message in errors[0]


@pytest.mark.parametrize("name", ["fp8_base", "fp8_base_unet"])
def test_networks_of_other_packages_are_refused_on_a_base_in_eight_bits(words, name):
    errors, _ = told(words, f"--{name}", network_module="lycoris.kohya", mixed_precision="bf16")

    assert errors == [f"--{name}: It works with networks.lora only, not with lycoris.kohya.\n  Leave one of them out."]


@pytest.mark.rule("mdl-05")
def test_model_of_another_family_is_named_for_what_it_is(words, tmp_path):
    model = write_model(tmp_path / "xl.safetensors", SDXL_SHAPES)

    errors, _ = told(words, pretrained_model_name_or_path=model)

    assert "is an SDXL model." in errors[0]
    assert "Use the command of the same name with sdxl_ in front" in errors[0]


def lora_shapes(layer=f"{UNET_LAYER}_attn2_to_k", width=16):
    return {f"{layer}.alpha": (), f"{layer}.lora_down.weight": (4, width), f"{layer}.lora_up.weight": (8, 4)}


def test_other_models_that_fit_are_no_problem(words, tmp_path):
    vae = write_model(tmp_path / "vae.safetensors", VAE_SHAPES)
    own_width = write_model(tmp_path / "small.safetensors", lora_shapes())
    sd1_width = write_model(tmp_path / "sd1.safetensors", lora_shapes(width=768))

    assert told(words, vae=vae, base_weights=own_width, network_weights=sd1_width) == ([], [])


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (SD1_SHAPES, "lora.safetensors is a Stable Diffusion 1 model, not a LoRA."),
        (VAE_SHAPES, "lora.safetensors is an autoencoder (VAE) alone, not a LoRA."),
        (lora_shapes("lora_te2_text_model_encoder_layers_0_mlp_fc1"), "lora.safetensors is a LoRA for an SDXL model"),
        (lora_shapes("lora_unet_double_blocks_0_img_attn_qkv"), "lora.safetensors is a LoRA for a FLUX.1 model"),
        (lora_shapes(width=1024), "lora.safetensors is a LoRA for a Stable Diffusion 2 model, and the base model is a"),
    ],
)
@pytest.mark.parametrize("option", ["network_weights", "base_weights"])
@pytest.mark.rule("mdl-05")
def test_what_is_no_lora_for_this_model_is_told_before_it_is_loaded(words, tmp_path, option, shapes, message):
    write_model(tmp_path / "lora.safetensors", shapes)

    errors, _ = told(words, **{option: tmp_path / "lora.safetensors"})

    assert len(errors) == 1, errors
    assert errors[0].startswith(f"--{option}: ")
    assert message in errors[0]


def test_a_lora_in_place_of_a_vae_is_told_before_the_model_is_loaded(words, tmp_path):
    lora = write_model(tmp_path / "lora.safetensors", lora_shapes())

    errors, _ = told(words, vae=lora)

    assert errors == [
        f"--vae: {lora} is a LoRA or another small network, and holds no VAE.\n  Give a VAE file or folder."
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network_dim": 8}, "lora.safetensors has rank 4, and --network_dim is 8."),
        ({"network_args": "conv_dim=2"}, "lora.safetensors has rank 3, and conv_dim in --network_args is 2."),
    ],
)
@pytest.mark.rule("mdl-05")
def test_a_start_of_another_rank_is_told_before_the_model_is_loaded(words, tmp_path, changed, message):
    convolution = {"lora_unet_conv_in.lora_down.weight": (3, 4, 3, 3), "lora_unet_conv_in.lora_up.weight": (8, 3, 1, 1)}
    start = write_model(tmp_path / "lora.safetensors", {**lora_shapes(), **convolution})

    errors, _ = told(words, network_weights=start, **changed)

    assert len(errors) == 1, errors
    assert message in errors[0]
    assert "Add --dim_from_weights" in errors[0]
    with_its_own = {name: value for name, value in changed.items() if name == "network_args"}
    assert told(words, "--dim_from_weights", network_weights=start, **with_its_own)[0] == []


@pytest.mark.rule("mdl-01")
@pytest.mark.rule("cfg-03")
def test_damaged_models_and_a_state_that_is_none_come_in_one_report(words, tmp_path):
    (tmp_path / "vae.safetensors").write_text("<html>404</html>")
    (tmp_path / "lora.safetensors").write_bytes(b"")
    (tmp_path / "x-state").mkdir()

    errors, _ = told(
        words,
        vae=tmp_path / "vae.safetensors",
        network_weights=tmp_path / "lora.safetensors",
        resume=tmp_path / "x-state",
    )

    assert len(errors) == 3
    assert "vae.safetensors is a web page" in errors[0]
    assert "lora.safetensors" in errors[1]
    assert "x-state: It is no whole state." in errors[2]


@pytest.mark.rule("txt-04")
def test_mistakes_in_the_sample_prompts_are_told_with_their_line(words, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat --w 64 --h 64\na dog --s many\n")

    errors, _ = told(words, sample_prompts=prompts, sample_every_n_epochs=1)

    assert len(errors) == 1
    assert "prompts.txt:2" in errors[0]


@pytest.mark.rule("cfg-01")
def test_tracker_config_is_read_before_the_run(words, tmp_path):
    (tmp_path / "tracker.toml").write_text("a = \n")

    errors, _ = told(words, log_tracker_config=tmp_path / "tracker.toml")

    assert "tracker.toml:1: This is not valid TOML" in errors[0]


def test_more_multipliers_than_base_weights_are_refused(words, tmp_path):
    weights = write_model(tmp_path / "lora.safetensors", lora_shapes())

    errors, _ = told(words, "--base_weights", str(weights), "--base_weights_multiplier", "1", "0.5")

    assert errors == [
        "--base_weights_multiplier: There are 1 more multipliers than --base_weights.\n  Give one per file."
    ]


@pytest.mark.rule("V44")
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="only the trainer's environment is asked")
def test_tracker_whose_package_is_missing_names_it(words, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    errors, _ = told(words, log_with="wandb")

    assert errors == [
        "--log_with: wandb needs the package wandb, which is not installed.\n"
        "  Install it in the trainer's environment: pip install wandb"
    ]


@pytest.mark.skipif(importlib.util.find_spec("xformers") is not None, reason="xformers is installed here")
def test_xformers_that_is_missing_is_a_warning(words):
    errors, warnings = told(words, "--xformers")

    assert errors == []
    assert warnings == ["--xformers: the package is not installed; PyTorch's own attention is used."]


def test_warm_up_longer_than_the_run_is_a_warning(words):
    _, warnings = told(words, lr_scheduler="cosine", lr_warmup_steps=500, max_train_epochs=10)

    assert warnings == ["--lr_warmup_steps: the warm-up of 500 steps is longer than the run of 10."]


@pytest.mark.rule("cfg-03")
def test_a_misspelled_schedule_is_told_beside_a_missing_folder(words):
    errors, _ = told(words, train_data_dir="no-folder", lr_scheduler="cosin")

    assert [error.splitlines()[0] for error in errors] == [
        "--train_data_dir: 'no-folder' is not there.",
        "--lr_scheduler: 'cosin' is not a known schedule.",
    ]


@pytest.mark.parametrize("content", [None, "seed = \n"])
def test_what_would_stand_in_an_unreadable_config_file_is_not_called_missing(words, tmp_path, content):
    if content:
        (tmp_path / "mine.toml").write_text(content)
    only = {"network_weights": "no.safetensors", "config_file": tmp_path / "mine.toml"}

    errors, _ = told(dict.fromkeys(words), **only)

    assert len(errors) == 2
    assert errors[0].startswith("--config_file ")
    assert errors[1].startswith("--network_weights: ")


def test_hub_ids_are_not_looked_for_on_the_disk(words):
    assert told(words, pretrained_model_name_or_path="owner/name", vae="owner/vae") == ([], [])
