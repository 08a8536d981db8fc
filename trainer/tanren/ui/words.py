"""English sentences and their translations.

The English text is the key, in the page and in `localizations/<language>.json`, the files that the WebUI reads for the
fixed labels of the tab. Sentences with numbers and names are templates there, with the same `{names}` in every
language; the WebUI cannot translate those, so they are translated here before they reach the page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from string import Formatter
from typing import Any

from ..paths import shipped_file

ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "ja_JP": "日本語", "zh_CN": "简体中文"}
# The least of fixed text that makes a template recognisable in a finished sentence, and the longest one looked at.
FIXED_PART, LONGEST = 10, 4000


@dataclass(frozen=True)
class Text:
    """A sentence before it is put into a language.

    Args:
        template: in English, with `{names}`.
        values: what stands for them: numbers, names as they are, or further `Text`.
    """

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return _filled(self.template, {name: str(value) for name, value in self.values.items()})


def text(template: str, /, **values: Any) -> Text:
    """Short form of `Text`."""
    return Text(template, values)


def counted(number: int, one: str, many: str, /, **values: Any) -> Text:
    """The sentence for one or for several; `{count}` is the number."""
    return Text(one if number == 1 else many, {"count": number, **values})


class Words:
    """Sentences in one language.

    Args:
        language: as the WebUI, a browser or a user names it; an unknown one means English.
    """

    def __init__(self, language: str = ENGLISH) -> None:
        self.language = language_of(language)
        self._table = _table(self.language)

    def __call__(self, sentence: str | Text, /, **values: Any) -> str:
        """The sentence in this language, or in English where it has no translation.

        Args:
            sentence: a template in English, or a `Text` with its values.
            values: what stands for the `{names}` of a template; `Text` among them is translated too.
        """
        if isinstance(sentence, Text):
            return self(sentence.template, **sentence.values)
        shown = {name: self(value) if isinstance(value, Text) else str(value) for name, value in values.items()}
        return _filled(self._table.get(sentence, sentence), shown)

    def finished(self, sentence: str) -> str:
        """A sentence whose values are filled in already, such as that of a `UserError`.

        It is translated when it is in the table as it is, or when it fits a template there; else it stays. Values that
        are in the table themselves, such as reasons, are translated too.
        """
        return _finished(self.language, sentence) if self._table and len(sentence) <= LONGEST else sentence

    def table(self) -> dict[str, str]:
        """English to this language, for the page script; empty for English."""
        return dict(self._table)


def language_of(name: str) -> str:
    """The language of ours that a name means: `ja_JP`, `ja-JP`, `zh-Hans (Stable)`, a browser's `ja,en;q=0.8`."""
    for part in name.split(","):
        tags = re.split(r"[-_ ;.(]", part.strip().lower())
        if tags[0] in ("ja", "jp", "japanese", "日本語"):
            return "ja_JP"
        # Traditional characters are another script; whoever reads them is not given the simplified ones unasked.
        if tags[0] in ("zh", "chinese", "简体中文") and not {"tw", "hk", "mo", "hant"} & set(tags):
            return "zh_CN"
        if tags[0] in ("en", "english"):
            return ENGLISH
    return ENGLISH


@dataclass(frozen=True)
class _Template:
    """A translated sentence with names, and how it is recognised in English."""

    english: str
    fixed: tuple[str, ...]
    names: tuple[str, ...]

    def values_in(self, sentence: str) -> dict[str, str] | None:
        """What stands for the names in a sentence, or None when it is another sentence."""
        first, last = self.fixed[0], self.fixed[-1]
        if not sentence.startswith(first) or not sentence.endswith(last):
            return None
        place, stop = len(first), len(sentence) - len(last)
        values: dict[str, str] = {}
        for name, following in zip(self.names, (*self.fixed[1:-1], None), strict=True):
            end = stop if following is None else sentence.find(following, place, stop)
            if end <= place or values.setdefault(name, sentence[place:end]) != sentence[place:end]:
                return None
            place = end + len(following or "")
        return values


@cache
def _table(language: str) -> dict[str, str]:
    if language == ENGLISH:
        return {}
    path = shipped_file("localizations", f"{language}.json")
    if path is None:
        return {}
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError):
        # A damaged translation is no reason to be without a page.
        return {}
    return {key: value for key, value in content.items() if isinstance(value, str)}


# The sentences of a page come again and again, and each is held against hundreds of templates.
@lru_cache(maxsize=1024)
def _finished(language: str, sentence: str) -> str:
    table = _table(language)
    known = table.get(sentence)
    if known is not None:
        return known
    for template in _templates(language):
        values = template.values_in(sentence)
        if values is not None:
            shown = {name: table.get(value, value) for name, value in values.items()}
            return _filled(table[template.english], shown)
    return sentence


@cache
def _templates(language: str) -> tuple[_Template, ...]:
    """Those that a finished sentence can be recognised by; the most telling ones first."""
    found = []
    for english in _table(language):
        try:
            parts = list(Formatter().parse(english))
        except ValueError:
            # A fixed text may hold braces of its own.
            continue
        names = tuple(name for _, name, _, _ in parts if name is not None)
        fixed = [literal for literal, _, _, _ in parts]
        if names and parts[-1][1] is not None:
            fixed.append("")
        touching = any(not literal for literal in fixed[1:-1])
        if all(map(str.isidentifier, names)) and names and not touching and sum(map(len, fixed)) >= FIXED_PART:
            found.append(_Template(english, tuple(fixed), names))
    return tuple(sorted(found, key=lambda template: -sum(map(len, template.fixed))))


def _filled(template: str, values: Mapping[str, str]) -> str:
    return template.format_map(values) if values else template
