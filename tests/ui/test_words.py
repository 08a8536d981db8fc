"""Sentences in the user's language."""

import json
import re
from pathlib import Path
from string import Formatter

import pytest
from tanren.ui.words import Text, Words, counted, language_of, text

FOLDER = Path(__file__).parents[2] / "localizations"
JAPANESE = Words("ja_JP")


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("ja_JP", "ja_JP"),
        ("ja-JP", "ja_JP"),
        ("ja", "ja_JP"),
        ("ja,en-US;q=0.9,en;q=0.8", "ja_JP"),
        ("fr,ja;q=0.8", "ja_JP"),
        ("zh_CN", "zh_CN"),
        ("zh-Hans (Stable)", "zh_CN"),
        ("zh", "zh_CN"),
        ("zh_TW", "en"),
        ("zh-Hant-HK", "en"),
        ("en-GB,ja", "en"),
        ("None", "en"),
        ("", "en"),
        ("de", "en"),
    ],
)
def test_names_of_languages(name, language):
    assert language_of(name) == language


def test_english_fills_in_values_and_leaves_their_braces_alone():
    assert Words("en")("{name} is new", name="{x}") == "{x} is new"
    assert Words("en")("{} and {a|b}") == "{} and {a|b}"


def test_values_that_are_texts_are_translated_too():
    plan = text("{left} = {right}", left=counted(1, "{count} picture", "{count} pictures"), right=2)

    assert str(plan) == "1 picture = 2"
    assert JAPANESE(plan) == "画像 1 枚 = 2"


def test_what_has_no_translation_stays_english():
    assert JAPANESE("Nobody wrote this {n}", n=3) == "Nobody wrote this 3"
    assert JAPANESE.finished("Nobody wrote this 3") == "Nobody wrote this 3"


def test_finished_sentence_is_recognised_by_its_fixed_parts():
    assert JAPANESE.finished("'/data/猫' is not there.") == "'/data/猫' が見つかりません。"
    assert JAPANESE.finished("12 is not above 3") == "12 is not above 3"
    assert Words("en").finished("'/a' is not there.") == "'/a' is not there."


def test_reasons_inside_of_a_finished_sentence_are_translated_too():
    sentence = "It cannot go together with --full_bf16: weights have one precision."

    assert JAPANESE.finished(sentence) == "--full_bf16 とは併用できません：重みの精度は 1 つだけです。"


def test_finished_sentence_of_any_length_is_looked_at_quickly():
    assert JAPANESE.finished("is not there" * 100_000) == "is not there" * 100_000


def test_text_is_a_value():
    assert Text("a", {}) == text("a")


@pytest.mark.parametrize("language", ["ja_JP", "zh_CN"])
def test_translations_have_the_same_names_as_the_english(language):
    table = json.loads((FOLDER / f"{language}.json").read_text("utf-8"))

    for english, translation in table.items():
        if re.search(r"\{[a-z_]+\}", english):
            assert names(english) == names(translation), english
        assert translation.strip(), english


@pytest.mark.parametrize("language", ["ja_JP", "zh_CN"])
def test_page_script_gets_the_whole_table(language):
    table = Words(language).table()

    assert table == json.loads((FOLDER / f"{language}.json").read_text("utf-8"))
    assert Words("en").table() == {}


def names(template):
    return {name for _, name, form, conversion in Formatter().parse(template) if name is not None}
