"""What a privacy scrub takes out, and what it leaves."""

from __future__ import annotations

import json

import pytest
from tanren.library.scrub import scrubbed

FAMILY = {"ss_v2": "False", "ss_base_model_version": "sdxl_base_v1-0", "ss_network_module": "networks.lora"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (r"C:\Users\Alice\models\sd xl.safetensors", "sd xl.safetensors"),
        ("D:/train/out/cat.safetensors", "cat.safetensors"),
        ("/home/alice/my models/base.ckpt", "base.ckpt"),
        ("/home/alice/models/", "models"),
        ("~/models/base.ckpt", "base.ckpt"),
        (r"\\server\share\base.ckpt", "base.ckpt"),
        ("file:///home/alice/x.png", "x.png"),
        ("trained with /mnt/big/disk/base.ckpt, then merged", "trained with base.ckpt, then merged"),
        ("token hf_abcdefghijklmnopqrstuvwx", "token (removed)"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("stabilityai/stable-diffusion-xl", "stabilityai/stable-diffusion-xl"),
        ("1/2 and and/or", "1/2 and and/or"),
        ("10:30 o'clock", "10:30 o'clock"),
        ("", ""),
    ],
)
def test_paths_and_tokens_go_and_ordinary_text_stays(before, after):
    assert scrubbed({"ss_sd_model_name": before}).metadata == {"ss_sd_model_name": after}


def test_user_names_from_paths_go_everywhere_but_where_they_were_put_on_purpose():
    plan = scrubbed(
        {
            "ss_vae_name": r"C:\Users\Alice\vae.pt",
            "ss_training_comment": "by Alice, not Alicent",
            "modelspec.author": "Alice",
        }
    )

    assert plan.users == ("Alice",)
    assert plan.metadata == {
        "ss_vae_name": "vae.pt",
        "ss_training_comment": "by user, not Alicent",
        "modelspec.author": "Alice",
    }


def test_folders_get_the_same_number_in_every_table_and_tags_stay():
    tags = {"10_my girlfriend": {"smile": 3}, "holiday": {"sea": 1}}
    plan = scrubbed(
        {
            **FAMILY,
            "ss_tag_frequency": json.dumps(tags),
            "ss_dataset_dirs": json.dumps({"10_my girlfriend": {"n_repeats": 10, "img_count": 3}}),
            "ss_datasets": json.dumps([{"subsets": [{"image_dir": "holiday"}], "tag_frequency": {"holiday": {}}}]),
        }
    )

    assert json.loads(plan.metadata["ss_tag_frequency"]) == {"10_folder 1": {"smile": 3}, "folder 2": {"sea": 1}}
    assert json.loads(plan.metadata["ss_dataset_dirs"]) == {"10_folder 1": {"n_repeats": 10, "img_count": 3}}
    assert json.loads(plan.metadata["ss_datasets"]) == [
        {"subsets": [{"image_dir": "folder 2"}], "tag_frequency": {"folder 2": {}}}
    ]
    assert {key: plan.metadata[key] for key in FAMILY} == FAMILY
    assert [one.key for one in plan.differences] == ["ss_tag_frequency", "ss_dataset_dirs", "ss_datasets"]


def test_folder_names_can_be_kept():
    metadata = {"ss_tag_frequency": '{"10_cat":  {"x": 1}}'}
    assert scrubbed(metadata, keep_folders=True).metadata == metadata


def test_paths_inside_of_json_go_and_no_entry_is_lost():
    config = {"model": "/home/bob/a/x.ckpt", "files": {"/a/b/x.png": 1, "/c/d/x.png": 2}, "n": 3}
    plan = scrubbed({"ot_config": json.dumps(config)})

    assert json.loads(plan.metadata["ot_config"]) == {"model": "x.ckpt", "files": {"x.png": 1, "x.png (2)": 2}, "n": 3}


def test_broken_json_is_cleaned_as_text_and_hashes_are_left_alone():
    plan = scrubbed({"ss_tag_frequency": '["/home/bob/cat', "sshs_model_hash": "/home/bob/x"})

    assert plan.metadata == {"ss_tag_frequency": '["cat', "sshs_model_hash": "/home/bob/x"}


def test_nothing_private_changes_nothing():
    metadata = {**FAMILY, "ss_network_args": '{"conv_dim":  "4"}', "x": "1girl, solo"}
    assert scrubbed(metadata).differences == ()


def test_pictures_stay_though_base64_looks_like_paths():
    cover = '["/9j/4AAQSkZJRgABAQ/Users/abc/AQABAAD/2wBD"]'
    metadata = {"ssmd_cover_images": cover, "modelspec.thumbnail": "data:image/jpeg;base64,/9j/4AAQ/home/ab/SkZJRg=="}

    assert scrubbed(metadata).metadata == metadata
    assert scrubbed(metadata).users == ()
