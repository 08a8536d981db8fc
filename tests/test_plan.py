"""What `plan` says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from model_files import write_model
from PIL import Image
from tanren.errors import Problems
from tanren.plan import corrected_command, main, plan
from tanren.room import Room, check_room

TRAINER = Path(__file__).parents[1] / "trainer"


@pytest.fixture
def workplace(tmp_path):
    folder = tmp_path / "pictures" / "10_cat"
    folder.mkdir(parents=True)
    for number, size in enumerate([(640, 480), (512, 512), (300, 500)]):
        Image.new("RGB", size, (number * 50, 9, 9)).save(folder / f"p{number}.png")
    (folder / "p0.txt").write_text("a cat, red")
    write_model(tmp_path / "model.safetensors")
    return tmp_path


def flags(workplace, *more):
    return [
        f"--pretrained_model_name_or_path={workplace / 'model.safetensors'}",
        f"--train_data_dir={workplace / 'pictures'}",
        f"--output_dir={workplace / 'out'}",
        "--network_module=networks.lora",
        "--resolution=512",
        "--enable_bucket",
        "--caption_extension=.txt",
        *more,
    ]


def test_plan_counts_pictures_captions_buckets_and_steps(workplace):
    facts, problems = plan("train_network", flags(workplace, "--train_batch_size=4", "--max_train_epochs=3"))

    assert problems.errors == []
    (data,) = facts["data"]
    assert data["subsets"][0]["images"] == 3
    assert data["subsets"][0]["repeats"] == 10
    assert data["train_images"] == 30
    assert data["buckets"] == {"384x640": 10, "512x512": 10, "576x448": 10}
    assert data["captions"]["found_by_extension"] == {".txt": 1}
    assert [Path(name).name for name in data["captions"]["missing"]] == ["p1.png", "p2.png"]
    # Each of three buckets with 10 pictures makes 3 batches of up to 4.
    assert facts["length"]["batches_per_epoch"] == 9
    assert facts["length"]["max_train_steps"] == 27


def test_plan_names_the_files_and_the_room_they_take(workplace):
    arguments = ["--max_train_epochs=3", "--save_every_n_epochs=1", "--output_name=cat", "--save_precision=fp16"]
    facts, _ = plan("train_network", flags(workplace, *arguments))

    assert [(file["name"], file["after_step"]) for file in facts["files"]] == [
        ("cat-000001.safetensors", 30),
        ("cat-000002.safetensors", 60),
        ("cat.safetensors", 90),
    ]
    # tests/networks/test_lora_size.py counts 960 numbers at rank 4.
    assert facts["disk"]["file_bytes"] == 1920
    assert facts["disk"]["output_bytes"] == 3 * 1920


def test_plan_says_what_is_trained(workplace):
    facts, _ = plan("train_network", flags(workplace, "--network_train_unet_only", "--unet_lr=1e-4", "--network_dim=8"))

    training = facts["training"]
    assert training["base_model_is"] == "a Stable Diffusion 1 model"
    assert (training["unet"], training["text_encoder"], training["unet_lr"]) == (True, False, 1e-4)
    assert (training["rank"], training["unet_layers"], training["numbers"]) == (8, 4, 1024)


def test_plan_counts_the_latent_cache_on_disk(workplace):
    facts, _ = plan("train_network", flags(workplace, "--cache_latents_to_disk", "--flip_aug"))

    # 8x8 pixels a cell, 4 channels, 4 bytes, once more for the mirrored picture.
    cells = (384 * 640 + 512 * 512 + 576 * 448) // 64
    assert facts["disk"]["cache_bytes"] == cells * 4 * 4 * 2


def test_plan_as_text_reads_as_sentences(workplace, capsys):
    assert main(["train_network", *flags(workplace)]) == 0

    text = capsys.readouterr().out
    assert "10_cat: 3 pictures × 10 repeats, class 'cat'" in text
    assert "30 steps per epoch, 1600 steps in all, 54 epochs" in text
    assert "last.safetensors after step 1600" in text
    assert "Nothing stands in the way of this run." in text


@pytest.mark.rule("cfg-03")
def test_wrong_folder_level_gives_the_corrected_command_and_exit_code_3(workplace, capsys):
    arguments = [word for word in flags(workplace) if "train_data_dir" not in word]

    code = main(["train_network", *arguments, "--train_data_dir", str(workplace / "pictures" / "10_cat"), "--json"])

    facts = json.loads(capsys.readouterr().out)
    assert code == 3
    assert facts["problems"][0]["instead"] == str(workplace / "pictures")
    assert f"--train_data_dir={workplace / 'pictures'}" in facts["corrected_command"]
    assert "10_cat" not in facts["corrected_command"]


def test_corrected_command_quotes_odd_folders_and_knows_short_forms(tmp_path):
    from tanren.options.dataset_folders import WrongFolderError

    error = WrongFolderError("train_data_dir", "w", "f", Path("/my pictures"))

    assert corrected_command("train_network", ["--train_da=x", "--seed", "1"], [error]) == (
        "python launch.py plan train_network '--train_data_dir=/my pictures' --seed 1"
    )
    assert corrected_command("train_network", ["--config_file=c"], [error]).endswith("'--train_data_dir=/my pictures'")


@pytest.mark.rule("cfg-03")
def test_all_problems_come_at_once_with_the_lowest_exit_code(workplace, capsys):
    folder = workplace / "pictures" / "10_cat"
    (folder / "broken.png").write_bytes(b"no picture")

    code = main(["train_network", *flags(workplace, "--v2", "--lr_scheduler=cosin", "--network_args", "conv_dim")])

    text = capsys.readouterr().out
    assert code == 2
    assert "broken.png" in text
    assert "is a Stable Diffusion 1 model, so --v2 does not fit." in text
    assert "'cosin' is not a known schedule." in text
    assert "Did you mean cosine?" in text
    assert "'conv_dim' is not key=value." in text


def test_setting_that_cannot_be_read_is_not_also_called_missing(workplace, capsys):
    arguments = [word for word in flags(workplace) if "resolution" not in word]

    main(["train_network", *arguments, "--resolution=big"])

    text = capsys.readouterr().out
    assert "Problems (1)" in text
    assert "'big' is neither one number nor WIDTH,HEIGHT." in text


def test_plan_without_a_command_says_how_to_write_it(capsys):
    assert main(["train_netwok"]) == 2
    assert "Write python launch.py plan train_network --…" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_without_a_command_says_what_it_is_for_and_lists_the_commands(word, capsys):
    assert main([word]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("usage: python launch.py plan COMMAND --… [--json]")
    assert "  sdxl_train_leco                " in said.out
    assert said.err == ""


def test_plan_imports_neither_torch_nor_its_friends(workplace):
    refused = "['torch', 'diffusers', 'transformers', 'accelerate', 'safetensors', 'numpy', 'tqdm', 'toml']"
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({refused}))\n"
        "from tanren.plan import main; sys.exit(main(sys.argv[1:]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "train_network", *flags(workplace)],
        env=os.environ | {"PYTHONPATH": str(TRAINER)},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )

    assert result.returncode == 0, result.stderr
    assert "Nothing stands in the way of this run." in result.stdout


@pytest.mark.rule("flt-02")
def test_run_that_does_not_fit_on_the_disk_is_refused_with_both_numbers():
    room = Room("out", 40 << 20, "cache", 1 << 30, 0, output_bytes=20 << 20)
    problems = Problems()

    check_room(room, problems)

    assert [error.what for error in problems.errors] == ["The run needs 20.0 MiB there, but only 40.0 MiB are free."]
    assert problems.errors[0].code == 5
