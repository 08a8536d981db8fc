"""The tools that bring captions from elsewhere and take them there: stored prompts, names, metadata files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ..errors import DataError
from ..formats.caption_metadata import caption_metadata, read_caption_metadata
from ..paths import PathPolicy, resolve_user_path
from ..preparation import tags
from ..preparation.caption_edit import plan_texts
from ..preparation.caption_tables import (
    CAPTION,
    TAGS,
    caption_table,
    table_bytes,
    texts_of_table,
    write_caption_table,
)
from ..preparation.journal import Journal
from ..preparation.picture_text import prompt_of
from .data_caption_tools import PreparedCaptions, shown_captions
from .data_prepared import PreparedFiles, new_file
from .data_tool import CHOICE, FLAG, UPLOAD, Field, Group, Request, Shown, Tool
from .data_work import Work
from .words import Text, counted, text

NAMES_TOLD, SHOWN = 20, 50
BESIDE = "A name alone: beside the folder of the pictures."
MODE = Field(
    "mode",
    "Where there is a caption already",
    CHOICE,
    tags.FILL,
    (
        (tags.FILL, "leave it as it is"),
        (tags.APPEND, "add new tags behind"),
        (tags.PREPEND, "add new tags in front"),
        (tags.REPLACE, "replace it"),
    ),
)


def groups() -> tuple[Group, ...]:
    """All of them, as the page shows them."""
    return (Group("Captions from elsewhere", SOURCES),)


def _from_texts(name: str, title: str, about: str, texts: Callable[[Request], dict[Path, str]], *fields: Field) -> Tool:
    """A tool that takes a text for each picture from elsewhere."""

    def prepare(request: Request) -> PreparedCaptions:
        mode = str(request.values["mode"])
        return PreparedCaptions(plan_texts(request.level, shown_captions(request), title, texts(request), mode))

    return Tool(name, title, about, (*fields, MODE), prepare)


def _prompts(request: Request) -> dict[Path, str]:
    found = {}
    for picture in request.pictures:
        try:
            found[picture] = prompt_of(str(picture), plain=not request.values["emphasis"])
        except (DataError, OSError):
            # The gallery tells which pictures cannot be read.
            continue
    return found


def _from_table(request: Request) -> PreparedCaptions:
    """Captions out of a metadata file, which was named or chosen in the browser."""
    given = str(request.values["table"]).strip()
    if "\n" in given or given.startswith(("{", "[")):
        table = caption_metadata(Path("captions.jsonl" if _has_lines(given) else "captions.json"), given)
    else:
        policy = PathPolicy(request.roots)
        table = read_caption_metadata(resolve_user_path(given.strip('"'), "file", where="table", policy=policy))
    texts, unknown = texts_of_table(table, request.pictures, request.level.folder)
    plan = plan_texts(
        request.level, shown_captions(request), "captions from a metadata file", texts, str(request.values["mode"])
    )
    if not unknown:
        return PreparedCaptions(plan)
    names = ", ".join(unknown[:NAMES_TOLD])
    surplus = counted(
        len(unknown),
        "{count} entry is about no picture here: {names}",
        "{count} entries are about no picture here: {names}",
        names=names,
    )
    return PreparedCaptions(plan, [surplus])


def _has_lines(content: str) -> bool:
    """Whether each line is an object about one picture, instead of one object about all of them."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        return "\n{" in content
    return isinstance(whole, dict) and isinstance(whole.get("image_path"), str)


def _into_table(request: Request) -> PreparedFiles:
    path = new_file(request, ".json")
    table = table_of(request)

    def act(journal: Journal, work: Work) -> Text:
        write_caption_table(table, path, journal)
        return text("Written: {file}", file=str(path))

    return PreparedFiles([Shown(path.name, None, table_bytes(dict(list(table.items())[:SHOWN])).decode())], act)


def table_of(request: Request) -> dict[str, dict[str, object]]:
    """The captions of the pictures that are shown, as a metadata file has them."""
    values = request.values
    key = TAGS if values["as_tags"] else CAPTION
    return caption_table(shown_captions(request), request.level.folder, key=key, sizes=bool(values["sizes"]))


def _folder_names(request: Request) -> dict[Path, str]:
    concepts = {part.folder: part.name or part.folder.name for part in request.level.parts}
    return {picture: concepts.get(picture.parent, picture.parent.name) for picture in request.pictures}


def _file_names(request: Request) -> dict[Path, str]:
    return {picture: picture.stem.replace("_", " ") for picture in request.pictures}


SOURCES = (
    _from_texts(
        "prompt",
        "From the pictures' prompts",
        "Takes the prompt that the WebUI or ComfyUI stored in a picture.",
        _prompts,
        Field("emphasis", "Keep emphasis and LoRAs of the prompt, such as (word:1.2)", FLAG, False),
    ),
    _from_texts(
        "folder_name",
        "From folder names",
        "The folder's name without the number of repeats becomes the caption.",
        _folder_names,
    ),
    Tool(
        "table",
        "From a metadata file",
        "Takes captions out of a JSON file, as other tools and --in_json have it.",
        (Field("table", "Metadata file (.json, .jsonl)", UPLOAD, is_required=True), MODE),
        _from_table,
    ),
    Tool(
        "into_table",
        "Into a metadata file",
        "Writes all captions into one JSON file for --in_json, beside the pictures or as a download.",
        (
            Field("file", "Name of the new file", is_required=True, help=BESIDE),
            Field("as_tags", "As tags, not as captions", FLAG, False),
            Field("sizes", "With the sizes of the pictures", FLAG, False),
        ),
        _into_table,
        download="captions.json",
    ),
    _from_texts("file_name", "From file names", "The picture's own name becomes the caption.", _file_names),
    _from_texts(
        "same",
        "The same text for all",
        "Writes one text for every picture, or only where there is none.",
        lambda request: dict.fromkeys(request.pictures, str(request.values["text"])),
        Field("text", "Text of the caption", is_required=True),
    ),
)
