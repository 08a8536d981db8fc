"""Write docs/options.md and the frozen list of options again, from the declarations."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "trainer"))

from tanren.commands import COMMANDS  # noqa: E402 - the package lies in trainer/
from tanren.options.reference import frozen_list, reference_text  # noqa: E402


def main() -> None:
    """Write both files."""
    page = reference_text({name: (command.title, command.groups) for name, command in COMMANDS.items()})
    (ROOT / "docs" / "options.md").write_text(page, encoding="utf-8")
    for name, command in COMMANDS.items():
        target = ROOT / "tests" / "golden" / f"options-{name}.txt"
        target.write_text(frozen_list(command.groups), encoding="utf-8")


if __name__ == "__main__":
    main()
