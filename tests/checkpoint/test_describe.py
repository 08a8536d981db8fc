import base64
import json

import pytest
from tanren.checkpoint.describe import FileHashes, RunFacts, RunMetadata, Session, hashes_of, start_session
from tanren.checkpoint.modelspec import thumbnail
from tanren.data.counting import Counts
from tanren.data.records import FROM_FILE, FROM_FOLDER, CaptionCount, ImageRecord, Scan, ScannedDataset
from tanren.errors import UsageError
from tanren.families.sd import base_names
from tanren.options.caching import CachingOptions
from tanren.options.dataset import DatasetOptions
from tanren.options.dataset_plan import DREAMBOOTH, DatasetPlan, SubsetPlan
from tanren.options.loss import LossOptions
from tanren.options.model import ModelOptions
from tanren.options.network import NetworkOptions
from tanren.options.optimizer import OptimizerOptions, SchedulerOptions
from tanren.options.saving import MetadataOptions, SavingOptions
from tanren.options.spec import Settings
from tanren.options.training import TrainingOptions

NOW = 1700000000.25
SECRET_DIR = "/home/somebody/secret"
ALWAYS = """
    ss_session_id ss_training_started_at ss_training_finished_at ss_output_name ss_learning_rate ss_text_encoder_lr
    ss_unet_lr ss_num_train_images ss_num_validation_images ss_num_reg_images ss_num_batches_per_epoch ss_num_epochs
    ss_steps ss_epoch ss_gradient_checkpointing ss_gradient_accumulation_steps ss_max_train_steps ss_lr_warmup_steps
    ss_lr_scheduler ss_network_module ss_network_dim ss_network_alpha ss_network_dropout ss_mixed_precision
    ss_full_fp16 ss_v2 ss_base_model_version ss_clip_skip ss_max_token_length ss_cache_latents ss_seed ss_lowram
    ss_noise_offset ss_noise_offset_random_strength ss_adaptive_noise_scale ss_multires_noise_iterations
    ss_multires_noise_discount ss_ip_noise_gamma ss_ip_noise_gamma_random_strength ss_zero_terminal_snr
    ss_training_comment ss_sd_scripts_commit_hash ss_optimizer ss_max_grad_norm ss_caption_dropout_rate
    ss_caption_dropout_every_n_epochs ss_caption_tag_dropout_rate ss_face_crop_aug_range ss_prior_loss_weight
    ss_min_snr_gamma ss_scale_weight_norms ss_debiased_estimation ss_loss_type ss_huber_schedule ss_huber_scale
    ss_huber_c ss_fp8_base ss_fp8_base_unet ss_validation_seed ss_validation_split ss_max_validation_steps
    ss_validate_every_n_epochs ss_validate_every_n_steps ss_resize_interpolation ss_sd_model_name ss_sd_model_hash
    ss_new_sd_model_hash ss_dataset_dirs ss_tag_frequency ss_bucket_info ss_resolution
    modelspec.sai_model_spec modelspec.architecture modelspec.implementation modelspec.implementation_version
    modelspec.title modelspec.resolution modelspec.date modelspec.prediction_type
"""
WITH_FOLDERS = """
    ss_batch_size_per_device ss_total_batch_size ss_color_aug ss_flip_aug ss_random_crop ss_shuffle_caption
    ss_enable_bucket ss_bucket_no_upscale ss_min_bucket_reso ss_max_bucket_reso ss_keep_tokens ss_reg_dataset_dirs
"""
BASE_HASHES = FileHashes("1a2b3c4d", "f" * 64)


def picture(name, caption, subset=0, *, repeats=10, is_reg=False, source=FROM_FILE, bucket=(512, 512)):
    return ImageRecord(
        folder=f"{SECRET_DIR}/x", name=name, size_wh=(600, 600), caption=caption, caption_source=source,
        repeats=repeats, subset=subset, is_reg=is_reg, bucket_wh=bucket, resized_wh=bucket,
    )  # fmt: skip


def subset(folder, **more):
    return SubsetPlan(
        kind=DREAMBOOTH,
        image_dir=f"{SECRET_DIR}/{folder}",
        where=folder,
        **{"num_repeats": 10, "class_tokens": "cat", **more},
    )


def scanned(**plan):
    subsets = (subset("10_cat"), subset("1_reg", num_repeats=1, is_reg=True))
    images = [
        picture("a.png", "Cat, Red hat , ,blue", bucket=(512, 768)),
        picture("b.png", "cat", source=FROM_FOLDER),
        picture("r.png", "animal", 1, repeats=1, is_reg=True),
    ]
    whole = DatasetPlan(
        **{"subsets": subsets, "resolution_wh": (512, 512), "enable_bucket": True, "batch_size": 2, **plan}
    )
    return Scan((ScannedDataset(whole, images, [], [2, 1], CaptionCount()),))


def chosen(**options):
    """Settings with these options, whatever group they belong to."""
    kinds = (
        ModelOptions, DatasetOptions, CachingOptions, NetworkOptions, OptimizerOptions, SchedulerOptions,
        TrainingOptions, LossOptions, SavingOptions, MetadataOptions,
    )  # fmt: skip
    groups = [
        kind(**{name: value for name, value in options.items() if name in kind.__dataclass_fields__}) for kind in kinds
    ]
    return Settings("train_network", groups)


def described(scan=None, base_model=BASE_HASHES, vae_hashes=None, **options):
    settings = chosen(
        **{
            "pretrained_model_name_or_path": f"{SECRET_DIR}/base.safetensors",
            "output_name": "kitten",
            "train_data_dir": SECRET_DIR,
            "resolution": (512, 512),
            **options,
        }
    )
    facts = RunFacts(
        Session(2913486217, NOW, 42),
        Counts(11, 6, 3, 30, 10),
        2,
        "no",
        "torch.optim.adamw.AdamW",
        "constant",
        base_model,
        vae_hashes,
    )
    return RunMetadata(settings, scan or scanned(), base_names(settings), facts).at(step=20, epoch=5, now=NOW + 60)


def test_the_keys_are_those_of_sd_scripts_for_folders():
    assert sorted(described()) == sorted((ALWAYS + WITH_FOLDERS).split())


def test_the_keys_are_those_of_sd_scripts_for_a_dataset_file_and_what_cards_show():
    assert sorted(described(dataset_config="d.toml")) == sorted([*ALWAYS.split(), "ss_datasets"])


def test_values_are_text_as_python_says_them():
    metadata = described(
        network_module="networks.lora", network_dim=16, network_alpha=8.0, learning_rate=1e-4, text_encoder_lr=(5e-5,),
        train_batch_size=2, gradient_accumulation_steps=3, mixed_precision="fp16", face_crop_aug_range=(2.0, 4.0),
    )  # fmt: skip

    assert all(isinstance(value, str) for value in metadata.values())
    expected = {
        "ss_session_id": "2913486217", "ss_training_started_at": "1700000000.25",
        "ss_training_finished_at": "1700000060.25", "ss_steps": "20", "ss_epoch": "5", "ss_num_epochs": "10",
        "ss_num_batches_per_epoch": "6", "ss_max_train_steps": "30", "ss_seed": "42", "ss_network_dim": "16",
        "ss_network_alpha": "8.0", "ss_network_dropout": "None", "ss_learning_rate": "0.0001", "ss_unet_lr": "None",
        "ss_text_encoder_lr": "5e-05", "ss_mixed_precision": "no", "ss_v2": "False", "ss_resolution": "(512, 512)",
        "ss_base_model_version": "sd_v1", "ss_optimizer": "torch.optim.adamw.AdamW", "ss_clip_skip": "None",
        "ss_batch_size_per_device": "2", "ss_total_batch_size": "12", "ss_num_train_images": "20",
        "ss_num_reg_images": "1", "ss_face_crop_aug_range": "(2.0, 4.0)", "ss_sd_model_name": "base.safetensors",
        "ss_sd_model_hash": "1a2b3c4d", "ss_new_sd_model_hash": "f" * 64,
    }  # fmt: skip
    assert {name: metadata[name] for name in expected} == expected


def test_several_text_encoder_rates_are_a_list():
    assert described(text_encoder_lr=(1e-5, 2e-5))["ss_text_encoder_lr"] == "[1e-05, 2e-05]"
    assert described()["ss_text_encoder_lr"] == "None"


def test_network_arguments_are_recorded_with_the_dropout_and_only_when_given():
    metadata = described(network_args=("conv_dim=4", "algo=loha"), network_dropout=0.1)

    assert json.loads(metadata["ss_network_args"]) == {"conv_dim": "4", "algo": "loha", "dropout": 0.1}
    assert "ss_network_args" not in described()


def test_tags_are_lower_cased_and_counted_once_a_picture():
    assert json.loads(described()["ss_tag_frequency"]) == {
        "10_cat": {"cat": 2, "red hat": 1, "blue": 1},
        "1_reg": {"animal": 1},
    }


def test_folders_of_training_and_regularization_are_told_apart():
    metadata = described()

    assert json.loads(metadata["ss_dataset_dirs"]) == {"10_cat": {"n_repeats": 10, "img_count": 2}}
    assert json.loads(metadata["ss_reg_dataset_dirs"]) == {"1_reg": {"n_repeats": 1, "img_count": 1}}


def test_folders_of_the_same_name_are_numbered():
    two = scanned(subsets=(subset("a/10_cat"), subset("b/10_cat")))

    assert list(json.loads(described(two)["ss_dataset_dirs"])) == ["10_cat", "10_cat (2)"]


def test_buckets_count_repeats_and_null_says_there_are_none():
    info = json.loads(described()["ss_bucket_info"])

    assert info["buckets"] == {
        "0": {"resolution": [512, 512], "count": 11},
        "1": {"resolution": [512, 768], "count": 10},
    }
    assert info["mean_img_ar_error"] == pytest.approx((1 - 512 / 768) / 3)
    assert described(scanned(enable_bucket=False))["ss_bucket_info"] == "null"
    assert "ss_bucket_info" not in described(scanned(enable_bucket=False), dataset_config="d.toml")


def test_datasets_of_a_dataset_file_are_described_one_by_one():
    datasets = json.loads(described(dataset_config="d.toml")["ss_datasets"])

    assert len(datasets) == 1
    assert list(datasets[0]) == [
        "is_dreambooth", "batch_size_per_device", "num_train_images", "num_reg_images", "resolution", "enable_bucket",
        "min_bucket_reso", "max_bucket_reso", "tag_frequency", "bucket_info", "resize_interpolation", "subsets",
    ]  # fmt: skip
    assert datasets[0]["resolution"] == [512, 512]
    assert datasets[0]["subsets"][1] == {
        "img_count": 1, "num_repeats": 1, "color_aug": False, "flip_aug": False, "random_crop": False,
        "shuffle_caption": False, "keep_tokens": 0, "keep_tokens_separator": "", "secondary_separator": None,
        "enable_wildcard": False, "caption_prefix": None, "caption_suffix": None, "resize_interpolation": None,
        "image_dir": "1_reg", "class_tokens": "cat", "is_reg": True,
    }  # fmt: skip


def test_no_metadata_leaves_what_readers_need():
    assert sorted(described(no_metadata=True, network_args=("conv_dim=4",))) == [
        "modelspec.architecture", "modelspec.date", "modelspec.implementation", "modelspec.implementation_version",
        "modelspec.prediction_type", "modelspec.resolution", "modelspec.sai_model_spec", "modelspec.title",
        "ss_base_model_version", "ss_network_alpha", "ss_network_args", "ss_network_dim", "ss_network_module", "ss_v2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "architecture", "version", "resolution", "prediction"),
    [
        ({}, "stable-diffusion-v1/lora", "sd_v1", "512x512", "epsilon"),
        ({"v_parameterization": True}, "stable-diffusion-v1/lora", "sd_v1_v", "512x512", "v"),
        ({"v2": True}, "stable-diffusion-v2-512/lora", "sd_v2", "512x512", "epsilon"),
        (
            {"v2": True, "v_parameterization": True, "resolution": (768, 640)},
            "stable-diffusion-v2-768-v/lora", "sd_v2_v", "768x640", "v",
        ),
    ],
)  # fmt: skip
def test_hosts_file_the_network_under_its_base_model(options, architecture, version, resolution, prediction):
    metadata = described(**options)

    assert metadata["modelspec.sai_model_spec"] == "1.0.1"
    assert metadata["modelspec.architecture"] == architecture
    assert metadata["modelspec.implementation"] == "diffusers"
    assert metadata["ss_base_model_version"] == version
    assert metadata["modelspec.resolution"] == resolution
    assert metadata["modelspec.prediction_type"] == prediction


def test_optional_modelspec_keys_appear_when_set():
    metadata = described(
        metadata_title="A cat", metadata_author="me", metadata_tags="cat,animal", clip_skip=2, min_timestep=100
    )

    assert metadata["modelspec.title"] == "A cat"
    assert metadata["modelspec.author"] == "me"
    assert metadata["modelspec.tags"] == "cat,animal"
    assert metadata["modelspec.encoder_layer"] == "2"
    assert metadata["modelspec.timestep_range"] == "100,1000"
    assert described(output_name=None)["modelspec.title"] == "LoRA@1700000060.25"


def test_a_model_of_the_hub_keeps_its_name_and_has_no_hash():
    metadata = described(base_model=None, pretrained_model_name_or_path="org/model")

    assert metadata["ss_sd_model_name"] == "org/model"
    assert "ss_sd_model_hash" not in metadata


def test_the_vae_is_named_only_when_one_was_given():
    hashes = FileHashes("a" * 8, "b" * 64)
    given = described(vae_hashes=hashes, vae=f"{SECRET_DIR}/vae.pt")

    assert {name: given[name] for name in given if "vae" in name} == {
        "ss_vae_name": "vae.pt",
        "ss_vae_hash": "aaaaaaaa",
        "ss_new_vae_hash": "b" * 64,
    }
    assert not any("vae" in name for name in described())


def test_no_path_of_this_machine_gets_into_a_file():
    for options in ({}, {"dataset_config": f"{SECRET_DIR}/d.toml"}):
        text = json.dumps(described(output_dir=SECRET_DIR, logging_dir=SECRET_DIR, **options))
        assert "secret" not in text and "somebody" not in text


def test_the_same_seed_and_time_give_the_same_session():
    assert start_session(42, NOW) == start_session(42, NOW)
    assert start_session(42, NOW).number != start_session(42, NOW + 1).number
    assert 0 <= start_session(0).number < 2**32


def test_hashes_are_those_of_what_is_on_this_disk(tmp_path):
    (tmp_path / "base.ckpt").write_bytes(b"abc")

    assert hashes_of(str(tmp_path / "base.ckpt")) == FileHashes(
        "e3b0c442", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert hashes_of(str(tmp_path)) == FileHashes("IsADirectory", "IsADirectory")
    assert hashes_of("org/model") is None
    assert hashes_of(None) is None


def test_a_thumbnail_becomes_a_data_url(tmp_path):
    png = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
    (tmp_path / "t.jpg").write_bytes(png)

    assert thumbnail(str(tmp_path / "t.jpg")) == "data:image/png;base64," + base64.b64encode(png).decode()
    assert thumbnail("data:image/png;base64,AAAA") == "data:image/png;base64,AAAA"


def test_a_thumbnail_that_is_no_small_picture_is_refused(tmp_path):
    (tmp_path / "page.png").write_text("<html>")
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * (4 * 2**20))

    for name, message in (("page.png", "is not a picture"), ("large.png", "at most"), ("none.png", "cannot be read")):
        with pytest.raises(UsageError, match=message):
            thumbnail(str(tmp_path / name))
