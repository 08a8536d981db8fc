"""Write docs/options.md, docs/option-tests.md and the frozen lists of options again, from declarations and tests."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "trainer"), str(ROOT / "tests"), str(ROOT / "tools")]

import option_tests  # noqa: E402 - the package lies in trainer/
from effect_marks import effect_tests  # noqa: E402
from tanren.commands import COMMANDS, GENERATORS  # noqa: E402
from tanren.options.reference import frozen_list, reference_text  # noqa: E402


def main() -> None:
    """Write all of them."""
    commands = {**COMMANDS, **GENERATORS}
    page = reference_text({name: (command.title, command.groups) for name, command in commands.items()})
    (ROOT / "docs" / "options.md").write_text(page, encoding="utf-8")
    table = option_tests.page(COMMANDS, GENERATORS, effect_tests())
    (ROOT / "docs" / "option-tests.md").write_text(table, encoding="utf-8")
    for name, command in commands.items():
        target = ROOT / "tests" / "golden" / f"options-{name}.txt"
        target.write_text(frozen_list(command.groups), encoding="utf-8")


if __name__ == "__main__":
    main()
