"""Datasets and prompts that stand in the options themselves, and what a job keeps of the files it names."""

from tanren.options.contents import contents_of, frozen, with_files
from tanren.paths import PathPolicy

DATASET = {"datasets": [{"resolution": 64, "subsets": [{"image_dir": "/学習 (1)", "num_repeats": 2}]}]}
DATASET_TEXT = """[[datasets]]
resolution = 64

[[datasets.subsets]]
image_dir = "/学習 (1)"
num_repeats = 2
"""


def test_contents_become_files_and_their_paths_options(tmp_path):
    options = {"seed": 1, "dataset_config": DATASET, "sample_prompts": ["a cat --d 1", "猫"]}

    given = with_files(options, tmp_path)

    assert given == {
        "seed": 1,
        "dataset_config": str(tmp_path / "dataset.toml"),
        "sample_prompts": str(tmp_path / "prompts.txt"),
    }
    assert (tmp_path / "dataset.toml").read_text("utf-8") == DATASET_TEXT
    assert (tmp_path / "prompts.txt").read_text("utf-8") == "a cat --d 1\n猫\n"
    assert options["dataset_config"] is DATASET


def test_options_without_contents_stay_as_they_are(tmp_path):
    options = {"dataset_config": "/x.toml", "seed": 1}

    assert contents_of(options) == {}
    assert with_files(options, tmp_path) == options
    assert list(tmp_path.iterdir()) == []


def test_a_job_keeps_copies_of_the_files_it_names(tmp_path):
    named = tmp_path / "mine.json"
    named.write_text('{"datasets": []}', encoding="utf-8")
    job = tmp_path / "job"

    options, texts = frozen({"dataset_config": str(named), "sample_prompts": ["x"], "seed": 1}, job)

    assert options == {
        "dataset_config": str(job / "dataset.json"),
        "sample_prompts": str(job / "prompts.txt"),
        "seed": 1,
    }
    assert texts == {"dataset.json": '{"datasets": []}', "prompts.txt": "x\n"}
    assert not job.exists()


def test_files_that_are_not_there_or_not_allowed_are_left_to_the_checks(tmp_path):
    (tmp_path / "mine.toml").write_text("")
    there, missing = {"dataset_config": str(tmp_path / "mine.toml")}, {"dataset_config": str(tmp_path / "no.toml")}

    assert frozen(missing, tmp_path / "job") == (missing, {})
    assert frozen(there, tmp_path / "job", policy=PathPolicy(roots=(tmp_path / "other",))) == (there, {})


def test_what_leco_changes_may_stand_in_the_options_too(tmp_path):
    concepts = {"resolution": 64, "prompts": [{"target": "円"}]}

    given = with_files({"prompts_file": concepts}, tmp_path)

    assert given == {"prompts_file": str(tmp_path / "leco.toml")}
    assert (tmp_path / "leco.toml").read_text("utf-8") == 'resolution = 64\n\n[[prompts]]\ntarget = "円"\n'


def test_a_job_keeps_the_neutral_prompts_that_stand_in_files_beside_the_prompt_file(tmp_path):
    (tmp_path / "more.txt").write_text("b\n\n c \n", "utf-8")
    named = tmp_path / "mine.toml"
    named.write_text('neutrals = ["a"]\nneutral_prompt_file = "more.txt"\n[[targets]]\ntarget_class = "x"\n', "utf-8")

    options, texts = frozen({"prompts_file": str(named)}, tmp_path / "job")

    assert options == {"prompts_file": str(tmp_path / "job" / "leco.toml")}
    assert texts == {"leco.toml": 'neutrals = ["a", "b", "c"]\n\n[[targets]]\ntarget_class = "x"\n'}


def test_a_prompt_file_that_stands_alone_is_copied_as_it_is(tmp_path):
    named = tmp_path / "mine.toml"
    named.write_text("# my eraser\n[[prompts]]\ntarget = 'x'\n", "utf-8")

    assert frozen({"prompts_file": str(named)}, tmp_path)[1] == {
        "leco.toml": "# my eraser\n[[prompts]]\ntarget = 'x'\n"
    }
