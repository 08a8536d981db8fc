"""Taking out of the metadata what says who trained a file and where: paths, user names, folder names, tokens.

Folders get numbers ("10_folder 1") in every table they occur in, so that tag counts stay readable. Keys that hosts file
a LoRA by stay, and so does what the author wrote on purpose (name, author, licence).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .edit import FAMILY_KEYS, FIXED_KEYS, Difference, differences_between

FOLDER_KEYS = ("ss_tag_frequency", "ss_dataset_dirs", "ss_reg_dataset_dirs")
ON_PURPOSE = frozenset(
    (
        *("ss_output_name", "modelspec.author", "modelspec.title", "modelspec.license", "ssmd_author"),
        *("ssmd_display_name", "ssmd_source", "modelspec.implementation"),
    )
)
# Base64 looks like paths and names, and is none.
UNTOUCHED = FIXED_KEYS | {"modelspec.thumbnail", "ssmd_cover_images"}
MOST_USERS = 20
_REPEATS = re.compile(r"(\d+)_.*", re.DOTALL)
_USER = re.compile(
    r"(?:/home/|/Users/|[\\/]+(?:Users|Documents and Settings)[\\/]+)([^\\/\s\"',;:]{2,})", re.IGNORECASE
)
_NOBODY = frozenset(("user", "root", "public", "default", "admin", "runner", "ubuntu", "all users"))
_QUOTED_END = r"[^\"'<>|*?\r\n,;]*"
_PATHS = (
    re.compile(r"\b[A-Za-z]:[\\/]+" + _QUOTED_END),
    re.compile(r"(?<![\w:\\])\\\\+[\w.$-]+\\+" + _QUOTED_END),
    re.compile(r"\bfile:/+[^\s\"'<>]*", re.IGNORECASE),
    re.compile(r"(?<![\w.:/])~?/(?:[\w.@+-]+/)+[^\s\"'<>,;]*"),
)
_WHOLE_PATH = re.compile(r"~?(?:/[^/\n]+){2,}/?")
_TOKENS = re.compile(r"\bhf_[A-Za-z0-9]{16,}|\bBearer\s+[\w.~+/-]{16,}|\bsk-[\w-]{20,}|\bghp_[A-Za-z0-9]{20,}")
_SEPARATORS = re.compile(r"[\\/]+")


@dataclass(frozen=True)
class Scrubbed:
    """What a scrub would leave.

    Args:
        metadata: all of them, cleaned.
        differences: what goes, key by key, for the preview.
        folders: old folder name -> new one.
        users: user names that were found in paths.
    """

    metadata: dict[str, str]
    differences: tuple[Difference, ...]
    folders: dict[str, str] = field(default_factory=dict)
    users: tuple[str, ...] = ()


def scrubbed(metadata: Mapping[str, str], *, keep_folders: bool = False) -> Scrubbed:
    """What the metadata would be without private words; nothing is written.

    Args:
        metadata: texts of the header.
        keep_folders: leave the names of the data set's folders as they are.
    """
    found = {name for key, text in metadata.items() if key not in UNTOUCHED for name in _users(text)}
    users = tuple(sorted(found, key=lambda name: (-len(name), name))[:MOST_USERS])
    folders = {} if keep_folders else _folder_names(metadata)
    clean = {
        key: text if key in UNTOUCHED else _clean_value(key, text, users, folders) for key, text in metadata.items()
    }
    assert all(key in clean for key in FAMILY_KEYS if key in metadata)
    return Scrubbed(clean, differences_between(metadata, clean), folders, users)


def _clean_value(key: str, text: str, users: tuple[str, ...], folders: Mapping[str, str]) -> str:
    names = () if key in ON_PURPOSE else users

    def clean(part: str) -> str:
        return _clean_text(part, names)

    if text[:1] in ("{", "["):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            return clean(text)
        changed = _clean_content(_renamed(key, content, folders), clean, 0)
        # Written anew only where something went: spaces and the order of keys are the trainer's.
        return text if changed == content else json.dumps(changed, ensure_ascii=False)
    return clean(text)


def _clean_text(text: str, users: tuple[str, ...]) -> str:
    if _WHOLE_PATH.fullmatch(text.strip()) and not text.startswith("//"):
        text = _last_part(text)
    for pattern in _PATHS:
        text = pattern.sub(lambda match: _last_part(match[0]), text)
    text = _TOKENS.sub("(removed)", text)
    for name in users:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "user", text)
    return text


def _clean_content(content: Any, clean: Callable[[str], str], depth: int) -> Any:
    if depth > 64:
        return content
    if isinstance(content, str):
        return clean(content)
    if isinstance(content, list):
        return [_clean_content(part, clean, depth + 1) for part in content]
    if isinstance(content, dict):
        fresh: dict[str, Any] = {}
        for key, part in content.items():
            fresh[_unused(clean(key), fresh)] = _clean_content(part, clean, depth + 1)
        return fresh
    return content


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    """The name, numbered where two paths end in the same word: no entry may be lost."""
    number, fresh = 1, name
    while fresh in taken:
        number += 1
        fresh = f"{name} ({number})"
    return fresh


def _renamed(key: str, content: Any, folders: Mapping[str, str]) -> Any:
    """The same table with the folders' new names."""
    if key in FOLDER_KEYS and isinstance(content, dict):
        return {folders.get(name, name): part for name, part in content.items()}
    if key != "ss_datasets" or not isinstance(content, list):
        return content
    return [_renamed_dataset(one, folders) if isinstance(one, dict) else one for one in content]


def _renamed_dataset(dataset: dict[str, Any], folders: Mapping[str, str]) -> dict[str, Any]:
    fresh = dict(dataset)
    if isinstance(fresh.get("tag_frequency"), dict):
        fresh["tag_frequency"] = {folders.get(name, name): tags for name, tags in fresh["tag_frequency"].items()}
    if isinstance(fresh.get("subsets"), list):
        fresh["subsets"] = [
            {name: _renamed_field(name, value, folders) for name, value in one.items()}
            if isinstance(one, dict)
            else one
            for one in fresh["subsets"]
        ]
    return fresh


def _renamed_field(name: str, value: Any, folders: Mapping[str, str]) -> Any:
    known = name in ("image_dir", "metadata_file") and isinstance(value, str)
    return folders.get(value, value) if known else value


def _folder_names(metadata: Mapping[str, str]) -> dict[str, str]:
    """A number for each folder that any table names; the repeats in front stay."""
    names: dict[str, None] = {}
    for key in (*FOLDER_KEYS, "ss_datasets"):
        try:
            content = json.loads(metadata.get(key, "null"))
        except (ValueError, RecursionError):
            continue
        for name in _folders_in(content):
            names.setdefault(name)
    found = {}
    for number, name in enumerate(names, 1):
        repeats = _REPEATS.fullmatch(name)
        found[name] = f"{repeats[1]}_folder {number}" if repeats else f"folder {number}"
    return found


def _folders_in(content: Any) -> list[str]:
    if isinstance(content, dict):
        return [name for name in content if name]
    found: list[str] = []
    for one in content if isinstance(content, list) else []:
        subsets = one.get("subsets") if isinstance(one, dict) else None
        tags = one.get("tag_frequency") if isinstance(one, dict) else None
        found += [name for name in tags if name] if isinstance(tags, dict) else []
        for subset in subsets if isinstance(subsets, list) else []:
            values = [subset.get(name) for name in ("image_dir", "metadata_file")] if isinstance(subset, dict) else []
            found += [value for value in values if isinstance(value, str) and value]
    return found


def _users(text: str) -> set[str]:
    return {name for name in _USER.findall(text) if name.lower() not in _NOBODY}


def _last_part(path: str) -> str:
    parts = [part for part in _SEPARATORS.split(path.strip()) if part and not part.endswith(":")]
    return parts[-1] if len(parts) > 1 else "(path)"
