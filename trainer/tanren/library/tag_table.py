"""Tags by frequency, per folder and over all, and a guess at the words that call the concept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .values import count_of, is_said, parse_json_value

# What stands in nearly every caption of nearly every data set, so it calls nothing.
COMMON = frozenset(
    (
        *("1girl", "1boy", "solo", "girl", "boy", "woman", "man", "person", "looking at viewer", "simple background"),
        *("white background", "highres", "absurdres", "masterpiece", "best quality", "upper body", "full body"),
        *("smile", "long hair", "short hair", "standing", "breasts", "open mouth", "closed mouth", "blush", "photo"),
        *("illustration", "anime", "realistic"),
    )
)
ALMOST_ALL, ELSEWHERE = 0.8, 0.3
MOST_GUESSES = 5
_REPEATS = re.compile(r"\d+_(?P<words>.+)")


@dataclass(frozen=True)
class TagTable:
    """Counts of tags.

    Args:
        folders: folder -> tag -> captions that have it, the most frequent first.
        pictures: folder -> pictures in it, where the file says so.
        problem: why there are none; empty when all is well.
    """

    folders: dict[str, dict[str, int]] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)
    problem: str = ""

    @property
    def total(self) -> dict[str, int]:
        """Counts over all folders, the most frequent first."""
        counts: Counter[str] = Counter()
        for tags in self.folders.values():
            counts.update(tags)
        return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


@dataclass(frozen=True)
class Trigger:
    """Words that call the concept.

    Args:
        words: for the prompt.
        source: where they come from, for people; a guess says so.
        is_guess: True when no field of the file or beside it names them.
    """

    words: str
    source: str
    is_guess: bool = False


def tag_table(metadata: Mapping[str, str]) -> TagTable:
    """The table of a file; whatever cannot be counted is left out and said."""
    parsed = parse_json_value(metadata, "ss_tag_frequency", dict)
    if parsed.value is None:
        return TagTable(problem=parsed.problem)
    folders, skipped = {}, 0
    for folder, tags in parsed.value.items():
        if not isinstance(tags, dict):
            skipped += 1
            continue
        counts = {tag.strip(): count_of(count) for tag, count in tags.items()}
        known = {tag: count for tag, count in counts.items() if count and tag}
        skipped += len(counts) - len(known)
        folders[folder] = dict(sorted(known.items(), key=lambda one: (-one[1], one[0])))
    problem = f"ss_tag_frequency: {skipped} entries are unreadable and not shown." if skipped else ""
    return TagTable(folders, _pictures(metadata), problem)


def triggers(metadata: Mapping[str, str], table: TagTable, beside: Mapping[str, Any]) -> tuple[Trigger, ...]:
    """What to type for this file: first what somebody wrote down, then a guess from the tags.

    Args:
        metadata: texts of the header.
        table: from `tag_table`.
        beside: `activation text` of the host's user metadata, `trainedWords` of `.civitai.info`.
    """
    found = [
        Trigger(metadata[key].strip(), title)
        for key, title in (("modelspec.trigger_phrase", "trigger phrase"), ("ssmd_keywords", "keywords"))
        if is_said(metadata.get(key))
    ]
    text = beside.get("activation text")
    if isinstance(text, str) and text.strip():
        found.append(Trigger(text.strip(), "activation text of the WebUI"))
    words = beside.get("trainedWords")
    if isinstance(words, list):
        found += [Trigger(word.strip(), "Civitai") for word in words if isinstance(word, str) and word.strip()]
    distinct: dict[str, Trigger] = {}
    for one in found:
        distinct.setdefault(one.words.strip(" ,").casefold(), one)
    return tuple(distinct.values()) or tuple(_guesses(table))


def _guesses(table: TagTable) -> list[Trigger]:
    """Tags that nearly all captions of one folder have and the other folders rarely."""
    found: list[tuple[float, str, str]] = []
    for folder, tags in table.folders.items():
        pictures = table.pictures.get(folder) or max(tags.values(), default=0)
        others = [(name, other) for name, other in table.folders.items() if name != folder]
        class_words = _REPEATS.fullmatch(folder)
        for tag, count in tags.items():
            share = min(count / pictures, 1.0)
            elsewhere = max((other.get(tag, 0) / max(other.values(), default=1) for _, other in others), default=0.0)
            if share < ALMOST_ALL or tag.lower() in COMMON or elsewhere > ELSEWHERE:
                continue
            named = class_words is not None and tag.lower() in class_words["words"].lower()
            found.append((share + named, tag, f"guess: in {share:.0%} of the captions of {folder}"))
    best = sorted(found, key=lambda one: (-one[0], len(one[1]), one[1]))[:MOST_GUESSES]
    return [Trigger(tag, source, is_guess=True) for _, tag, source in best]


def _pictures(metadata: Mapping[str, str]) -> dict[str, int]:
    parsed = parse_json_value(metadata, "ss_dataset_dirs", dict)
    counts = {
        folder: count_of(facts.get("img_count"))
        for folder, facts in (parsed.value or {}).items()
        if isinstance(facts, dict)
    }
    return {folder: count for folder, count in counts.items() if count}
