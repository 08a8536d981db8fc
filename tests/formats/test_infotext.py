"""The text that AUTOMATIC1111 and Forge keep in pictures."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tanren.formats.infotext import InfoText, read_infotext, write_infotext

FACTS = "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 5, Size: 512x768, Model: x"


def test_what_is_written_is_what_the_webui_writes():
    text = write_infotext("a cat", "blurry", {"Steps": 20, "Sampler": "Euler a", "Lora hashes": "a: 1, b: 2"})
    assert text == 'a cat\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, Lora hashes: "a: 1, b: 2"'


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"a cat\nNegative prompt: bad\n{FACTS}", ("a cat", "bad", "20")),
        (f"a cat,\nsitting\nNegative prompt: bad,\nworse\n{FACTS}", ("a cat,\nsitting", "bad,\nworse", "20")),
        (f"a cat\n{FACTS}", ("a cat", "", "20")),
        (FACTS, ("", "", "20")),
        ("a cat", ("a cat", "", None)),
        ("Note: one, two", ("Note: one, two", "", None)),
        ("", ("", "", None)),
    ],
)
def test_texts_of_the_webui_are_read(text, read):
    found = read_infotext(text)
    assert (found.prompt, found.negative_prompt, found.facts.get("Steps")) == read


def test_quoted_facts_come_back():
    facts = {"Steps": "1", "Note": 'say "hi", twice: \\', "Seed": "3"}
    assert read_infotext(write_infotext("p", "n", facts)) == InfoText("p", "n", facts)


@settings(derandomize=True)
@given(st.text(max_size=200))
def test_any_text_is_read_without_a_fault(text):
    assert isinstance(read_infotext(text).prompt, str)
