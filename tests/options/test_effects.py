"""Every option has a test that shows what it does, and the page that says which."""

from __future__ import annotations

from pathlib import Path

import pytest
from effect_marks import TESTS, UnreadableMarkError, effect_tests
from option_tests import page, users
from tanren.commands import COMMANDS, GENERATORS
from tanren.options.spec import options_of

OPTIONS = {
    option.name: option for command in COMMANDS.values() for group in command.groups for option in options_of(group)
}
DRAWING_OPTIONS = {option.name for group in GENERATORS["gen_img"].groups for option in options_of(group)}
MARKS = effect_tests()


def test_every_option_has_a_test_of_its_effect():
    assert sorted(OPTIONS.keys() - {mark.option for mark in MARKS}) == []


def test_every_option_of_the_commands_that_draw_has_a_test_of_its_own():
    shown = {mark.option for mark in MARKS if mark.file.startswith("generation/")}
    of_every_command = {"console_log_level", "console_log_file", "console_log_simple"}
    assert sorted(DRAWING_OPTIONS - shown - of_every_command) == []


def test_marks_name_options_that_exist():
    known = OPTIONS.keys() | DRAWING_OPTIONS
    assert [f"{mark.file}:{mark.line}: {mark.option}" for mark in MARKS if mark.option not in known] == []


def test_the_page_of_options_and_their_tests_is_current():
    written = (TESTS.parent / "docs" / "option-tests.md").read_text("utf-8")
    assert page(COMMANDS, GENERATORS, MARKS) == written, "run python tools/write_reference.py"


def test_the_page_names_the_commands_that_use_an_option():
    assert list(users(OPTIONS["seed"], COMMANDS)) == list(COMMANDS)
    assert {"train_network", "sdxl_train_network"} & set(users(OPTIONS["v2"], COMMANDS)) == {"train_network"}
    assert list(users(OPTIONS["text_encoder_lr1"], COMMANDS)) == ["sdxl_train_network"]


def read(folder: Path, text: str, name: str = "test_x.py") -> list[tuple[str, str]]:
    (folder / name).write_text("import pytest\n" + text, "utf-8")
    return [(mark.option, mark.test) for mark in effect_tests(folder)]


def test_marks_are_read_from_tests_classes_and_modules(tmp_path):
    text = """
pytestmark = [pytest.mark.option("seed")]

@pytest.mark.option("vae", "v2")
def test_a(): ...

@pytest.mark.option("resume")
class TestB:
    def test_c(self): ...
"""
    assert read(tmp_path, text) == [
        ("seed", "test_a"),
        ("vae", "test_a"),
        ("v2", "test_a"),
        ("seed", "TestB::test_c"),
        ("resume", "TestB::test_c"),
    ]


def test_marks_are_read_from_rows_and_tables(tmp_path):
    text = """
ROWS = [pytest.param(1, marks=pytest.mark.option("vae"))]
TABLE = {"seed": 1, "resume": 2}
PAIRS = (("v2", 1), ("lowram", 2))

@pytest.mark.parametrize("row", ROWS)
def test_a(row): ...

@pytest.mark.parametrize("row", [pytest.param(1, marks=[pytest.mark.option("unet_lr")])])
def test_b(row): ...

@pytest.mark.option(*TABLE, *PAIRS)
def test_c(): ...
"""
    assert read(tmp_path, text) == [
        ("vae", "test_a"),
        ("unet_lr", "test_b"),
        ("seed", "test_c"),
        ("resume", "test_c"),
        ("v2", "test_c"),
        ("lowram", "test_c"),
    ]


def test_a_test_that_is_skipped_shows_nothing(tmp_path):
    text = '@pytest.mark.skip\n@pytest.mark.option("seed")\ndef test_a(): ...\n'
    assert read(tmp_path, text) == []


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("test_x.py", '@pytest.mark.option("seed")\ndef helper(): ...', "test_x.py:2: the mark stands on nothing"),
        ("test_x.py", "@pytest.mark.option(NAME)\ndef test_a(): ...", "test_x.py:2: names must be written out"),
        ("other.py", '@pytest.mark.option("seed")\ndef test_a(): ...', "other.py: marks stand in files of tests only"),
    ],
)
def test_a_mark_that_shows_nothing_is_told(tmp_path, name, text, what):
    with pytest.raises(UnreadableMarkError, match=what):
        read(tmp_path, text, name)
