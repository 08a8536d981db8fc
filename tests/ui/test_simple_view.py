"""The few questions of the simple view, as options and back."""

from pathlib import Path

import pytest
from PIL import Image
from tanren.errors import Problems
from tanren.paths import PathPolicy
from tanren.ui.simple_view import OWN, SIMPLE, fill_form, read_form
from tanren.ui.values import fields


@pytest.fixture
def pictures(tmp_path):
    """Make a folder with two pictures in it and return its path as text."""

    def make(name):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8)).save(folder / f"{number}.png")
        return str(folder)

    return make


def read(**raw):
    problems = Problems()
    options = read_form("train_network", raw, problems)
    assert problems.errors == []
    return options


def complaints(policy=None, **raw):
    problems = Problems()
    read_form("train_network", raw, problems)
    return [str(error) for error in problems.errors]


def test_every_question_is_an_option_or_one_of_our_own():
    known = {field.name for field in fields("train_network")} | {field.name for field in OWN}

    assert set(SIMPLE) <= known
    assert not {field.name for field in OWN} & {field.name for field in fields("train_network")}


def test_a_plain_folder_becomes_a_dataset_with_the_trigger_as_caption_of_last_resort(pictures):
    folder = pictures("学習 データ (1)")

    options = read(pictures=folder, trigger=" sks ", resolution="512", length_unit="epochs", length="5")

    assert options == {
        "resolution": [512, 512],
        "dataset_config": {
            "datasets": [{"subsets": [{"image_dir": folder, "num_repeats": 10, "class_tokens": "sks"}]}]
        },
        "metadata_trigger_phrase": "sks",
        "max_train_epochs": 5,
    }


def test_a_numbered_folder_says_repeats_and_words_itself(pictures):
    folder = pictures("5_sks dog")

    assert read(pictures=folder)["dataset_config"] == {
        "datasets": [{"subsets": [{"image_dir": folder, "num_repeats": 5, "class_tokens": "sks dog"}]}]
    }
    assert read(pictures=folder, repeats="3", trigger="x")["dataset_config"]["datasets"][0]["subsets"] == [
        {"image_dir": folder, "num_repeats": 3, "class_tokens": "x"}
    ]


def test_a_parent_of_numbered_folders_stays_what_it_is_for_kohya(pictures):
    parent = str(Path(pictures("set/5_sks dog")).parent)

    assert read(pictures=f'"{parent}"', trigger="sks dog") == {
        "train_data_dir": parent,
        "metadata_trigger_phrase": "sks dog",
    }


def test_a_folder_that_is_not_there_is_left_to_the_checks():
    assert read(pictures="/nosuch/folder") == {"train_data_dir": "/nosuch/folder"}


def test_regularization_folders_go_along_with_a_plain_folder(pictures):
    folder, other = pictures("mine"), pictures("reg/1_dog")

    options = read(pictures=folder, reg_data_dir=str(Path(other).parent))

    assert "reg_data_dir" not in options
    assert options["dataset_config"]["datasets"][0]["subsets"][1] == {
        "image_dir": other,
        "num_repeats": 1,
        "class_tokens": "dog",
        "is_reg": True,
    }


def test_folders_outside_of_the_roots_are_not_looked_into(pictures, tmp_path):
    folder = pictures("mine")
    policy = PathPolicy(roots=(tmp_path / "elsewhere",))

    assert read_form("train_network", {"pictures": folder}, Problems(), policy=policy) == {"train_data_dir": folder}


def test_captions_get_the_trigger_word_only_when_asked(pictures):
    folder = pictures("mine")

    assert "caption_prefix" not in read(pictures=folder, trigger="sks")
    assert read(pictures=folder, trigger="sks", trigger_in_captions=True)["caption_prefix"] == "sks,"


def test_length_is_one_number_in_epochs_or_steps():
    assert read(length_unit="steps", length=500.0) == {"max_train_steps": 500}
    assert read(length_unit="steps", length="1600") == {}
    assert read(length_unit="epochs", length="7", max_train_steps="") == {"max_train_epochs": 7}


def test_samples_show_the_trigger_word_when_no_prompts_are_given():
    options = read(trigger="sks", resolution="64,64", sample_every_n_epochs="1")

    assert options["sample_prompts"] == ["sks --w 64 --h 64 --d 1"]
    assert "sample_prompts" not in read(trigger="sks")


@pytest.mark.parametrize(
    "raw",
    [
        {"trigger": "sks", "trigger_in_captions": True, "repeats": "3", "length_unit": "epochs", "length": "4"},
        {"trigger": "", "length_unit": "steps", "length": "20", "network_dim": "8"},
        {"trigger": "sks", "metadata_trigger_phrase": "sks, red hair", "learning_rate": "1e-4"},
    ],
)
@pytest.mark.parametrize("name", ["mine", "4_sks dog"])
def test_the_form_shows_again_what_was_read_from_it(pictures, raw, name):
    options = read(pictures=pictures(name), **raw)

    shown = fill_form("train_network", options)

    assert shown["pictures"] == options["dataset_config"]["datasets"][0]["subsets"][0]["image_dir"]
    assert shown["dataset_config"] == ""
    assert read(**shown) == options


def test_the_form_of_a_job_shows_the_folder_behind_its_dataset_file(pictures, tmp_path):
    folder = pictures("mine")
    (tmp_path / "dataset.toml").write_text(
        f'[[datasets]]\n\n[[datasets.subsets]]\nimage_dir = "{folder}"\nnum_repeats = 2\n'
    )

    shown = fill_form("train_network", {"dataset_config": str(tmp_path / "dataset.toml")})

    assert (shown["pictures"], shown["repeats"], shown["dataset_config"]) == (folder, 2, "")


def test_a_dataset_of_another_make_stays_in_its_own_field():
    dataset = {"general": {"shuffle_caption": True}, "datasets": [{"subsets": [{"image_dir": "/a"}]}]}

    shown = fill_form("train_network", {"dataset_config": dataset})

    assert shown["pictures"] == ""
    assert shown["dataset_config"].startswith("[general]\nshuffle_caption = true\n")
    assert read(**shown)["dataset_config"] == dataset


def test_pictures_that_are_named_twice_are_refused():
    assert complaints(pictures="/a", dataset_config="/b.toml") == [
        "--pictures: The pictures are named twice, here and by --dataset_config.\n  Empty one of the fields."
    ]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"length": "some"}, "--length: 'some' is not a whole number."),
        ({"length": "0"}, "--length: 0 is out of range: it must be at least 1."),
        ({"length": 0}, "--length: 0 is out of range: it must be at least 1."),
        ({"length": "3", "length_unit": "days"}, "--length_unit: 'days' is neither epochs nor steps."),
        ({"pictures": "/a", "repeats": "-1"}, "--repeats: -1 is out of range: it must be at least 1."),
        (
            {"trigger": "a", "trigger_in_captions": True, "caption_prefix": "b"},
            "--caption_prefix: The text before captions is given twice, here and as the trigger word.",
        ),
    ],
)
def test_answers_that_cannot_be_read_are_told_at_their_question(raw, message):
    assert complaints(**raw)[0].startswith(message)
