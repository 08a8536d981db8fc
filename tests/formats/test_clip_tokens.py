"""Token counts without transformers are those of the tokenizer that training uses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tanren.formats.clip_tokens import count_tokens, normalized, word_tokens, words
from tanren.models.clip_tokenizer import clip_tokenizer

TOKENIZER = clip_tokenizer()
CAPTIONS = (
    "",
    "   ",
    "a photo of a cat",
    "1girl, solo, long_hair, blue eyes, (masterpiece:1.2), <lora:x:1>",
    "sks's dog isn't here; we'll've 12345 apples",
    "赤い円と青い四角、背景は白",
    "猫娘，长发，蓝眼睛",
    "Straße ÉCLAIR İstanbul ΟΔΟΣ ﬁ Ⅷ ² ½ ٣",
    "🙂👩‍👩‍👧 emoji\u3000wide\x1cspace\u200bzero",
    "<|endoftext|> x<|ENDOFTEXT|>!! '<|startoftext|>",
    "'''s ''t 'RE 'S",
    "e\u0301 é ｶﾞ ガ",
    "\ud83d lone",
)


@pytest.mark.parametrize("text", CAPTIONS)
def test_captions_count_as_in_training(text):
    if "\ud83d" in text:
        assert count_tokens(text) > 0
    else:
        assert count_tokens(text) == len(TOKENIZER(text, add_special_tokens=False).input_ids)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text(st.characters(exclude_categories=["Cs", "Cn"], max_codepoint=0x2FFFF), max_size=40))
def test_any_text_counts_as_in_training(text):
    assert count_tokens(text) == len(TOKENIZER(text, add_special_tokens=False).input_ids)


def test_a_word_is_merged_from_its_letters():
    assert word_tokens("cats") == ("cats</w>",)
    assert word_tokens("sks") == ("sks</w>",)
    assert list(words(normalized("It's 12\n red_cat!"))) == ["it", "'s", "1", "2", "red", "_", "cat", "!"]
