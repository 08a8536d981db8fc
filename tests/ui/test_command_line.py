"""Options as a command line to copy: read back, it means the same."""

import re
import shlex

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tanren.commands import COMMANDS
from tanren.errors import Problems, UsageError
from tanren.options.parse import parse, parse_spec
from tanren.ui.command_line import argv_of, command_line

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=14)
PATH = st.one_of(
    st.sampled_from(
        ["学習 データ (1)/it's", 'say "x"', "-n", "--seed=3", "$HOME `ls`", "a&b|c", "%PATH%", "a!b^c", "c:\\x\\"]
    ),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=14).filter(str.strip),
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "pretrained_model_name_or_path": PATH,
        "train_data_dir": PATH.filter(lambda path: not path.startswith(("~/", "~\\"))),
        "metadata_description": TEXT,
        "resolution": st.lists(st.integers(1, 2048), min_size=2, max_size=2),
        "learning_rate": st.floats(0, 1),
        "noise_offset": st.floats(-1, 1),
        "xformers": st.just(True),
        "network_args": st.lists(TEXT.filter(lambda text: not text.startswith("-")), max_size=3),
        "text_encoder_lr": st.lists(st.floats(0, 1), max_size=2),
        "max_token_length": st.just(150),
        "lr_warmup_steps": st.one_of(st.integers(0, 99), st.floats(0.01, 0.9)),
    },
)
MANY = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def cmd_words(line):
    """What a program finds in its argv: cmd's carets and quotes first, then the rules of the C runtime."""
    line = re.sub(r"%([^%:]+)%", lambda name: "gone" if name[1] == "PATH" else name[0], line)
    passed, is_quoted, at = "", False, 0
    while at < len(line):
        character = line[at]
        if character == "^" and not is_quoted:
            at += 1
            passed += line[at : at + 1]
        else:
            is_quoted ^= character == '"'
            assert is_quoted or character not in "&|<>", line
            passed += character
        at += 1
    return c_words(passed)


def c_words(line):
    words, word, is_quoted, has_word, at = [], "", False, False, 0
    while at < len(line):
        slashes = len(line[at:]) - len(line[at:].lstrip("\\"))
        at += slashes
        if line[at : at + 1] == '"':
            word += "\\" * (slashes // 2)
            if slashes % 2:
                word += '"'
            else:
                is_quoted = not is_quoted
            has_word = True
            at += 1
            continue
        word += "\\" * slashes
        has_word |= slashes > 0
        if at >= len(line):
            break
        if line[at] in " \t" and not is_quoted:
            words, word, has_word = ([*words, word] if has_word else words), "", False
        else:
            word += line[at]
            has_word = True
        at += 1
    return [*words, word] if has_word else words


def meaning(groups, *, argv=None, options=None):
    problems = Problems()
    if argv is None:
        run = parse_spec("train_network", groups, options, "spec", problems)
    else:
        run = parse("train_network", groups, argv, problems)
    assert problems.errors == []
    return run.settings.flat()


@given(options=OPTIONS)
@MANY
def test_a_line_for_sh_read_back_means_the_same(options):
    groups = COMMANDS["train_network"].groups
    *program, command = "python", "launch.py", "train_network"

    words = shlex.split(command_line("train_network", options))

    assert words[:3] == [*program, command]
    assert words[3:] == argv_of("train_network", options)
    assert meaning(groups, argv=words[3:]) == meaning(groups, options=options)


@given(options=OPTIONS)
@MANY
def test_a_line_for_cmd_reaches_the_program_word_for_word(options):
    words = argv_of("train_network", options)
    if any("\n" in word or "\r" in word for word in words):
        with pytest.raises(UsageError, match="line breaks"):
            command_line("train_network", options, shell="cmd")
        return

    assert cmd_words(command_line("train_network", options, shell="cmd"))[3:] == words


def test_lines_read_as_a_person_would_write_them():
    options = {
        "pretrained_model_name_or_path": "/models/my model.safetensors",
        "network_args": ["conv_dim=4", "conv_alpha=1"],
        "text_encoder_lr": [5e-05],
        "xformers": True,
        "noise_offset": -0.1,
        "resolution": [512, 768],
    }

    assert command_line("train_network", options) == (
        "python launch.py train_network --pretrained_model_name_or_path='/models/my model.safetensors' "
        "--resolution=512,768 --network_args conv_dim=4 conv_alpha=1 --text_encoder_lr=5e-05 --xformers "
        "--noise_offset=-0.1"
    )
    assert command_line("train_network", {"train_data_dir": "C:\\my pictures\\"}, shell="cmd") == (
        'python launch.py train_network "--train_data_dir=C:\\my pictures\\\\"'
    )
    assert command_line("train_network", {"seed": 3}, program=("tanren",)) == "tanren train_network --seed=3"


def test_contents_are_named_as_the_files_of_an_export():
    options = {"dataset_config": {"datasets": []}, "sample_prompts": ["a cat"]}

    assert argv_of("train_network", options) == ["--dataset_config=dataset.toml", "--sample_prompts=prompts.txt"]


def test_a_list_that_no_command_line_can_hold_is_refused_with_another_way():
    with pytest.raises(UsageError, match="begins with a dash"):
        argv_of("train_network", {"network_args": ["a=1", "-b"]})
    assert argv_of("train_network", {"network_args": ["-b"]}) == ["--network_args=-b"]
