"""The language of variants, by a table of cases and on random lines."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tanren.errors import UsageError
from tanren.formats.prompt_variants import expand

# (line, everything it can become)
DRAWN = [
    ("a cat", {"a cat"}),
    ("{x}", {"x"}),
    ("{A|B|C}", {"A", "B", "C"}),
    ("a {red|blue} cat", {"a red cat", "a blue cat"}),
    ("{A|B} {C|D}", {"A C", "A D", "B C", "B D"}),
    ("{2$$A|B|C}", {"A, B", "B, A", "A, C", "C, A", "B, C", "C, B"}),
    ("{2$$a,|b}", {"a, b", "b, a,"}),
    ("{1-2$$a,|b}", {"a,", "b", "a, b", "b, a,"}),
    ("{0-1$$smile,|blush,}", {"", "smile,", "blush,"}),
    ("{2$$ and $$A|B}", {"A and B", "B and A"}),
    ("{ |, dynamic pose}", {" ", ", dynamic pose"}),
    ("{2-1$$A|B}", {"A", "B", "A, B", "B, A"}),
    ("{5$$A|B}", {"A, B", "B, A"}),
    ("{0$$A|B}", {""}),
    ("{-1$$A|B}", {"", "A", "B"}),
    ("{1-$$A|B}", {"A", "B", "A, B", "B, A"}),
    ("{A||B}", {"A", "", "B"}),
    ("cat --n {bad|worse} --s {10|20}", {f"cat --n {a} --s {b}" for a in ("bad", "worse") for b in (10, 20)}),
    ("a } b { c", {"a } b { c"}),
    ("{}", {"{}"}),
    ("{2$$}", {"2$$"}),
    ("{赤い|青い}猫", {"赤い猫", "青い猫"}),
    ("{a {red|blue} cat|a dog}", {"a red cat", "a blue cat", "a dog"}),
    ("{2$$A|{B|C}}", {"A, B", "B, A", "A, C", "C, A"}),
    ("{A|{B|{C|D}}} {E}", {"A E", "B E", "C E", "D E"}),
    ("{{x}}", {"x"}),
    ("{A|{e$$B|C}}", {"A", "B", "C"}),
    ("{a {b|c}", {"{a b", "{a c"}),
    ("{a|b} c}", {"a c}", "b c}"}),
    (r"\{a|b\} {\}|\{}", {"{a|b} }", "{a|b} {"}),
]
# (line, all it stands for, in order)
ENUMERATED = [
    ("{e$$A|B}", ["A", "B"]),
    ("{E$$A|B}", ["A", "B"]),
    ("{e$$A|B} {e$$C|D}", ["A C", "A D", "B C", "B D"]),
    ("{e$$1-2$$A|B|C}", ["A", "B", "C", "A, B", "A, C", "B, C"]),
    ("{e$$0-1$$A|B}", ["", "A", "B"]),
    ("{e$$2$$ and $$A|B|C}", ["A and B", "A and C", "B and C"]),
    ("{e$$a,|b,} c", ["a, c", "b, c"]),
    ("{e$$A|{e$$B|C}}", ["A", "B", "C"]),
    ("{e$$A {e$$1|2}|B} {e$$x|y}", ["A 1 x", "A 1 y", "A 2 x", "A 2 y", "B x", "B y"]),
    ("{e$$2$$A|{e$$B|C}|D}", ["A, B", "A, C", "A, D", "B, D", "C, D"]),
]


@pytest.mark.parametrize(("line", "outcomes"), DRAWN)
def test_a_line_becomes_everything_that_it_can_and_nothing_else(line, outcomes):
    assert set(expand(line, 400, random.Random(1))) == outcomes


@pytest.mark.parametrize(("line", "prompts"), ENUMERATED)
def test_enumeration_makes_every_combination_once_the_left_group_changing_slowest(line, prompts):
    assert expand(line, 5, random.Random(1)) == prompts


def test_a_random_group_beside_an_enumerated_one_is_drawn_for_each_combination():
    prompts = expand("{e$$1|2|3|4|5|6|7|8} {a|b}", 1, random.Random(3))

    assert [prompt[0] for prompt in prompts] == list("12345678")
    assert {prompt[-1] for prompt in prompts} == {"a", "b"}


def test_a_random_group_inside_an_enumerated_one_is_drawn_where_it_is_chosen():
    prompts = expand("{e$$A {x|y}|B}", 1, random.Random(1))

    assert prompts[0] in ("A x", "A y") and prompts[1:] == ["B"]


@pytest.mark.parametrize("depth", [1, 49, 50, 3000])
def test_braces_in_braces_have_an_end(depth):
    (prompt,) = expand("{" * depth + "x" + "}" * depth, 1, random.Random(1))

    assert prompt == "{" * max(0, depth - 50) + "x" + "}" * max(0, depth - 50)


def test_the_same_seed_draws_the_same_variants():
    line = "{a|b|c} {2$$d|e|f}"
    assert expand(line, 20, random.Random(5)) == expand(line, 20, random.Random(5))
    assert expand(line, 20, random.Random(5)) != expand(line, 20, random.Random(6))


def test_more_combinations_than_anybody_draws_are_refused_before_they_are_made():
    with pytest.raises(UsageError) as problem:
        expand(" ".join(["{e$$1-5$$a|b|c|d|e|f|g|h|i|j}"] * 4), 1, random.Random(1), where="prompt 3")

    assert str(problem.value) == (
        "prompt 3: The e$$ groups of this line have 164648481361 combinations; 100000 is the most.\n"
        "  Draw some of them at random: leave out e$$."
    )


@settings(derandomize=True)
@given(st.text(alphabet="{}|$e-12 a,\\", max_size=40))
def test_any_line_expands_without_a_fault(line):
    try:
        prompts = expand(line, 2, random.Random(1))
    except UsageError:
        return
    assert all(isinstance(prompt, str) for prompt in prompts)
