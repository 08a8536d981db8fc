"""Prompt files of LECO: both notations, every field, the pairs of sliders, and the message of each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from tanren.errors import UserError
from tanren.formats.leco_prompts import PromptPair, pair_fields, read_leco_prompts
from tanren.paths import PathPolicy

ERASE_A_STYLE = """
[[prompts]]
target = "van gogh"
positive = "van gogh style"
unconditional = "a painting"
neutral = "a plain painting"
action = "erase"
guidance_scale = 1.5
resolution = [768, 512]
dynamic_resolution = true
batch_size = 2
dynamic_crops = true
multiplier = 0.8
weight = 2
"""


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "プロンプト.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


def short(pairs: tuple[PromptPair, ...]) -> list[tuple[str, str, str, float]]:
    return [(pair.positive, pair.unconditional, pair.action, pair.multiplier) for pair in pairs]


def test_every_field_of_a_pair_is_read(file):
    (pair,) = read_leco_prompts(file(ERASE_A_STYLE)).pairs
    assert pair_fields(pair) == {
        "target": "van gogh",
        "positive": "van gogh style",
        "unconditional": "a painting",
        "neutral": "a plain painting",
        "action": "erase",
        "guidance_scale": 1.5,
        "resolution_hw": (768, 512),
        "batch_size": 2,
        "dynamic_resolution": True,
        "dynamic_crops": True,
        "multiplier": 0.8,
        "weight": 2.0,
    }
    assert pair.where.endswith("プロンプト.toml:2 prompts[0]")


def test_a_target_alone_is_erased_seen_from_the_empty_prompt(file):
    prompts = read_leco_prompts(file('[[prompts]]\ntarget = "circle"\n'))
    (pair,) = prompts.pairs
    assert (pair.positive, pair.unconditional, pair.neutral, pair.action) == ("circle", "", "", "erase")
    assert (pair.guidance_scale, pair.resolution_hw, pair.batch_size) == (1.0, (512, 512), 1)
    assert (pair.multiplier, pair.weight, pair.dynamic_resolution, pair.dynamic_crops) == (1.0, 1.0, False, False)
    assert not prompts.has_sliders


def test_neutral_is_the_unconditional_prompt_unless_it_is_given(file):
    text = (
        '[[prompts]]\ntarget = "a"\nunconditional = "u"\n[[prompts]]\ntarget = "a"\nunconditional = "u"\nneutral = ""'
    )
    assert [pair.neutral for pair in read_leco_prompts(file(text)).pairs] == ["u", ""]


def test_keys_outside_of_the_entries_are_defaults(file):
    text = 'guidance_scale = 3\nresolution = 768\naction = "enhance"\n[[prompts]]\ntarget = "a"\n'
    text += '[[prompts]]\ntarget = "b"\nguidance_scale = 1\n'
    pairs = read_leco_prompts(file(text)).pairs
    assert [(pair.guidance_scale, pair.resolution_hw, pair.action) for pair in pairs] == [
        (3.0, (768, 768), "enhance"),
        (1.0, (768, 768), "enhance"),
    ]


def test_a_slider_with_both_ends_has_four_pairs(file):
    text = '[[targets]]\ntarget_class = "person"\npositive = "old"\nnegative = "young"\nmultiplier = 0.5\n'
    prompts = read_leco_prompts(file(text))
    assert short(prompts.pairs) == [
        ("young", "old", "erase", 0.5),
        ("old", "young", "enhance", 0.5),
        ("old", "young", "erase", -0.5),
        ("young", "old", "enhance", -0.5),
    ]
    assert {pair.target for pair in prompts.pairs} == {"person"}
    assert prompts.has_sliders
    assert prompts.texts == ("person", "young", "old", "")


@pytest.mark.parametrize(
    ("end", "pairs"),
    [
        ("negative", [("x", "", "erase", 1.0), ("x", "", "enhance", -1.0)]),
        ("positive", [("x", "", "enhance", 1.0), ("x", "", "erase", -1.0)]),
    ],
)
def test_a_slider_with_one_end_has_two_pairs(file, end, pairs):
    assert short(read_leco_prompts(file(f'[[targets]]\ntarget_class = ""\n{end} = "x"\n')).pairs) == pairs


def test_a_slider_is_multiplied_by_neutrals_and_resolutions(file):
    file("b\n\n  c  \n", "more.txt")
    text = """
[slider]
neutrals = ["a"]
neutral_prompt_file = "more.txt"
resolutions = [[512, 768], [640, 640]]
[[slider.targets]]
target_class = "person"
positive = "old"
[[slider.targets]]
target_class = "dog"
positive = "old"
neutral = "own"
resolution = 256
"""
    pairs = read_leco_prompts(file(text)).pairs
    first = [(pair.neutral, pair.resolution_hw) for pair in pairs if pair.target == "person"]
    assert first == [(n, size) for n in "abc" for size in ((512, 768), (640, 640)) for _ in range(2)]
    assert {(pair.neutral, pair.resolution_hw) for pair in pairs if pair.target == "dog"} == {("own", (256, 256))}


def test_two_numbers_are_one_resolution_height_first(file):
    (pair,) = read_leco_prompts(file('[[prompts]]\ntarget = "a"\nresolution = [512, 768]\n')).pairs
    assert pair.resolution_hw == (512, 768)


@pytest.mark.parametrize(
    "text",
    [
        'target_class = "cat"\npositive = "big"\n',
        '[slider]\ntarget_class = "cat"\npositive = "big"\n',
        '[[prompts]]\ntarget_class = "cat"\npositive = "big"\n',
    ],
)
def test_a_single_slider_may_stand_anywhere(file, text):
    assert short(read_leco_prompts(file(text)).pairs) == [("big", "", "enhance", 1.0), ("big", "", "erase", -1.0)]


def test_what_a_slider_does_not_know_is_noted(file):
    prompts = read_leco_prompts(
        file('[[targets]]\ntarget_class = "a"\npositive = "b"\npositiv = "c"\nshuffle = true\n')
    )
    assert len(prompts.notes) == 2
    assert "positiv means nothing here; did you mean positive?" in prompts.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The file holds no prompts."),
        ("prompts = []", "The file holds no prompts."),
        ("[[prompts]]\n", "prompts[0].target: target is missing."),
        ("[[prompts]]\ntarget = 5\n", "prompts[0].target: target 5 is not a text."),
        ('[[prompts]]\ntarget = "a"\naction = "remove"\n', "prompts[0].action: action 'remove' is neither erase nor"),
        ('[[prompts]]\ntarget = "a"\nposative = "b"\n', "prompts[0].posative: posative is not a field of prompts."),
        ('[[prompts]]\ntarget = "a"\nguidance_scale = "x"\n', "guidance_scale 'x' is not a number."),
        ('[[prompts]]\ntarget = "a"\nbatch_size = 0\n', "batch_size 0 is not a whole number from 1 to 1024."),
        ('[[prompts]]\ntarget = "a"\ndynamic_crops = 1\n', "dynamic_crops 1 is neither true nor false."),
        ('[[prompts]]\ntarget = "a"\nresolution = 100\n', "resolution 100 is neither a number nor [HEIGHT, WIDTH]."),
        ('[[prompts]]\ntarget = "a"\nresolution = [512, 512, 3]\n', "is neither a number nor [HEIGHT, WIDTH]."),
        ('[prompts]\ntarget = "a"\n', "prompts: This is not a list of tables."),
        ('[[targets]]\npositive = "b"\n', "targets[0].target_class: target_class is missing."),
        ('[[targets]]\ntarget_class = "a"\npositive = " "\n', "positive and negative are both empty."),
        ('[[targets]]\ntarget_class = "a"\npositive = "b"\nneutrals = "c"\n', "neutrals is not a list of texts."),
        ('[[targets]]\ntarget_class = "a"\npositive = "b"\nprompt_file = "no.txt"\n', "There is no such file."),
        ("slider = 3", "slider: This is not a table."),
    ],
)
def test_a_mistake_is_named_with_its_entry_and_field(file, text, message):
    with pytest.raises(UserError) as caught:
        read_leco_prompts(file(text))
    assert message in str(caught.value)


def test_all_mistakes_come_at_once(file):
    with pytest.raises(UserError) as caught:
        read_leco_prompts(file('[[prompts]]\naction = "x"\n[[prompts]]\ntarget = "a"\nweight = "b"\n'))
    assert "2 problems were found." in str(caught.value)


def test_files_of_neutral_prompts_stay_inside_of_the_allowed_folders(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.txt").write_text("hidden\n", "utf-8")
    prompts = inside / "prompts.toml"
    text = 'target_class = "x"\npositive = "y"\nneutral_prompt_file = "../outside/secret.txt"\n'
    prompts.write_text(text, "utf-8")

    assert read_leco_prompts(prompts).pairs[0].neutral == "hidden"
    with pytest.raises(UserError, match="outside"):
        read_leco_prompts(prompts, PathPolicy((inside,)))
