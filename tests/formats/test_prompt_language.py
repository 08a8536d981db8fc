"""Options inside prompt lines."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tanren.errors import Problems
from tanren.formats.prompt_language import PromptLine, read_prompt_line

LINES = [
    ("a cat", PromptLine("a cat")),
    ("a cat --n blurry, bad", PromptLine("a cat", negative_prompt="blurry, bad")),
    ("a cat --n", PromptLine("a cat", negative_prompt="")),
    ("a cat --W 640 --H 512", PromptLine("a cat", width=640, height=512)),
    ("a cat --s 0", PromptLine("a cat", steps=1)),
    ("a cat --s 2000", PromptLine("a cat", steps=1000)),
    ("a cat --d 1,2, 3", PromptLine("a cat", seeds=(1, 2, 3))),
    ("a cat --l 7.5 --nl 2", PromptLine("a cat", scale=7.5, negative_scale=2.0)),
    ("a cat --nl none", PromptLine("a cat", without_negative_scale=True)),
    ("a cat --t 0.4", PromptLine("a cat", strength=0.4)),
    ("a cat --am 0.5,-1", PromptLine("a cat", multipliers=(0.5, -1.0))),
    (
        "a --ow 2048 --oh 1024 --nw 512 --nh 256 --ct 8 --cl 16",
        PromptLine(
            "a",
            original_width=2048,
            original_height=1024,
            original_width_negative=512,
            original_height_negative=256,
            crop_top=8,
            crop_left=16,
        ),
    ),
    ("a cat --c other words --f cat_1", PromptLine("a cat", clip_prompt="other words", file_name="cat_1")),
    ("w 640 cat", PromptLine("w 640 cat")),
    ("--n nothing else", PromptLine("--n nothing else")),
    ("well-known, 1--2 cats", PromptLine("well-known, 1--2 cats")),
    ("", PromptLine("")),
]
WRONG = [
    ("a --w big", "prompt 2: --w: 'big' is not a whole number."),
    ("a --h 0", "prompt 2: --h: 0 pixels: from 1 to 16384 are possible."),
    ("a --d -1", "prompt 2: --d: '-1' is not a whole number."),
    ("a --d 18446744073709551616", "prompt 2: --d: 18446744073709551616 is too large for a seed."),
    ("a --l nan", "prompt 2: --l: 'nan' is not a number."),
    ("a --t 1.5", "prompt 2: --t: 1.5 is not between 0 and 1."),
    ("a --am 1,x", "prompt 2: --am: 'x' is not a number."),
]
ODD = [
    ("a --dsd1 2", "prompt 2: --dsd1 belongs to Deep Shrink, which is not here; it has no effect."),
    ("a --glt 500", "prompt 2: --glt belongs to Gradual Latent, which is not here; it has no effect."),
    ("a --negative bad", "prompt 2: --negative is not known and has no effect."),
    ("a --", "prompt 2: -- is not known and has no effect."),
]


@pytest.mark.parametrize(("line", "asked"), LINES)
def test_a_line_is_read(line, asked):
    problems = Problems()
    assert read_prompt_line(line, "prompt 2", problems) == asked
    assert problems.errors == [] and problems.warnings == []


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_what_is_wrong_is_told_with_its_place(line, message):
    problems = Problems()
    read_prompt_line(line, "prompt 2", problems)
    assert [str(error) for error in problems.errors] == [message]


@pytest.mark.parametrize(("line", "warning"), ODD)
def test_what_belongs_elsewhere_is_left_out_with_a_line(line, warning):
    problems = Problems()
    assert read_prompt_line(line, "prompt 2", problems).prompt == "a"
    assert problems.warnings == [warning]


@settings(derandomize=True)
@given(st.text(alphabet="ab -.,0123456789wlntdscfam\n", max_size=60))
def test_any_line_is_read_without_a_fault(line):
    assert isinstance(read_prompt_line(line, "prompt", Problems()).prompt, str)
