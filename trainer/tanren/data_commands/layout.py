"""`data layout` and `data export`: folders as training reads them, dataset files, archives."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.listing import list_folder
from ..errors import Problems, UsageError
from ..paths import resolve_user_path
from ..preparation.caption_files import encoding_named
from ..preparation.index import usual_suffix
from ..preparation.layout import (
    COPY,
    HARD_LINK,
    LINK,
    dataset_toml,
    export_archive,
    lay_out,
    plan_layout,
    write_dataset_toml,
)
from .common import (
    Progress,
    add_bucket_options,
    add_encoding_option,
    add_suffix_option,
    counted,
    journal,
    level_of,
    new_folder,
    parser_of,
    plan_of,
    show,
    some,
    suffix_of,
)


def main(words: Sequence[str]) -> int:
    """Run one of the commands."""
    return _layout(words[1:]) if words[0] == "layout" else _export(words[1:])


def _layout(words: Sequence[str]) -> int:
    parser = parser_of(
        "layout", "Put pictures with captions into PARENT/<repeats>_<name>. They stay where they are, too."
    )
    parser.add_argument("parent", metavar="PARENT", help="what will be --train_data_dir")
    parser.add_argument("--repeats", type=int, default=10, metavar="N", help="times a picture counts per epoch (10)")
    parser.add_argument("--name", required=True, help="words that are trained where there is no caption: sks girl")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--link", action="store_true", help="symbolic links instead of copies")
    way.add_argument("--hard-link", action="store_true", help="hard links instead of copies, on one disk only")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    chosen = parser.parse_args(words)
    level = level_of(chosen.folder)
    parent = new_folder(chosen.parent, "PARENT")
    placings = plan_layout(level, parent, repeats=chosen.repeats, name=chosen.name)
    folder = placings[0].target.parent
    if chosen.dry_run:
        names = [placing.target.name for placing in placings]
        show(f"{counted(len(placings), 'file', 'files')} would go into {folder}: {some(names)}")
        return 0
    how = LINK if chosen.link else HARD_LINK if chosen.hard_link else COPY
    put = lay_out(placings, journal(), way=how, progress=Progress("layout"))
    show(f"{counted(put, 'file', 'files')} put into {folder}; --train_data_dir={parent}")
    if put < len(placings):
        show(f"{len(placings) - put} were there already and were left alone.")
    show("`data undo` removes them.")
    return 0


def _export(words: Sequence[str]) -> int:
    parser = parser_of("export", "Write a dataset file for the folders as they are, or one archive of everything.")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--toml", metavar="FILE", help="a dataset file for --dataset_config; needs --resolution")
    target.add_argument("--zip", metavar="FILE", help="a flat archive of pictures and captions as .txt")
    parser.add_argument("--train_batch_size", type=int, default=1, metavar="N", help="for the dataset file (1)")
    parser.add_argument("--dry-run", action="store_true", help="only show the dataset file, or count the pictures")
    add_suffix_option(parser)
    add_encoding_option(parser)
    add_bucket_options(parser)
    chosen = parser.parse_args(words)
    level = level_of(chosen.folder)
    if chosen.zip:
        path = resolve_user_path(chosen.zip, "new file", where="--zip")
        if chosen.dry_run:
            show(f"{counted(level.pictures, 'picture', 'pictures')} would go into {path}")
            return 0
        count = export_archive(
            level,
            path,
            journal(),
            suffix=suffix_of(chosen.caption_extension),
            encoding=encoding_named(chosen.encoding),
            progress=Progress("archive"),
        )
        show(f"{counted(count, 'picture', 'pictures')} with captions written into {path}")
        return 0
    plan = plan_of(chosen)
    if plan is None:
        raise UsageError(where="--toml", what="The resolution is missing.", fix="Add --resolution 1024")
    suffix = suffix_of(chosen.caption_extension) or usual_suffix(list_folder(str(level.parts[0].folder), Problems()))
    text = dataset_toml(level, plan, batch_size=chosen.train_batch_size, suffix=suffix)
    path = resolve_user_path(chosen.toml, "new file", where="--toml")
    if not chosen.dry_run:
        write_dataset_toml(text, path, journal())
    show(text if chosen.dry_run else f"Written: {path}")
    return 0
