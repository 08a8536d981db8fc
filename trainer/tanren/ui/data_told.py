"""A folder of pictures in the words of the page: how it was understood, what was counted, single pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.buckets import Size
from ..formats.clip_tokens import WINDOWS
from ..preparation.caption_files import AUTO, ENCODINGS, SUFFIXES, read_caption_file
from ..preparation.facts import PictureFacts
from ..preparation.levels import DEEPER, NOTHING, NUMBERED_FOLDER, PARENT, Level, Part
from .data_choice import flag_counts, flags_of
from .data_folder import DataFolder
from .words import Text, Words, counted, text

TINY_LABEL = "Smaller than {count} pixels"
# Shown as buttons above the pictures, in this order; the second is for one picture's own line.
FLAG_LABELS = {
    "missing": ("Without a caption file", "no caption file"),
    "empty": ("With an empty caption", "empty caption"),
    "no_trigger": ("Without the trigger word", "no trigger word"),
    "unusable": ("Cannot be used", "cannot be used"),
    "tiny": (TINY_LABEL, "very small"),
    "alike": ("The same or look alike", "looks alike"),
    "transparent": ("Transparent in places", "partly transparent"),
    "rotated": ("Stored turned", "stored turned"),
    "animated": ("Animated pictures", "moving picture"),
    "encoding": ("Caption not in UTF-8", "not UTF-8"),
    "lines": ("Caption of several lines", "several lines"),
    "long": ("Caption over 75 tokens", "long caption"),
    "enlarged": ("Enlarged for training", "gets enlarged"),
    "suffix": ("Suffix of another format", "other format"),
}


def overview_told(found: DataFolder, words: Words) -> dict[str, Any]:
    """The folder as understood, and the counts."""
    overview, captions = found.overview, found.overview.captions
    level = found.level
    return {
        "understood": words(_understood(level)),
        "instead": str(level.instead) if level.kind == NUMBERED_FOLDER and level.instead else "",
        "other_parts": [_part_told(part, words) for part in level.other_parts],
        "left_out": [words("{folder} has no number of repeats in its name and is not trained.", folder=name)
                     for name in level.left_out],
        "parts": [_part_told(part, words) for part in level.parts],
        "pictures": overview.pictures,
        "bytes": overview.file_bytes,
        "captions": words(_captions_sentence(found)),
        "encodings": _encodings_told(found, words),
        "suffixes": _suffixes_told(found, words),
        "trigger": _trigger_told(found, words),
        "flags": _flags_told(found, words),
        "lengths": [{"window": window, "count": captions.lengths.get(window, 0)} for window in (*WINDOWS, 0)],
        "longest": captions.longest,
        "buckets": [
            {"width": width, "height": height, "count": count}
            for (width, height), count in sorted(overview.buckets.items(), key=lambda one: -one[1])
        ],
        "warnings": [words.finished(one) for one in overview.warnings],
    }  # fmt: skip


def row_told(row: PictureFacts, found: DataFolder, words: Words) -> dict[str, Any]:
    """One picture for the gallery."""
    flags = flags_of(row, found)
    shown = [FLAG_LABELS[flag][1] for flag in flags if flag in FLAG_LABELS]
    return {
        "path": row.path,
        "name": row.name,
        "folder": Path(row.folder).name,
        "version": f"{row.modified_ns:x}-{row.file_bytes:x}",
        "caption": row.caption.text,
        "has_caption": row.caption.is_filled,
        "tokens": row.caption.tokens,
        "problem": words.finished(row.fault),
        "flags": flags,
        "marks": [words(label) for label in shown],
        "facts": _facts_of(row, found, words),
        "crop": _crop_told(row, found),
    }


def detail_told(row: PictureFacts, words: Words, encoding: str) -> dict[str, Any]:
    """The whole text of a caption, and a stamp that changes with its file."""
    if not row.caption.name:
        return {"text": "", "stamp": "", "file": "", "encoding": "utf-8", "problem": ""}
    file = read_caption_file(Path(row.folder, row.caption.name), encoding)
    return {
        "text": file.text.rstrip("\n"),
        "stamp": stamp_of(file.data),
        "file": row.caption.name,
        "encoding": file.encoding,
        "problem": words.finished(file.problem),
    }


def stamp_of(data: bytes) -> str:
    """What tells two states of a caption file apart."""
    return hashlib.sha256(data).hexdigest()[:32]


def _understood(level: Level) -> Text:
    pictures = counted(level.pictures, "{count} picture", "{count} pictures")
    if level.kind == NOTHING:
        return text("There are no pictures in this folder.")
    if level.kind == NUMBERED_FOLDER:
        (part,) = level.parts
        return text(
            "{pictures}, each {repeats} times an epoch, as “{name}”: the folder's own name says so.",
            pictures=pictures,
            repeats=part.repeats,
            name=part.name,
        )
    if level.kind == PARENT:
        return text(
            "{pictures} in {folders} with repeats in their names.", pictures=pictures, folders=_folders(level.parts)
        )
    if level.kind == DEEPER:
        return text("{pictures}, found one level below.", pictures=pictures)
    return text("{pictures} in the folder itself.", pictures=pictures)


def _folders(parts: Sequence[Part]) -> Text:
    return counted(len(parts), "{count} folder", "{count} folders")


def _part_told(part: Part, words: Words) -> dict[str, Any]:
    return {
        "folder": str(part.folder),
        "name": part.folder.name,
        "repeats": part.repeats,
        "concept": part.name,
        "pictures": part.pictures,
        "is_regularization": part.is_regularization,
        "text": words(
            text(
                "{pictures} × {repeats}",
                pictures=counted(part.pictures, "{count} picture", "{count} pictures"),
                repeats=counted(part.repeats, "{count} repeat", "{count} repeats"),
            )
        ),
    }


def _captions_sentence(found: DataFolder) -> Text:
    overview = found.overview
    pictures = counted(overview.pictures, "{count} picture", "{count} pictures")
    if not overview.captions.by_suffix:
        return text("{pictures}, no captions found", pictures=pictures)
    kinds = ", ".join(f"{suffix} {count}" for suffix, count in overview.captions.by_suffix.most_common())
    return text(
        "{pictures}, captions found: {found} of {all} ({kinds})",
        pictures=pictures,
        found=overview.captions.filled,
        all=overview.pictures,
        kinds=kinds,
    )


def _encodings_told(found: DataFolder, words: Words) -> dict[str, Any] | None:
    """How captions were read that are not in UTF-8, and what else they may be in; None where there are none."""
    captions, chosen = found.overview.captions, found.view.encoding
    if not captions.guessed.count and chosen == AUTO:
        return None
    read_as = ", ".join(f"{ENCODINGS.get(name, name)} ({count})" for name, count in captions.encodings.most_common())
    sentence = counted(
        captions.guessed.count,
        "{count} caption is not in UTF-8, which training refuses. Read as: {encodings}",
        "{count} captions are not in UTF-8, which training refuses. Read as: {encodings}",
        encodings=read_as or "–",
    )
    choices = dict.fromkeys((*ENCODINGS, chosen))
    return {
        "sentence": words(sentence),
        "choice": chosen,
        "choices": [[name, words(ENCODINGS[AUTO]) if name == AUTO else ENCODINGS.get(name, name)] for name in choices],
    }


def _suffixes_told(found: DataFolder, words: Words) -> dict[str, Any] | None:
    """Which captions are read where a folder has several kinds; None where it has one."""
    if len(found.overview.captions.by_suffix) < 2 and not found.view.suffix:
        return None
    kinds = [["", words("what the folder uses most")], *([suffix, suffix] for suffix in SUFFIXES)]
    return {"choice": found.view.suffix, "choices": kinds}


def _trigger_told(found: DataFolder, words: Words) -> str:
    captions = found.overview.captions
    if not captions.trigger or not captions.filled:
        return ""
    return words(
        "“{trigger}” is in {count} of {all} captions, and begins {first} of them.",
        trigger=captions.trigger,
        count=captions.with_trigger,
        all=captions.filled,
        first=captions.trigger_first,
    )


def _flags_told(found: DataFolder, words: Words) -> list[dict[str, Any]]:
    """How many pictures each mark has; those that none has are left out."""
    counts = found.answer("flags", lambda: flag_counts(found, list(FLAG_LABELS)))
    return [
        {"flag": flag, "label": words(FLAG_LABELS[flag][0], count=found.view.tiny), "count": count}
        for flag, count in counts.items()
        if count
    ]


def _facts_of(row: PictureFacts, found: DataFolder, words: Words) -> list[str]:
    if not row.width:
        return [words.finished(row.fault)] if row.fault else []
    facts = [f"{row.width}×{row.height}", row.kind]
    crop = found.crop((row.width, row.height))
    if min(crop.bucket_wh) > 0:
        facts.append(words("trained at {size}", size=_size(crop.bucket_wh)))
        if crop.share_lost >= 0.005:
            facts.append(words("{share} cut off", share=f"{crop.share_lost:.0%}"))
    return facts


def _crop_told(row: PictureFacts, found: DataFolder) -> dict[str, Any] | None:
    """Where the trained part lies, in shares of the picture's sides."""
    if not row.width:
        return None
    crop = found.crop((row.width, row.height))
    if min(crop.bucket_wh) < 1:
        return None
    left, top, right, bottom = crop.box
    box = [left / row.width, top / row.height, right / row.width, bottom / row.height]
    return {"bucket": list(crop.bucket_wh), "box": [round(one, 5) for one in box]}


def _size(size: Size) -> str:
    return f"{size[0]}×{size[1]}"
