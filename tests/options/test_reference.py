"""The written reference and the frozen list of options."""

import ast
from pathlib import Path

import pytest
from tanren.commands import COMMANDS, GENERATORS
from tanren.errors import Problems
from tanren.options.parse import parse
from tanren.options.reference import frozen_list, help_text, reference_text
from tanren.options.spec import options_of

ROOT = Path(__file__).parents[2]
EVERY = {**COMMANDS, **GENERATORS}


def test_options_of_every_command_are_those_of_the_frozen_list():
    for name, command in EVERY.items():
        frozen = (ROOT / "tests" / "golden" / f"options-{name}.txt").read_text(encoding="utf-8")
        assert frozen_list(command.groups) == frozen, "if this is meant, run python tools/write_reference.py"


def test_written_reference_is_current():
    page = reference_text({name: (command.title, command.groups) for name, command in EVERY.items()})
    assert page == (ROOT / "docs" / "options.md").read_text(encoding="utf-8"), "run python tools/write_reference.py"


def test_a_second_command_lists_what_it_has_of_its_own_and_what_it_refuses():
    page = reference_text({name: (command.title, command.groups) for name, command in COMMANDS.items()})

    assert page.count("| `--seed` |") == page.count("| `--text_encoder_lr1` |") == 1
    assert "\n- `--v2` is an error: it is for Stable Diffusion 2, and this command trains SDXL.\n" in page
    assert "\n- `--clip_skip` has no effect: SDXL always takes the layer before the last.\n" in page


def test_help_names_every_option_and_its_default():
    groups = COMMANDS["train_network"].groups
    text = help_text("Train", groups, "train_network.py")

    assert all(f"--{option.name}" in text for group in groups for option in options_of(group))
    assert "Default: 1600." in text


def test_every_option_says_what_it_does_in_a_sentence():
    for command in EVERY.values():
        for group in command.groups:
            for option in options_of(group):
                assert option.text.help.endswith("."), option.name
                assert option.text.level in ("basic", "advanced", "expert"), option.name


def test_every_option_is_read_somewhere_or_says_that_it_has_no_effect():
    package = ROOT / "trainer" / "tanren"
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in package.rglob("*.py")]
    read = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    # Asking for the attention that is used anyway needs no reading; the misspelling is moved by its name.
    read |= {"sdpa", "caption_extention"}

    for command in EVERY.values():
        for group in command.groups:
            for option in options_of(group):
                is_metadata = bool(option.text.saved_as)
                assert option.name in read or is_metadata or option.text.no_effect, option.name


@pytest.mark.parametrize("name", ["cache_info"])
def test_settings_of_a_way_of_working_that_is_not_ours_are_accepted_with_a_line(name):
    problems = Problems()

    parse("train_network", COMMANDS["train_network"].groups, [f"--{name}"], problems)

    assert problems.errors == []
    assert len(problems.warnings) == 1
    assert problems.warnings[0].startswith(f"--{name} has no effect here. ")


def test_every_option_has_a_short_label_of_its_own():
    for command in COMMANDS.values():
        labels = [option.text.label for group in command.groups for option in options_of(group)]
        assert all(0 < len(label) <= 32 for label in labels)
        assert len(labels) == len(set(labels))
