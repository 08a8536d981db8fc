"""Dataset files and folders to plans."""

import pytest
from tanren.commands import COMMANDS
from tanren.errors import Problems
from tanren.options.dataset_file import dataset_plans
from tanren.options.dataset_plan import DREAMBOOTH, MASKED, METADATA
from tanren.options.parse import parse
from tanren.paths import PathPolicy

GROUPS = COMMANDS["train_network"].groups


def plans_and_problems(*argv):
    problems = Problems()
    plans = dataset_plans(parse("train_network", GROUPS, argv).settings, problems)
    return plans, problems


def plans_of(*argv):
    plans, problems = plans_and_problems(*argv)
    problems.raise_if_any()
    return plans


def messages(*argv):
    return [str(problem) for problem in plans_and_problems(*argv)[1].errors]


@pytest.fixture
def write(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    (tmp_path / "meta.json").write_text("{}")

    def written(text, name="data.toml"):
        path = tmp_path / name
        path.write_text(text.replace("$", str(tmp_path)), encoding="utf-8")
        return f"--dataset_config={path}"

    return written


def test_values_come_from_subset_then_dataset_then_general_then_command_line(write, tmp_path):
    argument = write("""
[general]
shuffle_caption = true
keep_tokens = 1
flip_aug = false
[[datasets]]
resolution = [512, 768]
batch_size = 4
keep_tokens = 2
[[datasets.subsets]]
image_dir = '$/cat'
num_repeats = 10
keep_tokens = 3
[[datasets.subsets]]
image_dir = '$/dog'
class_tokens = 'dog'
is_reg = true
""")

    (plan,) = plans_of(argument, "--flip_aug", "--caption_dropout_rate=0.1", "--resolution=64", "--enable_bucket")

    assert (plan.resolution_wh, plan.batch_size, plan.enable_bucket) == ((512, 768), 4, True)
    cat, dog = plan.subsets
    assert (cat.kind, cat.image_dir, cat.num_repeats) == (DREAMBOOTH, str(tmp_path / "cat"), 10)
    assert (cat.keep_tokens, dog.keep_tokens) == (3, 2)
    assert (cat.shuffle_caption, cat.flip_aug, cat.caption_dropout_rate) == (True, False, 0.1)
    assert (dog.class_tokens, dog.is_reg, dog.num_repeats) == ("dog", True, 1)


def test_json_says_the_same_as_toml(write):
    argument = write('{"datasets": [{"resolution": 64, "subsets": [{"image_dir": "$/cat"}]}]}', "data.json")

    assert plans_of(argument)[0].resolution_wh == (64, 64)


def test_metadata_kind_is_told_by_its_file(write, tmp_path):
    argument = write("[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nmetadata_file = '$/meta.json'\n")

    (subset,) = plans_of(argument)[0].subsets

    assert (subset.kind, subset.metadata_file, subset.image_dir) == (METADATA, str(tmp_path / "meta.json"), None)


def test_masks_make_a_kind_of_their_own_when_they_are_used(write):
    text = "[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = '$/cat'\nconditioning_data_dir = '$/dog'\n"

    assert plans_of(write(text), "--masked_loss")[0].subsets[0].kind == MASKED
    assert "Mask pictures are named, but masks are not used.\n  Add --masked_loss" in messages(write(text))[0]


def test_same_folder_counts_once_in_a_dataset_and_again_in_another(write):
    subset = "[[datasets.subsets]]\nimage_dir = '$/cat'\n"
    argument = write(f"[[datasets]]\nresolution = 64\n{subset}{subset}[[datasets]]\nresolution = 128\n{subset}")

    plans, problems = plans_and_problems(argument)

    assert [len(plan.subsets) for plan in plans] == [1, 1]
    assert problems.warnings[0].endswith("datasets[0].subsets[0].") and "left out" in problems.warnings[0]


def test_custom_attributes_are_a_free_table(write):
    argument = write("""
[[datasets]]
resolution = 64
[[datasets.subsets]]
image_dir = '$/cat'
custom_attributes = { diff_output_preservation = true }
""")

    assert plans_of(argument)[0].subsets[0].preserves_output


def test_interpolation_may_be_box_in_a_file(write):
    argument = write(
        "[[datasets]]\nresolution = 64\nresize_interpolation = 'box'\n[[datasets.subsets]]\nimage_dir = '$/cat'\n"
    )

    (plan,) = plans_of(argument)

    assert (plan.resize_interpolation, plan.subsets[0].resize_interpolation) == ("box", "box")


def test_bucket_limits_are_rounded_outwards_with_a_line_each(write):
    argument = write("[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = '$/cat'\n")

    plans, problems = plans_and_problems(argument, "--enable_bucket", "--min_bucket_reso=300", "--max_bucket_reso=1000")

    assert (plans[0].min_bucket_reso, plans[0].max_bucket_reso) == (256, 1024)
    assert [line.partition(": ")[2] for line in problems.warnings] == [
        "256 is used for 300, a multiple of 64.",
        "1024 is used for 1000, a multiple of 64.",
    ]


def test_split_outside_of_0_to_1_holds_nothing_out(write):
    argument = write(
        "[[datasets]]\nresolution = 64\nvalidation_split = 1.5\n[[datasets.subsets]]\nimage_dir = '$/cat'\n"
    )

    plans, problems = plans_and_problems(argument)

    assert plans[0].validation_split == 0
    assert "1.5 is not between 0 and 1; nothing is held out." in problems.warnings[0]


def test_dataset_file_replaces_the_folder_options_with_a_warning(write):
    argument = write("[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = '$/cat'\n")

    _, problems = plans_and_problems(argument, "--train_data_dir=x", "--in_json=y")

    assert problems.warnings == ["--dataset_config replaces --train_data_dir and --in_json."]


GOOD = "[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = '$/cat'\n"


@pytest.mark.parametrize(
    ("text", "line", "place", "message"),
    [
        (
            GOOD + "keep_tokns = 1\n",
            5,
            "datasets[0].subsets[0].keep_tokns",
            "There is no such key.\n  Did you mean keep_tokens?",
        ),
        (GOOD + "keep_tokens = 'a'\n", 5, "datasets[0].subsets[0].keep_tokens", "'a' is not a whole number."),
        (GOOD + "flip_aug = 1\n", 5, "datasets[0].subsets[0].flip_aug", "1 is not true or false."),
        (GOOD + "resolution = 64\n", 5, "datasets[0].subsets[0].resolution", "belongs into [[datasets]] or [general]."),
        (
            GOOD + "prior_loss_weight = 1\n",
            5,
            "datasets[0].subsets[0].prior_loss_weight",
            "set on the command line only.",
        ),
        (GOOD + "image_dir = '$/cat'\n", 5, "", "This is not valid TOML"),
        (GOOD.replace("64", "'big'"), 2, "datasets[0].resolution", "'big' is neither one number nor WIDTH,HEIGHT."),
        (GOOD.replace("/cat'", "/cats'"), 4, "datasets[0].subsets[0]", "is not there."),
        (GOOD.replace("'$/cat'", '"C:\\new"'), 4, "datasets[0].subsets[0].image_dir", "has control characters in it."),
        (GOOD.replace("image_dir = '$/cat'", ""), 3, "datasets[0].subsets[0].image_dir", "The key is missing."),
        (GOOD.replace("resolution = 64", ""), 1, "datasets[0]", "The training resolution is missing."),
        ("[[datasets]]\nresolution = 64\n", 1, "datasets[0]", "The dataset has no subsets."),
        ("[general]\nseed = 1\n" + GOOD, 2, "general.seed", "There is no such key."),
        ("[general]\nis_reg = true\n" + GOOD, 2, "general.is_reg", "This key belongs into [[datasets.subsets]]."),
        ("[[dataset]]\n" + GOOD, 1, "dataset", "Only [general] and [[datasets]] stand at the top of the file."),
        ("flip_aug = true\n" + GOOD, 1, "flip_aug", "It belongs into [[datasets.subsets]]."),
        ("[datasets]\nresolution = 64\n", 1, "datasets", "Write [[datasets]] with two brackets."),
        (
            GOOD + "[[datasets.subsets]]\nmetadata_file = '$/meta.json'\n",
            1,
            "datasets[0]",
            "Some subsets have a metadata_file",
        ),
        (
            GOOD + "metadata_file = '$/meta.json'\nis_reg = true\n",
            6,
            "datasets[0].subsets[0].is_reg",
            "does not exist for a metadata file.",
        ),
    ],
)
@pytest.mark.rule("cfg-01")
def test_what_is_wrong_in_a_dataset_file_is_named_with_its_place(write, tmp_path, text, line, place, message):
    found = messages(write(text))

    assert len(found) == 1, found
    assert f"data.toml:{line} {place}".strip() in found[0]
    assert message in found[0]


@pytest.mark.rule("cfg-01")
def test_empty_dataset_file_and_other_suffixes_are_refused(write):
    assert "There are no datasets in it." in messages(write(""))[0]
    assert "A dataset file ends in .toml or .json." in messages(write("", "data.yaml"))[0]


@pytest.mark.rule("cfg-01")
def test_json_faults_are_named_with_their_line(write):
    assert "data.json:2: This is not valid JSON" in messages(write('{\n"a" 1}', "data.json"))[0]
    assert "The key 'a' occurs twice in one object." in messages(write('{"a": 1, "a": 2}', "data.json"))[0]
    assert "general.x is nan" in messages(write('{"general": {"x": NaN}}', "data.json"))[0]


@pytest.mark.rule("cfg-03")
def test_all_that_is_wrong_in_a_dataset_file_comes_at_once(write):
    assert len(messages(write(GOOD.replace("64", "'x'") + "keep_tokens = 'a'\nzzz = 1\n"))) >= 3


def test_folders_give_repeats_and_class_tokens(tmp_path):
    for name in ("20_sls frog", "5_a_b", "notes", "0_none"):
        (tmp_path / name).mkdir()

    plans, problems = plans_and_problems(f"--train_data_dir={tmp_path}", "--resolution=512", "--caption_extension=txt")

    assert [(subset.num_repeats, subset.class_tokens) for subset in plans[0].subsets] == [(20, "sls frog"), (5, "a_b")]
    assert {subset.caption_extension for subset in plans[0].subsets} == {".txt"}
    assert problems.warnings == [
        f"{tmp_path}: 0_none, notes: left out, the name does not begin with a number of repeats, as in 10_name."
    ]


def test_regularization_folders_follow_the_training_folders(tmp_path):
    (tmp_path / "train" / "2_x dog").mkdir(parents=True)
    (tmp_path / "reg" / "1_dog").mkdir(parents=True)

    (plan,) = plans_of(
        f"--train_data_dir={tmp_path / 'train'}", f"--reg_data_dir={tmp_path / 'reg'}", "--resolution=64"
    )

    assert [(subset.class_tokens, subset.is_reg) for subset in plan.subsets] == [("x dog", False), ("dog", True)]


def test_metadata_file_on_the_command_line_is_one_subset(tmp_path):
    (tmp_path / "m.json").write_text("{}")

    (plan,) = plans_of(
        f"--in_json={tmp_path / 'm.json'}", f"--train_data_dir={tmp_path}", "--dataset_repeats=3", "--resolution=64"
    )

    (subset,) = plan.subsets
    assert (subset.kind, subset.image_dir, subset.num_repeats) == (METADATA, str(tmp_path), 3)


@pytest.mark.parametrize(
    ("given", "picture", "instead", "message"),
    [
        ("10_name", "10_name/a.png", ".", "is the 10_name folder itself."),
        (".", "a.png", None, "The pictures lie directly in"),
        (".", "set/10_name/a.png", "set", "folders lie one level deeper"),
        (".", "set/a.png", None, "whose name does not begin with a number of repeats."),
        (".", "set/deeper/a.png", None, "No pictures were found in"),
    ],
)
def test_wrong_folder_level_is_recognised_and_the_right_one_offered(tmp_path, given, picture, instead, message):
    picture = tmp_path / picture
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.touch()

    (problem,) = plans_and_problems(f"--train_data_dir={tmp_path / given}", "--resolution=64")[1].errors

    assert message in problem.what
    assert problem.code == 3
    assert problem.instead == (None if instead is None else (tmp_path / instead).resolve())


def test_of_an_inner_folder_with_pictures_is_said_how_to_call_it(tmp_path):
    for folder in ("animals", ".thumbnails"):
        (tmp_path / folder).mkdir()
    (tmp_path / "animals" / "a.JPG").touch()

    (problem,) = plans_and_problems(f"--train_data_dir={tmp_path}", "--resolution=64")[1].errors

    assert problem.what == (
        f"The pictures lie in {tmp_path / 'animals'}, whose name does not begin with a number of repeats."
    )
    assert problem.fix == (
        f"Rename it to {tmp_path / '10_animals'} (10 repeats per epoch) and keep --train_data_dir as it is."
    )
    assert problem.pictures == tmp_path / "animals"


def test_of_several_inner_folders_none_is_taken_for_the_one(tmp_path):
    for folder in ("cats", "dogs"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").touch()

    (problem,) = plans_and_problems(f"--train_data_dir={tmp_path}", "--resolution=64")[1].errors

    assert "No pictures were found in" in problem.what
    assert problem.pictures is None


def test_no_pictures_named_and_no_resolution_are_told(tmp_path):
    (tmp_path / "1_a").mkdir()

    assert messages()[0].startswith("--train_data_dir: No pictures were named.")
    assert messages(f"--train_data_dir={tmp_path}")[0].startswith("--resolution: The training resolution is missing.")


def test_folders_outside_of_the_roots_are_refused_wherever_they_are_named(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside / "10_cat"):
        folder.mkdir(parents=True)
    file = inside / "data.toml"
    file.write_text(f"[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = '{outside / '10_cat'}'\n")
    for argv in ([f"--dataset_config={file}"], [f"--train_data_dir={outside}", "--resolution=64"]):
        problems = Problems()

        assert dataset_plans(parse("train_network", GROUPS, argv).settings, problems, PathPolicy((inside,))) == ()
        assert [("lies outside" in error.what) for error in problems.errors] == [True]
