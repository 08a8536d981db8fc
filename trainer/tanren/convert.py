"""`convert`: files of other programs as files of ours.

python launch.py convert leco OLD.yaml NEW.toml     prompt lists of p1atdev's LECO and sliders of ai-toolkit
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .errors import UsageError, UserError
from .files import write_text
from .formats.leco_yaml import convert_leco_yaml
from .paths import resolve_user_path


def main(words: Sequence[str]) -> int:
    """Convert one file and show the result; returns the exit code."""
    parser = argparse.ArgumentParser(prog="convert", description="Files of other programs as files of ours.")
    parser.add_argument("kind", choices=("leco",), help="what is converted: leco, a list of prompts")
    parser.add_argument("old", metavar="OLD.yaml", help="the file to read; it stays as it is")
    parser.add_argument("new", metavar="NEW.toml", help="the file to write")
    chosen = parser.parse_args(words)
    try:
        source = resolve_user_path(chosen.old, "file", where="OLD")
        target = resolve_user_path(chosen.new, "new file", where="NEW")
        if target.exists():
            raise UsageError(where=str(target), what="The file exists already.", fix="Choose another name.")
        converted = convert_leco_yaml(source)
        write_text(target, converted.text)
    except UserError as problem:
        print(problem, file=sys.stderr)
        return problem.code
    print(converted.text, end="")
    for note in converted.notes:
        print(note, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
