"""Train again like this: what a LoRA file remembers, as settings that the train form takes over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..commands import COMMANDS
from ..formats.base_model import kind_at
from ..formats.lora_metadata import old_model_hash
from ..formats.toml_file import write_nested
from ..library.look import Look
from ..library.train_again import BaseWanted, TrainAgain, train_again
from .base_models import base_models
from .host import Surroundings
from .words import Words, text

BASE_MODEL = "pretrained_model_name_or_path"
# The train form takes over a file of settings, and a LoRA is one.
TITLE = "Settings of a LoRA file"


def again_told(look: Look, surroundings: Surroundings) -> dict[str, Any]:
    """What a training like that of a file needs, for the page; `text` is what the train form takes over.

    Raises:
        UsageError: the file is no network that can be trained here.
    """
    words = Words(surroundings.language())
    found = train_again(look)
    options = dict(found.options)
    base = base_on_disk(found.base, surroundings)
    if base is not None:
        options[BASE_MODEL] = str(base)
    unknown = [words.finished(sentence) for sentence in found.unknown]
    if base is not None:
        unknown = [sentence for sentence, plain in zip(unknown, found.unknown, strict=True) if not _is_of_base(plain)]
    left = [[key, value, words.finished(why)] for key, value, why in found.not_taken]
    head = {"command": found.command, "title": TITLE, "notes": unknown, "not_taken": left}
    return {
        "command": found.command,
        "title": words(COMMANDS[found.command].title),
        "options": [
            {"name": name, "value": _shown(value), "is_derived": name in found.derived}
            for name, value in options.items()
        ],
        "not_taken": left,
        "unknown": unknown,
        "base": _base_told(base, found, words),
        "text": json.dumps({"tanren": head, "options": options}, ensure_ascii=False),
    }


def base_on_disk(wanted: BaseWanted, surroundings: Surroundings) -> Path | None:
    """The base model of a file among those that the form lists: by kohya's old hash, which is quick, else by its name.

    A file of that name whose hash is known to be another one is not taken.
    """
    listed = [Path(path) for path in base_models(surroundings).paths.values()]
    named = [path for path in listed if wanted.name and path.name == Path(wanted.name.replace("\\", "/")).name]
    others = [path for path in listed if path not in named]
    if wanted.old_hash:
        return next((path for path in (*named, *others) if old_model_hash(path) == wanted.old_hash), None)
    return next((path for path in named if kind_at(path) is not None), None)


def _is_of_base(sentence: str) -> bool:
    return sentence.startswith(("Where the base model lies:", "Which base model was used."))


def _base_told(base: Path | None, found: TrainAgain, words: Words) -> str:
    if base is None:
        return ""
    how = "it has the same hash" if found.base.old_hash else "it has the same name"
    return words(text("Base model found on this machine: {name}; {how}.", name=base.name, how=text(how)))


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return write_nested(value).strip()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
