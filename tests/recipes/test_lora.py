"""One whole training after another, from a folder of pictures to a file."""

import json

import pytest
import torch
from recipes.training import arguments, data_folder, lasting, metadata, same_tensors, tensors, train
from tanren.entry import main
from tanren.jobs.folder import ask
from tanren.plan import plan


def test_a_folder_of_pictures_becomes_a_lora_with_kohyas_names(model, data, tmp_path):
    train(model, data, tmp_path)

    names = {name.rsplit(".lora_", 1)[0].removesuffix(".alpha") for name in tensors(tmp_path / "waves.safetensors")}
    assert len([name for name in names if name.startswith("lora_unet_")]) == 192
    assert len([name for name in names if name.startswith("lora_te_text_model_encoder_layers_")]) == 18
    assert len(names) == 210


def test_both_halves_of_every_layer_have_learned(model, data, tmp_path):
    train(model, data, tmp_path)

    learned = tensors(tmp_path / "waves.safetensors")
    still_zero = [name for name, tensor in learned.items() if name.endswith("lora_up.weight") and not tensor.any()]
    assert still_zero == []


def test_the_file_tells_how_it_was_made(model, data, tmp_path):
    train(model, data, tmp_path, network_alpha=2, training_comment="waves & more")

    facts = metadata(tmp_path / "waves.safetensors")
    assert facts["ss_base_model_version"] == "sd_v1"
    assert facts["ss_network_module"] == "networks.lora"
    assert facts["ss_network_dim"] == "4"
    assert facts["ss_network_alpha"] == "2.0"
    assert facts["ss_num_train_images"] == "12"
    assert facts["ss_steps"] == facts["ss_max_train_steps"]
    assert facts["ss_training_comment"] == "waves & more"
    assert facts["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert json.loads(facts["ss_tag_frequency"])["2_sks waves"]["sks"] == 6
    assert json.loads(facts["ss_dataset_dirs"]) == {"2_sks waves": {"n_repeats": 2, "img_count": 6}}
    assert str(data) not in json.dumps(facts)


def test_the_same_seed_gives_the_same_file_again(model, data, tmp_path):
    for attempt in ("one", "two"):
        train(model, data, tmp_path / attempt, max_data_loader_n_workers=0 if attempt == "one" else 2)

    one, two = (tmp_path / attempt / "waves.safetensors" for attempt in ("one", "two"))
    assert same_tensors(one, two)
    assert lasting(one) == lasting(two)


@pytest.mark.option("seed")
def test_another_seed_gives_another_file(model, data, tmp_path):
    train(model, data, tmp_path / "one", seed=1)
    train(model, data, tmp_path / "two", seed=2)

    assert not same_tensors(tmp_path / "one/waves.safetensors", tmp_path / "two/waves.safetensors")


@pytest.mark.parametrize("cache", ["cache_latents", "cache_latents_to_disk"])
def test_cached_latents_train_the_same_lora(model, data, tmp_path, cache):
    train(model, data, tmp_path / "plain")
    train(model, data, tmp_path / "cached", **{cache: True})
    train(model, data, tmp_path / "again", **{cache: True})

    plain, cached, again = (tensors(tmp_path / name / "waves.safetensors") for name in ("plain", "cached", "again"))
    for name, tensor in plain.items():
        # Pictures are encoded in other groups, and sums in another order differ in the last digits.
        torch.testing.assert_close(cached[name], tensor, rtol=1e-3, atol=1e-4)
        assert torch.equal(cached[name], again[name])


def test_cached_captions_train_the_same_lora(model, data, tmp_path):
    options = {"shuffle_caption": None, "network_train_unet_only": True}
    train(model, data, tmp_path / "plain", **options)
    train(model, data, tmp_path / "cached", cache_text_encoder_outputs=True, **options)

    plain, cached = (tensors(tmp_path / name / "waves.safetensors") for name in ("plain", "cached"))
    for name, tensor in plain.items():
        torch.testing.assert_close(cached[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.option("output_name", "save_every_n_epochs", "save_every_n_steps", "save_state")
def test_epochs_and_steps_are_saved_under_kohyas_names(model, data, tmp_path):
    train(model, data, tmp_path, max_train_epochs=3, save_every_n_epochs=1, save_every_n_steps=10, save_state=True)

    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("waves")) == [
        "waves-000001-state",
        "waves-000001.safetensors",
        "waves-000002-state",
        "waves-000002.safetensors",
        "waves-state",
        "waves-step00000010-state",
        "waves-step00000010.safetensors",
        "waves.safetensors",
    ]


@pytest.mark.option("resume")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer_type": "AdamW8bit"},
        {"optimizer_type": "Prodigy", "learning_rate": 1},
        {"optimizer_type": "AdamWScheduleFree"},
        {"max_train_epochs": 5, "gradient_accumulation_steps": 3, "lr_scheduler": "cosine", "lr_warmup_steps": 2},
        {"network_dropout": 0.2, "network_args": ["rank_dropout=0.2", "module_dropout=0.1", "conv_dim=2"]},
        {"cache_latents": True, "mixed_precision": "bf16", "full_bf16": True},
    ],
    ids=["plain", "8bit", "prodigy", "schedulefree", "accumulation", "dropout", "bf16"],
)
def test_a_resumed_run_ends_as_the_one_that_was_not_interrupted(model, data, tmp_path, options):
    """Resumed twice, once in the middle of an epoch."""
    length = {"max_train_epochs": 2, "save_every_n_steps": 3, "save_state": True, **options}
    train(model, data, tmp_path / "whole", **length)

    train(model, data, tmp_path / "one", resume=tmp_path / "whole/waves-step00000003-state", **length)
    train(model, data, tmp_path / "two", resume=tmp_path / "one/waves-step00000006-state", **length)

    for attempt in ("one", "two"):
        assert same_tensors(tmp_path / "whole/waves.safetensors", tmp_path / attempt / "waves.safetensors")
    whole, two = metadata(tmp_path / "whole/waves.safetensors"), metadata(tmp_path / "two/waves.safetensors")
    assert whole["ss_session_id"] == two["ss_session_id"]


@pytest.mark.option("allow_changes")
def test_a_resumed_run_with_other_settings_or_pictures_is_refused_before_the_model_is_loaded(
    model, data, tmp_path, capsys
):
    train(model, data, tmp_path / "whole", save_state=True)
    state = {"resume": tmp_path / "whole/waves-state", "max_train_epochs": 2}

    def planned(folder, **changes):
        _, problems = plan("train_network", arguments(model, folder, tmp_path / "next", **state, **changes))
        return [(problem.code, problem.why) for problem in problems.errors]

    assert planned(data) == []
    assert planned(data, network_dim=8) == [(8, "network_dim: 4 before, 8 now")]
    assert planned(data, network_dim=8, allow_changes=["network_dim"]) == []
    other = data_folder(tmp_path / "other", repeats=1)
    [(code, why)] = planned(other)
    assert code == 8 and why.startswith("data: ")
    assert main("train_network", arguments(model, data, tmp_path / "next", learning_rate="2e-3", **state)) == 8
    told = capsys.readouterr().err.partition("This run is not the one")[2]
    assert "learning_rate: 0.001 before, 0.002 now" in told and "will be trained" not in told


def test_a_job_that_is_stopped_while_it_loads_ends_at_once_and_can_be_continued(model, data, tmp_path, capsys):
    job, out = tmp_path / "job", tmp_path / "out"
    job.mkdir()
    ask(job, ["stop"], attempt=1)

    assert main("train_network", arguments(model, data, out, job_dir=job)) == 20

    assert "nothing new was learnt" in json.loads((job / "result.json").read_text())["reason"]
    assert not list(out.glob("*.safetensors"))
    assert main("train_network", arguments(model, data, out, job_dir=job)) == 0
    assert tensors(out / "waves.safetensors")


@pytest.mark.option("sample_prompts", "sample_every_n_epochs", "sample_at_first")
def test_sampling_and_tracking_do_not_change_the_result(model, data, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("sks waves --w 64 --h 64 --s 3 --d 5 --n ugly\n# a comment\n(waves:1.2) --w 64 --h 64 --s 2\n")
    train(model, data, tmp_path / "plain")
    train(
        model,
        data,
        tmp_path / "shown",
        sample_prompts=prompts,
        sample_every_n_epochs=1,
        sample_at_first=True,
        logging_dir=tmp_path / "logs",
    )

    assert same_tensors(tmp_path / "plain/waves.safetensors", tmp_path / "shown/waves.safetensors")
    assert len(list((tmp_path / "shown/sample").glob("waves_e000000_0?_*.png"))) == 2
    assert len(list((tmp_path / "shown/sample").glob("waves_e000001_00_*_5.png"))) == 1
    assert len(list((tmp_path / "logs").glob("*/network_train/events*"))) == 1


def test_validation_is_told_and_leaves_the_result_alone(model, data, tmp_path, caplog):
    with_split = {"validation_split": 0.3, "validation_seed": 1}
    train(model, data, tmp_path / "by epoch", **with_split)
    train(model, data, tmp_path / "by step", validate_every_n_steps=2, **with_split)

    assert same_tensors(tmp_path / "by epoch/waves.safetensors", tmp_path / "by step/waves.safetensors")
    assert metadata(tmp_path / "by step/waves.safetensors")["ss_num_validation_images"] == "1"


def test_a_further_run_can_start_from_the_weights_of_the_first(model, data, tmp_path):
    train(model, data, tmp_path / "first")
    start = tmp_path / "first/waves.safetensors"
    train(model, data, tmp_path / "second", network_weights=start, dim_from_weights=True, network_dim=None)
    train(model, data, tmp_path / "third", base_weights=[start], base_weights_multiplier=[0.5])

    assert tensors(tmp_path / "second/waves.safetensors").keys() == tensors(start).keys()
    assert (tmp_path / "third/waves.safetensors").exists()


def test_regularization_pictures_double_the_steps(model, data, tmp_path):
    train(model, data, tmp_path / "plain")
    train(model, data, tmp_path / "both", reg_data_dir=data, prior_loss_weight=0.5)

    plain, both = (metadata(tmp_path / name / "waves.safetensors") for name in ("plain", "both"))
    assert int(both["ss_num_reg_images"]) == int(plain["ss_num_train_images"])
    assert int(both["ss_steps"]) > int(plain["ss_steps"])


@pytest.mark.rule("flt-05")
def test_a_learning_rate_that_is_far_too_high_ends_with_code_7(model, data, tmp_path):
    words = arguments(model, data, tmp_path, optimizer_type="SGD", learning_rate="1e30", max_grad_norm=0)

    assert main("train_network", words) == 7
    assert not (tmp_path / "waves.safetensors").exists()
