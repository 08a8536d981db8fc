"""`meta`: what model files say about themselves, on the command line, without torch.

python launch.py meta show FILE…          what a file is, how it was trained, its tags (--json: everything)
python launch.py meta edit FILE… --set KEY=VALUE --unset KEY
python launch.py meta undo FILE…          bring back what was there before the last edit
python launch.py meta diff FIRST SECOND   what differs between two files
python launch.py meta scrub FILE…         show which private words the metadata hold; --write takes them out
python launch.py meta verify FILE…        check the structure and the stored hashes
python launch.py meta norms FILE…         how strongly each block changes (runs in the trainer's environment)
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import meta_text
from .errors import EnvironmentProblem, ModelFileError, SeveralProblems, UsageError, UserError
from .formats.base_model import kind_at
from .formats.safetensors_header import read_header
from .library.backups import undo
from .library.change import Planned, Wanted, apply, planned
from .library.compare import compare
from .library.edit import SHORT_NAMES, Change, Edited, write_metadata
from .library.filing import fit
from .library.hashes import CHANGES, STAYS, hash_problems, hashes_of
from .library.look import look_at, stamp_of
from .library.scrub import scrubbed
from .library.sidecar import checked_host_field
from .paths import data_folder, resolve_user_path


def main(words: Sequence[str]) -> int:
    """Run one of the commands; returns the exit code (errors.py lists them)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal of another code page shows what it cannot say as \\u1234 instead of failing.
            stream.reconfigure(errors="backslashreplace")
    chosen = _parser().parse_args(words)
    run: Callable[[argparse.Namespace], None] = chosen.run
    try:
        run(chosen)
    except UserError as problem:
        print(meta_text.safe(str(problem)), file=sys.stderr)
        return problem.code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meta",
        description="What model files say about themselves.",
        epilog="`meta norms FILE…` says how strongly each block changes; it runs in the trainer's environment.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    show = _command(commands, "show", "what a file is, how it was trained, its tags", _show)
    show.add_argument("--json", action="store_true", help="everything, for programs: a list with one object per file")
    show.add_argument("--tags", type=int, default=20, metavar="N", help="show the N most frequent tags (20)")
    show.add_argument("--fits", metavar="CHECKPOINT", help="say whether it works with this base model")
    show.add_argument("--blocks", action="store_true", help="rank and alpha of every block")

    edit = _command(commands, "edit", "change metadata; the tensors stay byte for byte", _edit)
    short = ", ".join(sorted(SHORT_NAMES))
    edit.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=f"any key, or one of: {short}")
    edit.add_argument("--unset", action="append", default=[], metavar="KEY", help="take a key out")
    edit.add_argument("--cover", metavar="PICTURE", help="put a cover picture into the file")
    edit.add_argument("--preview", metavar="PICTURE", help="put a picture for the WebUI's card beside the file")
    edit.add_argument(
        "--beside",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help='a field of the WebUI\'s own file beside it, such as "activation text=sks"',
    )
    edit.add_argument("--lose-family", action="store_true", help="allow to take out keys by which hosts file a LoRA")
    edit.add_argument("--dry-run", action="store_true", help="only say what would change")

    _command(commands, "undo", "bring back what was there before the last edit", _undo)

    diff = commands.add_parser("diff", help="what differs between two files")
    diff.add_argument("first", metavar="FIRST")
    diff.add_argument("second", metavar="SECOND")
    diff.add_argument("--json", action="store_true", help="for programs")
    diff.set_defaults(run=_diff)

    scrub = _command(commands, "scrub", "private words in the metadata: show them, or take them out", _scrub)
    scrub.add_argument("--write", action="store_true", help="take them out; without it they are only shown")
    scrub.add_argument("--keep-folders", action="store_true", help="leave the names of the data set's folders")

    verify = _command(commands, "verify", "check the structure and the stored hashes", _verify)
    verify.add_argument("--json", action="store_true", help="for programs")
    return parser


def _command(
    commands: Any, name: str, title: str, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=title, description=title)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.set_defaults(run=run)
    return parser


def _each(files: Sequence[str], work: Callable[[Path], None]) -> None:
    """Do the work for every file; problems of single files come together at the end.

    Raises:
        UserError: the only problem, or all of them as one.
    """
    problems: list[UserError] = []
    for text in files:
        try:
            work(resolve_user_path(text, "file", where="FILE"))
        except UserError as problem:
            problems.append(problem)
    _raise_all(problems)


def _raise_all(problems: Sequence[UserError]) -> None:
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise SeveralProblems(problems)


def _show(chosen: argparse.Namespace) -> None:
    found: list[dict[str, Any]] = []
    base = _checkpoint_family(chosen.fits) if chosen.fits else None

    def show(path: Path) -> None:
        look = look_at(path)
        fits = fit(look.family, base) if base is not None else None
        if chosen.json:
            answer = {} if fits is None else {"fits": fits.answer}
            found.append({**meta_text.look_as_json(look), **answer})
        else:
            print(meta_text.look_as_text(look, fits, tags=chosen.tags, blocks=chosen.blocks))

    try:
        _each(chosen.files, show)
    finally:
        if chosen.json:
            _print_json(found)


def _checkpoint_family(text: str) -> str:
    """The family of a checkpoint or diffusers folder; a .ckpt file is not opened here."""
    path = resolve_user_path(text, "folder" if Path(text).is_dir() else "file", where="--fits")
    kind = kind_at(path)
    return kind.family if kind is not None else "unknown"


def _edit(chosen: argparse.Namespace) -> None:
    paths = [resolve_user_path(text, "file", where="FILE") for text in chosen.files]
    values = dict(_pair(text, "--set") for text in chosen.set)
    fresh = {SHORT_NAMES.get(key, key): value for key, value in values.items()}
    if chosen.cover:
        fresh |= _cover(chosen.cover)
    unset = tuple(SHORT_NAMES.get(key, key) for key in chosen.unset)
    pairs = dict(_pair(text, "--beside") for text in chosen.beside)
    beside = {name: checked_host_field(name, value) for name, value in pairs.items()}
    preview = _preview(chosen.preview) if chosen.preview else None
    if not (fresh or unset or beside or preview):
        raise UsageError(where="meta edit", what="Nothing to change.", fix="Add --set KEY=VALUE or --unset KEY.")
    wanted = Wanted(Change(fresh, unset, may_lose_family=chosen.lose_family), beside, preview)
    plans, refused = _plans(paths, wanted)
    for plan in plans:
        done = plan if chosen.dry_run else apply(plan.path, wanted, data_folder())
        print(meta_text.plan_as_text(done, is_done=not chosen.dry_run))
    if not chosen.dry_run and not all(plan.is_empty for plan in plans):
        print("\n".join((CHANGES, STAYS, "`meta undo FILE` brings back what was there before.")))
    _raise_all(refused)


def _plans(paths: Sequence[Path], wanted: Wanted) -> tuple[list[Planned], list[UserError]]:
    """What the change would do in each file, and the files that cannot be read; all are checked before one is written.

    Raises:
        UsageError: the change cannot be made in one of them.
    """
    plans: list[Planned] = []
    refused: list[UserError] = []
    for path in paths:
        try:
            plans.append(planned(path, wanted))
        except ModelFileError as problem:
            refused.append(problem)
    return plans, refused


def _cover(text: str) -> dict[str, str]:
    _check_pillow("--cover")
    from .library.cover import cover_values

    return cover_values(resolve_user_path(text, "file", where="--cover"))


def _preview(text: str) -> bytes:
    _check_pillow("--preview")
    from .library.preview import preview_bytes

    return preview_bytes(resolve_user_path(text, "file", where="--preview"))


def _check_pillow(where: str) -> None:
    """Pillow is needed for pictures alone; everything else works with a bare Python."""
    if importlib.util.find_spec("PIL") is None:
        what = "Pictures are made with Pillow, which this Python does not have."
        raise EnvironmentProblem(where=where, what=what, fix="pip install pillow")


def _undo(chosen: argparse.Namespace) -> None:
    def bring_back(path: Path) -> None:
        undo(path, data_folder())
        print(f"{meta_text.safe(path.name)}: what was there before the last edit is back.")

    _each(chosen.files, bring_back)


def _diff(chosen: argparse.Namespace) -> None:
    first, second = (
        look_at(resolve_user_path(text, "file", where=where))
        for text, where in ((chosen.first, "FIRST"), (chosen.second, "SECOND"))
    )
    found = compare(first, second)
    if chosen.json:
        _print_json(meta_text.comparison_as_json(found))
    else:
        print(meta_text.comparison_as_text(found, first.path.name, second.path.name))


def _scrub(chosen: argparse.Namespace) -> None:
    def scrub(path: Path) -> None:
        header = read_header(path)
        stamp = stamp_of(path)
        plan = scrubbed(header.metadata, keep_folders=chosen.keep_folders)
        backup = None
        if chosen.write:
            backup = write_metadata(path, header, plan.metadata, data_folder(), stamp).backup
        edited = Edited(path, plan.differences, backup)
        print(meta_text.edit_as_text(edited, is_done=chosen.write))
        print("".join(f"  folder: {meta_text.pair(old, new)}\n" for old, new in plan.folders.items()), end="")
        print("".join(f"  user name: {meta_text.pair(name, 'user')}\n" for name in plan.users), end="")
        if plan.differences and not chosen.write:
            print("  Nothing was written; --write takes these words out.")

    _each(chosen.files, scrub)


def _verify(chosen: argparse.Namespace) -> None:
    found: list[dict[str, Any]] = []

    def verify(path: Path) -> None:
        hashes = hashes_of(path)
        problems = hash_problems(read_header(path).metadata, hashes)
        if chosen.json:
            found.append(meta_text.hashes_as_json(path, hashes, problems))
        else:
            print(meta_text.hashes_as_text(path, hashes))
        if problems:
            raise ModelFileError(where=str(path), what=" ".join(problems), fix="Take the file from its source again.")

    try:
        _each(chosen.files, verify)
    finally:
        if chosen.json:
            _print_json(found)


def _pair(text: str, where: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(where=f"{where} {text}", what="This is not KEY=VALUE.", fix=f'Write {where} "name=My LoRA".')
    return key.strip(), value


def _print_json(content: object) -> None:
    print(json.dumps(content, ensure_ascii=True, indent=1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
