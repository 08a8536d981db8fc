"""Settings out to sd-scripts' files and in again."""

import pytest
from tanren.commands import COMMANDS
from tanren.errors import Problems, UsageError
from tanren.options.parse import parse
from tanren.ui.exchange import exported, import_text, import_upload
from tanren.ui.imported import Imported, NotTaken, merged

DATASET = {
    "general": {"shuffle_caption": True},
    "datasets": [{"resolution": 64, "subsets": [{"image_dir": "/絵 (1)"}]}],
}
OPTIONS = {
    "pretrained_model_name_or_path": "C:\\models\\a b.safetensors",
    "resolution": [512, 768],
    "network_args": ["conv_dim=4"],
    "learning_rate": 1e-05,
    "xformers": True,
    "text_encoder_lr": [5e-05],
    "metadata_description": 'two\nlines, "quoted"',
}


def imported(text, name="a.toml"):
    return import_text("train_network", text, name)


def test_an_export_is_a_config_file_that_means_the_same(tmp_path):
    files = exported("train_network", OPTIONS).files
    (tmp_path / "settings.toml").write_text(files["settings.toml"], encoding="utf-8")

    problems = Problems()
    words = [f"--config_file={tmp_path / 'settings.toml'}"]
    flat = parse("train_network", COMMANDS["train_network"].groups, words, problems).settings.flat()

    assert list(files) == ["settings.toml"]
    assert files["settings.toml"].startswith("# Options of train_network: python launch.py train_network --config_file")
    assert 'resolution = "512,768"\n' in files["settings.toml"]
    assert problems.errors == problems.warnings == []
    assert flat["metadata_description"] == OPTIONS["metadata_description"]
    assert (flat["resolution"], flat["text_encoder_lr"], flat["learning_rate"]) == ((512, 768), (5e-05,), 1e-05)


def test_a_dataset_and_prompts_are_files_beside_it():
    files = exported("train_network", {**OPTIONS, "dataset_config": DATASET, "sample_prompts": ["a cat"]}).files

    assert list(files) == ["settings.toml", "dataset.toml", "prompts.txt"]
    assert 'dataset_config = "dataset.toml"\n' in files["settings.toml"]
    assert files["prompts.txt"] == "a cat\n"
    assert imported(files["dataset.toml"]).options == {"dataset_config": DATASET}


def test_an_exported_config_comes_back_as_it_went():
    result = imported(exported("train_network", OPTIONS).config)

    assert result.options == OPTIONS
    assert result.not_taken == []
    assert "learning_rate" in result.taken


def test_a_config_files_sections_mean_nothing_and_unknown_keys_are_listed():
    result = imported(
        'seed = "3"\nwandb_api_key = "k123456789"\n[a]\nnetwork_dim = 8\nnetwrok_alpha = 4\n'
        '[b]\nclip_l = "x"\nconfig_file = "y"\nlearning_rate = "high"\n'
    )

    assert result.options == {"seed": 3, "network_dim": 8}
    assert result.taken == ["seed", "network_dim"]
    assert result.not_taken == [
        NotTaken(
            "wandb_api_key", "***", "Secrets are not kept in settings; set WANDB_API_KEY where the program is started."
        ),
        NotTaken("netwrok_alpha", 4, "Unknown; did you mean network_alpha?"),
        NotTaken("clip_l", "x", "It belongs to the training of FLUX.1."),
        NotTaken("config_file", "y", "It names the file that options come from."),
        NotTaken("learning_rate", "high", "'high' is not a number. The default is 2e-06."),
    ]


def test_a_preset_of_somebody_else_is_imported_like_a_config():
    result = imported('[tanren]\nschema = 1\nname = "x"\ncommand = "train_network"\n\n[options]\nnetwork_dim = 8\n')

    assert result.title == "Preset"
    assert result.options == {"network_dim": 8}


def test_keys_of_a_dataset_file_that_nobody_reads_are_listed_and_left_out():
    text = (
        "[general]\nshufle_caption = true\n[[datasets]]\nresolution = 64\nimage_dir = '/a'\n"
        "[[datasets.subsets]]\nimage_dir = '/b'\nbatch_size = 2\n[x]\n"
    )

    result = imported(text)

    assert result.is_subject
    assert result.options["dataset_config"]["datasets"] == [{"resolution": 64, "subsets": [{"image_dir": "/b"}]}]
    assert [(left.name, left.why) for left in result.not_taken] == [
        ("x", "Only [general] and [[datasets]] stand at the top of a dataset file."),
        ("general.shufle_caption", "Unknown; did you mean shuffle_caption?"),
        ("datasets[0].image_dir", "It belongs to [[datasets.subsets]]."),
        ("datasets[0].subsets[0].batch_size", "It belongs to [[datasets]] or [general]."),
    ]


def test_a_dataset_replaces_the_pictures_and_settings_replace_everything():
    now = {"train_data_dir": "/a", "reg_data_dir": "/r", "seed": 1}

    assert merged(now, Imported("", {"dataset_config": DATASET}, is_subject=True)) == {
        "dataset_config": DATASET,
        "seed": 1,
    }
    assert merged(now, Imported("", {"seed": 2})) == {"seed": 2}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "a = 1\nb = \n", "a.toml:2: This is not valid TOML"),
        ("a.json", '{"LoRA_type": 1,\n}', "a.json:2: This is not valid JSON"),
        ("a.json", '{"LoRA_type": 1, "LoRA_type": 2}', "a.json: The key 'LoRA_type' occurs twice in one object."),
        ("a.json", "[1]", "a.json: These are no settings"),
        ("a.toml", "a = nan", "a.toml: a is nan; a finite number is needed."),
        ("a.toml", "datasets = 3", "a.toml: There are no datasets in it."),
        ("a.json", "[" * 40 + "]" * 40, "a.json: Tables and lists are nested deeper than 32 levels."),
    ],
)
@pytest.mark.rule("cfg-01")
def test_files_that_cannot_be_read_are_told_with_their_line(name, text, message):
    with pytest.raises(UsageError) as caught:
        imported(text, name)
    assert str(caught.value).startswith(message)


@pytest.mark.rule("cfg-01")
def test_an_upload_that_is_too_large_or_no_text_is_refused_under_its_own_name(tmp_path):
    path = tmp_path / "upload-1234"
    path.write_bytes(b"a" * (4 * 1024 * 1024 + 1))
    with pytest.raises(UsageError, match="settings files end at 4194304") as caught:
        import_upload("train_network", path, "my settings.toml")
    assert caught.value.where == "my settings.toml"

    path.write_bytes("名前 = 1".encode("cp932"))
    with pytest.raises(UsageError, match="not UTF-8") as caught:
        import_upload("train_network", path, "my settings.toml")
    assert caught.value.where == "my settings.toml:1"


LINES = {
    "bash": """#!/bin/bash
# my first SDXL LoRA
accelerate launch --num_cpu_threads_per_process 1 sdxl_train_network.py \\
  --pretrained_model_name_or_path="/models/my model.safetensors" \\
  --network_args "conv_dim=4" conv_alpha=1 --text_encoder_lr 1e-5 2e-5 --shuffle_caption 2>&1 | tee log.txt
""",
    "cmd": """@echo off
rem my first SDXL LoRA
accelerate launch .\\sd-scripts\\sdxl_train_network.py ^
  --pretrained_model_name_or_path="/models/my model.safetensors" ^
  --network_args "conv_dim=4" conv_alpha=1 --text_encoder_lr 1e-5 2e-5 --shuffle_caption
""",
    "launch": """python launch.py sdxl_train_network --pretrained_model_name_or_path='/models/my model.safetensors' \
--network_args conv_dim=4 conv_alpha=1 --text_encoder_lr 1e-5 2e-5 --shuffle_caption""".replace("\\\n", ""),
}


@pytest.mark.parametrize("shell", LINES)
def test_a_command_line_is_imported_as_any_shell_writes_it(shell):
    result = imported(LINES[shell])

    assert (result.title, result.command) == ("Command line of sd-scripts", "sdxl_train_network")
    assert result.options == {
        "pretrained_model_name_or_path": "/models/my model.safetensors",
        "network_args": ["conv_dim=4", "conv_alpha=1"],
        "text_encoder_lr": [1e-05, 2e-05],
        "shuffle_caption": True,
    }
    assert result.not_taken == []


def test_backslashes_in_paths_of_windows_stay():
    result = imported(r"python C:\sd\train_network.py --train_data_dir=D:\img --output_dir D:\out --network_dim=8")

    assert result.options == {"train_data_dir": r"D:\img", "output_dir": r"D:\out", "network_dim": 8}


def test_words_of_a_command_line_that_have_no_place_are_told():
    result = imported("train_network.py --netwrok_dim 8 --seed x --wandb_api_key k123456789 --clip_l a.st stray")

    assert result.options == {}
    assert [(left.name, str(left.value)) for left in result.not_taken] == [
        ("netwrok_dim", ""),
        ("wandb_api_key", "***"),
        ("clip_l", ""),
        ("", "--seed"),
    ]
    assert "k123456789" not in str(result)


def test_a_command_line_of_a_training_that_the_form_does_not_have_is_refused():
    with pytest.raises(UsageError, match="This form does not have the training of sdxl_gen_img"):
        imported("python sdxl_gen_img.py --prompt=cat --steps=10")


def test_a_config_file_that_mentions_a_command_is_no_command_line():
    assert imported('training_comment = "python sdxl_train_network.py --seed 3"\nseed = 4\n').options == {
        "training_comment": "python sdxl_train_network.py --seed 3",
        "seed": 4,
    }


def test_an_exported_config_says_for_which_command_it_is():
    result = imported(exported("sdxl_train_network", {"network_dim": 8}).config)

    assert (result.command, result.options) == ("sdxl_train_network", {"network_dim": 8})
