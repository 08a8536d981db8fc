"""What stands in a form's fields, as options of a job, and back."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tanren.commands import COMMANDS
from tanren.errors import Problems
from tanren.options.convert import element_type, takes_list, takes_no_value
from tanren.options.dataset import DatasetOptions
from tanren.options.parse import parse_spec
from tanren.ui.fields import form_options, kind_of
from tanren.ui.values import fields, to_options, to_raw

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
CHARACTERS = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
WORDS = st.text(CHARACTERS, min_size=1, max_size=12)
PATHS = st.one_of(
    st.sampled_from(
        ["学習 データ (1)/絵.toml", " a ", "~\\a", "~nobody/a", '"b"', "C:\\new\\train", "it's", "-x", "%TEMP%", "a=b"]
    ),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
        lambda path: path.strip() and path != "~" and not path.startswith("~/")
    ),
)


def values_of(option):
    """A strategy for values of an option as a job's spec holds them."""
    text = option.text
    if takes_no_value(option):
        return st.booleans()
    if takes_list(option):
        return st.lists(_single(option), max_size=3)
    special = {
        "resolution": st.lists(st.integers(1, 4096), min_size=2, max_size=2),
        "face_crop_aug_range": st.tuples(st.floats(0.5, 2), st.floats(2, 4)).map(list),
        "lr_warmup_steps": st.one_of(st.integers(0, 500), st.floats(0, 0.99)),
        "lr_decay_steps": st.one_of(st.integers(0, 500), st.floats(0, 0.99)),
        "caption_extension": st.sampled_from([".txt", ".caption", ".タグ"]),
        "caption_extention": st.sampled_from([".txt", ".caption"]),
        "sample_prompts": st.one_of(
            PATHS.map(lambda path: f"{path}.txt"), st.lists(WORDS.map(_one_line), min_size=1, max_size=3)
        ),
        "dataset_config": st.one_of(PATHS.map(lambda path: f"{path}.toml"), DATASETS),
    }
    if option.name in special:
        return special[option.name]
    return st.sampled_from(text.choices) if text.choices else _single(option)


def _one_line(text):
    return "".join(text.split()) or "x"


DATASETS = st.fixed_dictionaries(
    {
        "general": st.dictionaries(st.sampled_from(["caption_extension", "caption_prefix"]), WORDS),
        "datasets": st.lists(
            st.fixed_dictionaries(
                {
                    "resolution": st.integers(64, 1024),
                    "subsets": st.lists(
                        st.fixed_dictionaries({"image_dir": WORDS, "custom_attributes": st.dictionaries(WORDS, WORDS)}),
                        min_size=1,
                        max_size=2,
                    ),
                }
            ),
            min_size=1,
            max_size=2,
        ),
    }
)


def _single(option):
    low, high = option.text.minimum, option.text.maximum
    if element_type(option) is int:
        return st.integers(int(low or 0), int(high or 10**9))
    if element_type(option) is float:
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    return PATHS if option.text.path else WORDS


@pytest.fixture(params=sorted(COMMANDS))
def command(request):
    return request.param


def read(command, raw):
    problems = Problems()
    options = to_options(command, raw, problems)
    assert problems.errors == []
    return options


def complaint(command, **raw):
    problems = Problems()
    assert to_options(command, raw, problems) == {}
    return str(problems.errors[0])


def test_every_option_has_a_field_but_places_of_jobs_and_secrets(command):
    names = {field.name for field in fields(command)}

    with_pictures = {"caption_extention"} if DatasetOptions in COMMANDS[command].groups else set()
    assert {"pretrained_model_name_or_path", "network_dim", "sample_prompts", *with_pictures} <= names
    assert not {"job_dir", "data_dir", "config_file", "output_config", "debug_dataset", "wandb_api_key"} & names


def test_a_field_carries_what_a_form_needs():
    by_name = {field.name: field for field in fields("train_network")}

    assert by_name["network_dim"].kind == "integer"
    assert by_name["learning_rate"].kind == "number"
    assert by_name["resolution"].kind == "text"
    assert by_name["resolution"].written == "WIDTH,HEIGHT"
    assert by_name["xformers"].kind == "flag"
    assert by_name["mixed_precision"].choices == ("no", "fp16", "bf16")
    assert by_name["max_token_length"].choices == ("", "75", "150", "225")
    assert by_name["vae"].path == "file or folder"
    assert by_name["optimizer_args"].kind == "list"
    assert by_name["optimizer_type"].suggestions[0] == "AdamW"
    assert by_name["sample_prompts"].kind == "prompt"
    assert by_name["network_dim"].commands[0] == "train_network"
    assert by_name["network_dim"].label == "Network rank (dim)"


def test_an_untouched_form_means_no_options(command):
    assert read(command, to_raw(command, {})) == {}


@given(data=st.data())
@FEW
def test_options_come_back_from_the_form_as_they_were(data):
    declared = form_options("train_network")
    chosen = data.draw(st.lists(st.sampled_from(sorted(declared)), max_size=8, unique=True))
    options = read("train_network", to_raw("train_network", {n: data.draw(values_of(declared[n])) for n in chosen}))

    assert read("train_network", to_raw("train_network", options)) == options


@pytest.mark.parametrize("name", sorted(form_options("train_network")))
def test_each_option_survives_the_form(name):
    option = form_options("train_network")[name]

    @given(value=values_of(option))
    @settings(max_examples=8, deadline=None, derandomize=True)
    def survives(value):
        default = list(option.default) if isinstance(option.default, tuple) else option.default
        expected = {} if value in (default, [], "") else {name: value}
        raw = json.loads(json.dumps(to_raw("train_network", {name: value})))
        assert read("train_network", raw) == expected

    survives()


def test_values_are_those_that_a_job_spec_is_read_with():
    raw = {
        "resolution": "512,768",
        "learning_rate": "1e-4",
        "network_dim": 16.0,
        "max_train_epochs": None,
        "lr_warmup_steps": "10%",
        "text_encoder_lr": "5e-5",
        "optimizer_args": 'weight_decay=0.01 betas=0.9,0.99\n"decouple=True"',
        "max_token_length": "150",
        "clip_skip": 2,
        "xformers": True,
    }

    options = read("train_network", raw)

    assert options == {
        "resolution": [512, 768],
        "learning_rate": 1e-4,
        "network_dim": 16,
        "lr_warmup_steps": 0.1,
        "text_encoder_lr": [5e-5],
        "optimizer_args": ["weight_decay=0.01", "betas=0.9,0.99", "decouple=True"],
        "max_token_length": 150,
        "clip_skip": 2,
        "xformers": True,
    }
    problems = Problems()
    flat = parse_spec("train_network", COMMANDS["train_network"].groups, options, "spec", problems).settings.flat()
    assert problems.errors == []
    assert flat["resolution"] == (512, 768)
    assert flat["text_encoder_lr"] == (5e-5,)


def test_several_quoted_arguments_on_one_line_are_several():
    assert read("train_network", {"network_args": '"conv_dim=4" "conv_alpha=1"'}) == {
        "network_args": ["conv_dim=4", "conv_alpha=1"]
    }


def test_a_pasted_path_loses_its_quotes_and_blanks():
    assert read("train_network", {"train_data_dir": ' "C:\\学習 (1)\\絵"\n'}) == {"train_data_dir": "C:\\学習 (1)\\絵"}


def test_prompts_may_be_typed_or_named():
    assert read("train_network", {"sample_prompts": "a cat --d 1\n\na dog\n"}) == {
        "sample_prompts": ["a cat --d 1", "a dog"]
    }
    assert read("train_network", {"sample_prompts": "/x/プロンプト.txt"}) == {"sample_prompts": "/x/プロンプト.txt"}


def test_a_dataset_may_be_typed_or_named():
    typed = '[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = "/a b"\n'

    assert read("train_network", {"dataset_config": typed}) == {
        "dataset_config": {"datasets": [{"resolution": 64, "subsets": [{"image_dir": "/a b"}]}]}
    }
    assert read("train_network", {"dataset_config": "/x/d.toml"}) == {"dataset_config": "/x/d.toml"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("network_dim", "many", "--network_dim: 'many' is not a whole number."),
        ("network_dim", 2.5, "--network_dim: 2.5 is not a whole number."),
        ("network_dim", 0, "--network_dim: 0 is out of range: it must be at least 1."),
        ("learning_rate", "1e-4x", "--learning_rate: '1e-4x' is not a number.\n  The default is 2e-06."),
        ("learning_rate", float("nan"), "--learning_rate: nan is not a finite number."),
        ("mixed_precision", "fp8", "--mixed_precision: 'fp8' is not one of no, fp16, bf16."),
        ("xformers", "maybe", "--xformers: 'maybe' is not true or false."),
        (
            "resolution",
            "512x768",
            "--resolution: '512x768' is neither one number nor WIDTH,HEIGHT. Write 1024 or 832,1216.",
        ),
        ("text_encoder_lr", "1e-4\nlow", "--text_encoder_lr: 'low' is not a number."),
        ("metadata_title", "a\0b", "--metadata_title: The text contains NUL.\n  Type it again."),
        ("metadata_title", "\ud800", "--metadata_title: The text contains half characters.\n  Type it again."),
        ("training_comment", "x" * 65537, "--training_comment: The text has 65537 characters; at most 65536 are"),
        ("dataset_config", "[[datasets]\n", "--dataset_config:1: This is not valid TOML:"),
        ("dataset_config", '{"datasets": [}', "--dataset_config:1: This is not valid JSON:"),
        ("netwrok_dim", 4, "--netwrok_dim: There is no such option.\n  Did you mean --network_dim?"),
        ("wandb_api_key", "k", "--wandb_api_key: There is no such option."),
    ],
)
def test_what_cannot_be_read_is_told_with_its_option(name, value, message):
    assert complaint("train_network", **{name: value}).startswith(message)


def test_a_value_that_somebody_else_wrote_wrongly_is_shown_as_it_is():
    assert to_raw("train_network", {"network_dim": "many"})["network_dim"] == "many"


def test_kinds_are_those_a_form_knows():
    known = {"text", "number", "integer", "flag", "choice", "list", "path", "prompt", "dataset"}
    assert {kind_of(option) for option in form_options("train_network").values()} == known
