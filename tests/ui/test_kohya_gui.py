"""Configurations of kohya_ss' GUI, as its Save button writes them."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tanren.commands import COMMANDS
from tanren.errors import Problems, UsageError
from tanren.options.contents import with_files
from tanren.options.parse import parse_spec
from tanren.ui.exchange import import_text
from tanren.ui.imported import NotTaken

GOLDEN = Path(__file__).parents[1] / "golden"


def imported(**values):
    return import_text("train_network", json.dumps({"LoRA_type": "Standard", **values}), "gui.json")


def golden(name):
    return import_text("train_network", (GOLDEN / name).read_text(encoding="utf-8"), name)


def test_a_lora_of_stable_diffusion_1_is_taken_over(tmp_path):
    result = golden("kohya-gui-lora.json")

    assert result.options == {
        "network_module": "networks.lora",
        "network_args": ["conv_dim=8", "conv_alpha=4", "module_dropout=0.1"],
        "network_train_unet_only": True,
        "unet_lr": 0.0001,
        "max_train_epochs": 10,
        "lr_warmup_steps": 0.1,
        "noise_offset": 0.05,
        "xformers": True,
        "optimizer_args": ["weight_decay=0.1", "betas=0.9,0.99"],
        "lr_scheduler_num_cycles": 10,
        "sample_prompts": ["sks girl, smile --w 512 --h 768", "sks girl, 1girl --n lowres"],
        "caption_tag_dropout_rate": 0.1,
        "keep_tokens_separator": "|||",
        "bucket_no_upscale": True,
        "cache_latents": True,
        "caption_dropout_rate": 0.05,
        "caption_extension": ".txt",
        "clip_skip": 2,
        "enable_bucket": True,
        "fp8_base": True,
        "gradient_checkpointing": True,
        "huggingface_repo_id": "me/my-lora",
        "keep_tokens": 1,
        "learning_rate": 0.0001,
        "logging_dir": "D:/学習 (1)/log",
        "lr_scheduler": "cosine_with_restarts",
        "max_bucket_reso": 2048,
        "max_data_loader_n_workers": 0,
        "max_timestep": 1000,
        "max_token_length": 150,
        "metadata_title": "私のLoRA",
        "min_snr_gamma": 5.0,
        "mixed_precision": "fp16",
        "network_alpha": 16.0,
        "network_dim": 32,
        "optimizer_type": "AdamW8bit",
        "output_dir": "D:/学習 (1)/model",
        "output_name": "my lora",
        "pretrained_model_name_or_path": "D:/models/sd15.safetensors",
        "resolution": [512, 768],
        "sample_every_n_epochs": 1,
        "sample_sampler": "euler_a",
        "save_every_n_epochs": 1,
        "save_precision": "fp16",
        "seed": 1234,
        "shuffle_caption": True,
        "train_batch_size": 2,
        "train_data_dir": "D:/学習 (1)/img",
        "training_comment": "trigger: sks girl",
    }
    problems = Problems()
    parse_spec("train_network", COMMANDS["train_network"].groups, with_files(result.options, tmp_path), "", problems)
    assert problems.errors == []


def test_its_report_says_what_was_changed_and_what_was_left_out():
    result = golden("kohya-gui-lora.json")

    assert [tuple(change) for change in result.changed] == [
        (
            "text_encoder_lr",
            0,
            "network_train_unet_only = true",
            "0 means in the GUI that the text encoder is not trained.",
        ),
        (
            "epoch",
            10,
            "max_train_epochs = 10",
            "The GUI counts the steps of its epochs; here epochs are counted themselves.",
        ),
        ("lr_warmup", 10, "lr_warmup_steps = 0.1", "Percent as a ratio of all steps."),
        (
            "lr_scheduler_num_cycles",
            "",
            "lr_scheduler_num_cycles = 10",
            "An empty field means in the GUI one cycle per epoch.",
        ),
    ]
    assert {(name, str(value)) for name, value, _ in result.not_taken} == {
        ("multires_noise_iterations", "6"),
        ("stop_text_encoder_training", "20"),
        ("additional_parameters", "--nosuch"),
        ("huggingface_token", "***"),
        ("multi_gpu", "True"),
        ("num_processes", "2"),
    }
    assert all(why.endswith(".") for _, _, why in result.not_taken)
    assert {"LoRA_type", "conv_dim", "max_resolution", "optimizer", "v2", "xformers"} <= set(result.taken)


def test_a_lora_of_sdxl_is_taken_over_for_the_command_that_trains_it():
    result = golden("kohya-gui-sdxl.json")

    assert result.command == "sdxl_train_network"
    assert {"sdxl", "sdxl_no_half_vae"} <= set(result.taken)
    assert result.options["no_half_vae"] is True
    assert result.not_taken == [
        NotTaken("epoch", 4, "max_train_steps is given, so that the GUI does not use it."),
        NotTaken("noise_offset", 0.0357, "noise_offset_type is Multires, so that the GUI does not use it."),
    ]
    assert result.options["network_module"] == "lycoris.kohya"
    assert result.options["network_args"] == [
        *("algo=lokr", "preset=full", "conv_dim=100000", "conv_alpha=1", "factor=8", "use_cp=True")
    ]
    assert result.options["max_train_steps"] == 2000
    assert result.options["lr_warmup_steps"] == 50
    assert result.options["sdpa"] is True
    assert result.options["text_encoder_lr"] == [1.0]
    assert result.changed == []


def test_the_checkbox_of_sdxl_decides_for_which_command_a_file_is():
    assert imported(sdxl=True).command == "sdxl_train_network"
    assert imported(sdxl=False).command == "train_network"
    text = json.dumps({"LoRA_type": "Standard"})
    assert import_text("sdxl_train_network", text, "gui.json").command == "sdxl_train_network"


def test_captions_that_the_gui_caches_for_sdxl_are_cached_here():
    result = imported(sdxl=True, sdxl_cache_text_encoder_outputs=True, sdxl_no_half_vae=False, clip_skip=2)

    assert result.options == {"network_module": "networks.lora", "cache_text_encoder_outputs": True}
    assert result.not_taken == [
        NotTaken("clip_skip", 2, "It has no effect: SDXL always takes the layer before the last.")
    ]


def test_a_family_that_is_not_trained_here_is_told():
    assert imported(flux1_checkbox=True).not_taken == [
        NotTaken("flux1_checkbox", True, "The file is for FLUX.1, which this command does not train.")
    ]


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ({"xformers": True}, {"xformers": True}),
        ({"xformers": "none"}, {}),
        (
            {"unet_lr": 0, "text_encoder_lr": "5e-5"},
            {"text_encoder_lr": [5e-5], "network_train_text_encoder_only": True},
        ),
        ({"unet_lr": 0, "text_encoder_lr": 0, "learning_rate": 1e-4}, {"learning_rate": 1e-4}),
        ({"seed": 0, "clip_skip": 0, "min_snr_gamma": 0}, {}),
        ({"epoch": 3, "max_train_epochs": 7}, {"max_train_epochs": 7}),
        ({"sample_prompts": "/x/prompts.txt"}, {"sample_prompts": "/x/prompts.txt"}),
        ({"loraplus_lr_ratio": 16}, {"network_args": ["loraplus_lr_ratio=16"]}),
        ({"caption_extension": ""}, {}),
        ({"dynamo_backend": "no"}, {}),
    ],
)
def test_values_mean_what_they_mean_in_the_gui(values, options):
    result = imported(**values)

    assert result.options == {"network_module": "networks.lora", **options}
    assert result.not_taken == []


@pytest.mark.parametrize(
    ("values", "name", "why"),
    [
        ({"network_dim": "many"}, "network_dim", "'many' is not a whole number."),
        ({"lr_warmup": "some"}, "lr_warmup", "It is not a number."),
        ({"lr_warmup": 100}, "lr_warmup", "1.0 is neither a whole number of steps"),
        ({"optimizer": ["x"]}, "optimizer", "['x'] is not text."),
        ({"xformers": "flash"}, "xformers", "Only xformers, sdpa and none are known."),
        ({"LoRA_type": "Flux1"}, "LoRA_type", "This kind of network is not trained here; choose another one."),
        ({"LoRA_type": ["a"]}, "LoRA_type", "This kind of network is not trained here; choose another one."),
        ({"noise_offset_type": ["x"]}, "noise_offset_type", "Only Original and Multires are known."),
        ({"netwrok_dim": 4}, "netwrok_dim", "Unknown; did you mean network_dim?"),
        ({"wandb_api_key": "secret-key"}, "wandb_api_key", "Secrets are not kept in settings; set WANDB_API_KEY where"),
        ({"epoch": 4, "dataset_config": "/d.toml"}, "epoch", "With a dataset file the GUI does not use it; 1600 steps"),
        ({"train_inpainting": True}, "train_inpainting", "Unknown"),
    ],
)
def test_what_cannot_be_taken_is_told_and_hurts_nothing_else(values, name, why):
    result = imported(**values, output_name="kept")

    (left,) = result.not_taken
    assert left.name == name
    assert left.why.startswith(why)
    assert "secret-key" not in str(result)
    assert result.options["output_name"] == "kept"


def test_configurations_of_other_tabs_are_refused_with_a_sentence():
    with pytest.raises(UsageError, match="but not one for a LoRA"):
        import_text("train_network", '{"pretrained_model_name_or_path": "x", "max_resolution": "512,512"}', "d.json")
    with pytest.raises(UsageError, match="neither a LoRA configuration"):
        import_text("train_network", '{"a": 1}', "d.json")


KEYS = sorted(
    {key for name in ("lora", "sdxl") for key in json.loads((GOLDEN / f"kohya-gui-{name}.json").read_text("utf-8"))}
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 10**400),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(["", "0", "-1", "1e-4", "nan", "inf", "9" * 5000, "--seed", "a=1", "None"]),
        st.text(max_size=6),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=3,
)


@given(values=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=12))
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_no_value_whatever_makes_an_import_fail(values):
    result = import_text("train_network", json.dumps({"LoRA_type": "Standard", **values}), "gui.json")

    json.dumps(result.options, allow_nan=False)
    assert all(why for _, _, why in result.not_taken)
