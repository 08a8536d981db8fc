"""The translations: complete, true to their templates, and harmless to the texts of the WebUI around us."""

from __future__ import annotations

import json
import os
import re
import subprocess
import unicodedata
from pathlib import Path
from string import Formatter

import pytest
from gradio_pythons import LINES, python_of
from tanren.commands import COMMANDS
from tanren.library import facts
from tanren.ui import cards, help_card, lora_told, presets, settings, trained_parts
from tanren.ui.data_told import FLAG_LABELS
from tanren.ui.data_tools import all_groups
from tanren.ui.fields import fields
from tanren.ui.simple_view import OWN
from ui import page_texts

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "localizations"
PROBE = Path(__file__).with_name("texts_probe.py")
LANGUAGES = ("ja_JP", "zh_CN")
NAMES = re.compile(r"\{[a-z_]+\}")
HOST_TEXTS = frozenset((Path(__file__).with_name("host_texts.txt")).read_text("utf-8").splitlines())
# Values that kohya's options take: they are typed and read as they are, in every language.
AS_TYPED = frozenset(
    str(value) for command in COMMANDS for field in fields(command) for value in (*field.choices, *field.suggestions)
)
# Words that mean the same wherever a page shows them, so that it does no harm when the WebUI reads them too.
SUIT_EVERYWHERE = {
    *("draft", "queued", "starting", "running", "stopping", "completed", "stopped", "failed", "interrupted"),
    *("chart", "changed", "smoothed", "seconds", "memory", "setting", "epochs", "steps", "stop", "skip"),
    *("Copied", "Drafts", "Learned", "Preparing", "Prompt:", "Smoothing", "U-Net", "Unknown.", "Validating", "Where:"),
    *("USER/NAME", "WIDTH,HEIGHT", "LOW,HIGH"),
    *("Why:", "Author.", "Description.", "Licence.", "Preprocessor.", "Tracker."),
}
# Put together from parts that each stand elsewhere in the sources.
ASSEMBLED = {
    *("Give a file.", "Give a folder.", "{text} is a file.", "{text} is a folder.", "{name} is an SDXL model."),
    "a smaller --resolution (now {size})",
    "{value} is out of range: it must be at most {high}.",
    "{value} is out of range: it must be between {low} and {high}.",
    "{folder}: 1 picture is animated; its first frame is used: {names}.",
    "{folder}: 1 picture is smaller than its bucket and is enlarged: {names}.",
    "{folder}: 1 picture has an alpha channel; transparent parts become white: {names}.",
    "{folder}: 1 picture has a caption of several lines, of which only the first counts: {names}.",
    "{folder}: {count} pictures are animated; their first frame is used: {names}.",
    "{folder}: {count} pictures are smaller than their bucket and are enlarged: {names}.",
    "{folder}: {count} pictures have an alpha channel; transparent parts become white: {names}.",
    "{folder}: {count} pictures have captions of several lines, of which only the first counts: {names}.",
}
# What is wrong with pairs of pictures and control pictures.
ASSEMBLED |= {
    f"{{count}} control {one} another {kind} than the picture: {{names}}."
    for one in ("picture has", "pictures have")
    for kind in ("size", "shape")
}
ASSEMBLED |= {f"Give each the {kind} of its picture, so that both are cropped alike." for kind in ("size", "shape")}
ASSEMBLED |= {
    *("The folder of pictures was not named.", "The folder of control pictures was not named."),
    "Add the control pictures, or move the pictures to another subset.",
    "{folder}: the control pictures are the pictures themselves.",
    "{folder}: the masks are the pictures themselves.",
    "{count} picture has no control picture of the same name: {names}.",
    "{count} pictures have no control picture of the same name: {names}.",
    "{count} control picture has no picture of the same name: {names}.",
    "{count} control pictures have no picture of the same name: {names}.",
}
# Short words of the page of LoRA files, each under a longer text, which is no label of the WebUI.
ASSEMBLED |= {f"fact {key}" for key in facts.TITLES} | {f"facts {group}" for group in (*facts.GROUPS, facts.REST)}
ASSEMBLED |= {f"field {name}" for name in lora_told.HOST_TITLES}
ASSEMBLED |= {f"kind {name}" for name in ("family", "type", "trainer", "naming", "layers")}
ASSEMBLED |= {"The captions: only how often each tag occurs.", "The captions: not even which tags there were."}
ASSEMBLED |= {"value yes", "value no", "The value is not a JSON list.", "The value is not a JSON object."}
ASSEMBLED |= {"{name} is unreadable: it is not a list."}


def table(language: str) -> dict[str, str]:
    return json.loads((FOLDER / f"{language}.json").read_text("utf-8"))


JAPANESE, CHINESE = (table(language) for language in LANGUAGES)


def untranslated(texts: set[str]) -> list[str]:
    """Those that are in one of the files only, or in none."""
    return sorted(text for text in texts if not (text in JAPANESE and text in CHINESE) and not needs_none(text))


def needs_none(text: str) -> bool:
    """Values as they are typed, endings of files, numbers, and templates of names and signs only."""
    is_sign = not re.search(r"[A-Za-z]", NAMES.sub("", text))
    return text in AS_TYPED or is_sign or re.fullmatch(r"[\d.]+e-\d+", text) is not None


@pytest.fixture(scope="module", params=LINES)
def page(request, tmp_path_factory):
    """The texts of the built page in one gradio line, in English and in Japanese."""
    data = tmp_path_factory.mktemp("page") / "data"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "trainer"), "PYTHONUTF8": "1"}
    command = [python_of(request.param), str(PROBE), str(data)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return {**json.loads(run.stdout.splitlines()[-1]), "line": request.param}


def test_every_text_of_the_page_is_translated(page):
    assert len(page["en"]) > 400
    assert untranslated(set(page["en"])) == []


def test_standalone_page_shows_the_translations(page):
    if page["line"] == 3:
        pytest.skip("only WebUIs have this line, and they translate the page themselves")
    english = {text for text in page["en"] if text in JAPANESE and JAPANESE[text] != text}

    assert sorted(english & set(page["ja_JP"])) == []


def test_every_label_help_and_heading_of_every_command_is_translated():
    texts = {
        text
        for command in COMMANDS
        for field in (*OWN, *fields(command))
        for text in (field.label, field.help, field.group if field not in OWN else "", field.no_effect)
    }

    assert untranslated(texts - {""}) == []


def test_every_text_of_the_page_script_is_translated():
    assert len(page_texts.script_texts()) > 200
    assert untranslated(page_texts.script_texts()) == []


def test_every_sentence_of_the_page_is_translated():
    assert len(page_texts.sentences()) > 90
    assert untranslated(page_texts.sentences()) == []


def test_texts_that_stand_in_tables_are_translated(tmp_path):
    kept = [preset for command in COMMANDS for preset in presets.presets(tmp_path, command)]
    texts = {getattr(preset, name) for preset in kept for name in presets.TEXTS}
    texts |= {text for setting in settings.SETTINGS for text in (setting.label, setting.info)}
    texts |= {text for step in help_card.STEPS for text in step} | {part for _, part in trained_parts.PARTS}
    texts |= {label for pair in FLAG_LABELS.values() for label in pair} | tool_texts()
    texts |= set(cards.LEVELS.values()) | {command.title for command in COMMANDS.values()}

    assert len(kept) >= 5
    assert untranslated(texts - {""}) == []


def tool_texts() -> set[str]:
    """What the tools for pictures and captions ask and say."""
    groups = all_groups()
    tools = [tool for group in groups for tool in group.tools]
    asked = [field for tool in tools for field in tool.fields]
    texts = {group.title for group in groups} | {text for tool in tools for text in (tool.title, tool.about, tool.go)}
    return texts | {
        # Names of models and samplers are their own labels.
        text
        for field in asked
        for text in (field.label, field.help, *(label for key, label in field.choices if label != key))
    }


def test_both_languages_have_the_same_texts():
    assert sorted(JAPANESE) == sorted(CHINESE)


def test_no_translation_is_left_over():
    known = page_texts.all_texts() | page_texts.all_script_texts() | preset_texts() | headings()
    everything = "\n".join(known)

    left = (text for text in JAPANESE if not known & {text, page_texts.skeleton(text)} and text not in ASSEMBLED)
    assert sorted(text for text in left if not all(part in everything for part in fixed_parts(text))) == []


def fixed_parts(template: str) -> list[str]:
    """What stands between the names and commas of a template; a text without names as a whole."""
    if not NAMES.search(template):
        return [template]
    parts = re.split(rf"{NAMES.pattern}|[,:;]", template)
    return [part.strip(" .(){}[]") for part in parts if re.search("[a-z]", part)]


def headings() -> set[str]:
    """Headings of groups, which are the first lines of their classes' docstrings."""
    return {field.group for command in COMMANDS for field in fields(command)}


def preset_texts() -> set[str]:
    """What stands in quotes in the presets that come along."""
    files = sorted((page_texts.PACKAGE / "assets" / "presets").glob("*.toml"))
    return {text for path in files for text in re.findall(r'= "(.*)"$', path.read_text("utf-8"), re.MULTILINE)}


def test_no_text_of_ours_renames_one_of_the_webui():
    assert len(HOST_TEXTS) > 1000
    assert sorted(HOST_TEXTS & set(JAPANESE)) == []


def test_single_words_are_rare_and_suit_everywhere():
    single = {text for text in JAPANESE if " " not in text and not NAMES.search(text)}

    assert sorted(single - SUIT_EVERYWHERE) == []


def test_list_of_the_webuis_texts_is_sorted():
    lines = (Path(__file__).with_name("host_texts.txt")).read_text("utf-8").splitlines()

    assert lines == sorted(set(lines))


@pytest.mark.parametrize("language", LANGUAGES)
def test_file_is_written_the_same_way_every_time(language):
    content = (FOLDER / f"{language}.json").read_bytes()
    written = json.dumps(table(language), ensure_ascii=False, indent=2, sort_keys=True) + "\n"

    assert content == written.encode()


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_keep_the_names_and_flags_of_the_english(language):
    for english, translation in table(language).items():
        if NAMES.search(english):
            assert sorted(names(english)) == sorted(names(translation)), english
        assert set(re.findall(r"--\w{3,}", english)) <= set(re.findall(r"--\w{3,}", translation)), english
        assert translation.strip() == translation != "", english


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_have_no_emoji_and_no_odd_characters(language):
    for text in (part for pair in table(language).items() for part in pair):
        odd = [sign for sign in text if unicodedata.category(sign) in ("Cc", "Cf", "Co", "Cs", "So", "Cn")]
        assert odd == [], text


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_end_alike(language):
    """A full stop in one language only is a slip; labels have none in either."""
    for english, translation in table(language).items():
        if english.endswith(".") and not english.endswith(("x.", "e.g.")) and "{" not in english[-12:]:
            assert translation.endswith(("。", "！", "？", "…")) or not re.search(r"[。]", translation[-1:]), english
        if not english.endswith((".", "!", "?")):
            assert not translation.endswith("。"), english


def names(template: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(template) if name is not None]
