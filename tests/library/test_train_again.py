"""Settings for another training, from what a file remembers."""

from __future__ import annotations

import json

import pytest
from network_files import CLIP, FLUX_LORA, SD2_LORA, SDXL_ATTENTION, SDXL_LORA, lora, write_network
from tanren.errors import UsageError
from tanren.library.look import look_at
from tanren.library.train_again import BaseWanted, train_again

KOHYA = {
    "ss_network_module": "networks.lora",
    "ss_network_dim": "32",
    "ss_network_alpha": "16.0",
    "ss_network_args": '{"conv_dim": "4", "dropout": null}',
    "ss_learning_rate": "0.0001",
    "ss_unet_lr": "None",
    "ss_text_encoder_lr": "[1e-05, 2e-05]",
    "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1,betas=(0.9, 0.99))",
    "ss_lr_scheduler": "cosine",
    "ss_max_train_steps": "1600",
    "ss_num_epochs": "8",
    "ss_resolution": "(1024, 1024)",
    "ss_gradient_checkpointing": "True",
    "ss_mixed_precision": "bf16",
    "ss_seed": "42",
    "ss_min_snr_gamma": "5.0",
    "ss_clip_skip": "None",
    "ss_base_model_version": "sdxl_base_v1-0",
    "ss_sd_model_name": "base.safetensors",
    "ss_new_sd_model_hash": "31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b",
    "ss_dataset_dirs": json.dumps({"10_cat": {"n_repeats": 10, "img_count": 20}}),
    "ss_output_name": "cat",
}


def again(tmp_path, shapes, metadata):
    return train_again(look_at(write_network(tmp_path / "x.safetensors", shapes, metadata)))


def test_a_file_of_kohya_fills_the_form(tmp_path):
    found = again(tmp_path, SDXL_LORA, KOHYA)

    assert found.command == "sdxl_train_network"
    assert found.options == {
        "network_module": "networks.lora",
        "network_dim": 32,
        "network_alpha": 16.0,
        "network_args": ["conv_dim=4"],
        "learning_rate": 0.0001,
        "text_encoder_lr": [1e-05, 2e-05],
        "optimizer_type": "AdamW8bit",
        "optimizer_args": ["weight_decay=0.1", "betas=(0.9, 0.99)"],
        "lr_scheduler": "cosine",
        "max_train_steps": 1600,
        "resolution": "1024,1024",
        "gradient_checkpointing": True,
        "mixed_precision": "bf16",
        "seed": 42,
        "min_snr_gamma": 5.0,
    }
    assert (found.derived, found.not_taken) == (set(), [])
    assert found.base == BaseWanted("base.safetensors", KOHYA["ss_new_sd_model_hash"], "")
    assert found.unknown == [
        "The pictures, with their number in each folder: 10_cat (20).",
        "The captions: not even which tags there were.",
        "Where the base model lies: it was called base.safetensors, the SHA-256 begins with 31e35c80fc.",
        "The sample prompts and the place for the result.",
    ]


def test_without_metadata_the_tensors_tell_rank_alpha_and_parts(tmp_path):
    found = again(tmp_path, lora(f"lora_unet_{SDXL_ATTENTION}", 2048, 640, 12), {})

    assert found.options == {
        "network_dim": 12,
        "network_alpha": 4.0,
        "network_train_unet_only": True,
        "network_module": "networks.lora",
    }
    assert found.derived == set(found.options)
    assert "Which base model was used." in found.unknown
    assert again(tmp_path, lora(f"lora_te2_{CLIP}", 1280, 1280), {}).options["network_train_text_encoder_only"] is True


def test_sd2_with_v_prediction(tmp_path):
    found = again(tmp_path, SD2_LORA, {"ss_v2": "True", "ss_base_model_version": "sd_v2_v"})

    assert (found.command, found.options["v2"], found.options["v_parameterization"]) == ("train_network", True, True)


def test_a_data_set_files_settings_are_taken_from_the_first_data_set(tmp_path):
    one = {
        "resolution": [768, 512],
        "batch_size_per_device": 3,
        "enable_bucket": True,
        "min_bucket_reso": 256,
        "subsets": [{"flip_aug": True, "keep_tokens": 2, "shuffle_caption": False}],
    }
    found = again(tmp_path, SDXL_LORA, {"ss_datasets": json.dumps([one, {}])})

    options = {name: found.options[name] for name in ("resolution", "train_batch_size", "enable_bucket", "flip_aug")}
    assert options == {"resolution": "768,512", "train_batch_size": 3, "enable_bucket": True, "flip_aug": True}
    assert (found.options["min_bucket_reso"], found.options["keep_tokens"]) == (256, 2)
    assert found.not_taken == [
        ("ss_datasets", "2 data sets", "The form has one data set; these are the settings of the first.")
    ]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("ss_network_dim", "Dynamic"),
        ("ss_network_module", "os.path"),
        ("ss_network_args", "{"),
        ("ss_optimizer", "os.system(command=1)"),
        ("ss_mixed_precision", "fp64"),
        ("ss_seed", "[" * 500),
        ("ss_resolution", "(0, 'x')"),
        ("ss_learning_rate", "nan"),
    ],
)
def test_what_cannot_be_used_is_said_and_the_rest_is_taken(tmp_path, key, text):
    found = again(tmp_path, SDXL_LORA, {**KOHYA, key: text})

    assert [row[0] for row in found.not_taken] == [key]
    assert found.options["lr_scheduler"] == "cosine"


def test_lycoris_networks_are_trained_by_lycoris(tmp_path):
    shapes = {f"lora_unet_{SDXL_ATTENTION}.lokr_w1": (16, 16), f"lora_unet_{SDXL_ATTENTION}.lokr_w2": (40, 128)}

    found = again(tmp_path, shapes, {})

    assert (found.options["network_module"], found.options["network_args"]) == ("lycoris.kohya", ["algo=lokr"])


def test_what_no_trainer_here_makes_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"This is FLUX\.1, LoRA: no trainer here makes such files"):
        again(tmp_path, FLUX_LORA, {})
    with pytest.raises(UsageError, match="an unknown model"):
        again(tmp_path, {"w": (1,)}, {})


SLID = {
    "ss_network_module": "networks.lora",
    "ss_network_dim": "4",
    "ss_network_alpha": "1.0",
    "ss_base_model_version": "sdxl_base_v1-0",
    "ss_leco_prompt_count": "2",
    "ss_leco_prompts_file": "hair.toml",
    "ss_leco_preview": json.dumps(
        [
            {
                "target": "girl",
                "positive": "girl, long hair",
                "unconditional": "girl, short hair",
                "neutral": "girl",
                "action": "enhance",
                "guidance_scale": 2.0,
                "resolution_hw": [1024, 768],
                "batch_size": 2,
                "dynamic_resolution": False,
                "dynamic_crops": True,
                "multiplier": -1.0,
                "weight": 1.0,
            },
            {
                "target": "cat",
                "positive": "cat",
                "action": "burn",
                "resolution": 512,
                "batch_size": True,
                "weight": "x",
            },
            {"positive": "no target"},
            7,
        ]
    ),
}


def test_a_leco_goes_to_its_own_trainer_with_the_prompts_it_remembers(tmp_path):
    found = again(tmp_path, {name: shape for name, shape in SDXL_LORA.items() if name.startswith("lora_unet")}, SLID)

    assert found.command == "sdxl_train_leco"
    assert found.options.pop("prompts_file") == {
        "prompts": [
            {
                "target": "girl",
                "positive": "girl, long hair",
                "unconditional": "girl, short hair",
                "neutral": "girl",
                "action": "enhance",
                "guidance_scale": 2.0,
                "multiplier": -1.0,
                "weight": 1.0,
                "dynamic_resolution": False,
                "dynamic_crops": True,
                "resolution": [1024, 768],
                "batch_size": 2,
            },
            {"target": "cat", "positive": "cat", "resolution": 512},
        ]
    }
    assert found.options == {
        "network_module": "networks.lora",
        "network_dim": 4,
        "network_alpha": 1.0,
        "network_train_unet_only": True,
    }
    assert found.unknown == [
        "Which base model was used.",
        "The learning rates, the optimizer and the length of the training.",
        "The sample prompts and the place for the result.",
    ]


@pytest.mark.parametrize("preview", [None, "", "[", "{}", "[1]", '[{"target": 3}]'])
def test_a_leco_that_remembers_no_prompt_says_so(tmp_path, preview):
    told = {name: value for name, value in SLID.items() if name != "ss_leco_preview"}
    found = again(tmp_path, SDXL_LORA, told if preview is None else {**told, "ss_leco_preview": preview})

    assert "prompts_file" not in found.options
    assert found.unknown[0] == "The prompts: what was erased, strengthened or slid is not in the file."


def test_a_leco_with_more_prompts_than_a_file_tells_says_how_many_there_were(tmp_path):
    found = again(tmp_path, SDXL_LORA, {**SLID, "ss_leco_prompt_count": "40"})

    assert found.unknown[0] == "Further prompts: there were 40, the file tells the first 2."


LAYER = "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
CONTROL = {
    f"{LAYER}.conditioning1.0.weight": (16, 3, 4, 4),
    f"{LAYER}.conditioning1.2.weight": (32, 16, 4, 4),
    f"{LAYER}.down.0.weight": (64, 640),
    f"{LAYER}.mid.0.weight": (64, 96),
    f"{LAYER}.up.0.weight": (640, 64),
}


def test_a_control_network_is_trained_again_by_its_own_command(tmp_path):
    said = {
        "ss_network_module": "networks.control_net_lllite",
        "ss_cond_emb_dim": "32",
        "ss_network_dim": "64",
        "ss_learning_rate": "0.0002",
        "ss_base_model_version": "sdxl_base_v1-0",
    }

    found = again(tmp_path, CONTROL, said)

    assert found.command == "sdxl_train_control_net_lllite"
    assert found.options == {"cond_emb_dim": 32, "network_dim": 64, "learning_rate": 0.0002}
    assert (found.not_taken, found.derived) == ([], set())
    assert "The control pictures." in found.unknown


def test_sizes_of_a_control_network_without_metadata_come_from_its_tensors(tmp_path):
    found = again(tmp_path, CONTROL, {})

    assert found.options == {"cond_emb_dim": 32, "network_dim": 64}
    assert found.derived == {"cond_emb_dim", "network_dim"}
