"""The written reference and the frozen list of options."""

from pathlib import Path

from tanren.commands import COMMANDS
from tanren.options.reference import frozen_list, help_text, reference_text
from tanren.options.spec import options_of

ROOT = Path(__file__).parents[2]


def test_options_of_every_command_are_those_of_the_frozen_list():
    for name, command in COMMANDS.items():
        frozen = (ROOT / "tests" / "golden" / f"options-{name}.txt").read_text(encoding="utf-8")
        assert frozen_list(command.groups) == frozen, "if this is meant, run python tools/write_reference.py"


def test_written_reference_is_current():
    page = reference_text({name: (command.title, command.groups) for name, command in COMMANDS.items()})
    assert page == (ROOT / "docs" / "options.md").read_text(encoding="utf-8"), "run python tools/write_reference.py"


def test_help_names_every_option_and_its_default():
    groups = COMMANDS["train_network"].groups
    text = help_text("Train", groups, "train_network.py")

    assert all(f"--{option.name}" in text for group in groups for option in options_of(group))
    assert "Default: 1600." in text


def test_every_option_says_what_it_does_in_a_sentence():
    for command in COMMANDS.values():
        for group in command.groups:
            for option in options_of(group):
                assert option.text.help.endswith("."), option.name
                assert option.text.level in ("basic", "advanced", "expert"), option.name
