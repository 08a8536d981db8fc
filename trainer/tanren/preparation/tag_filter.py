"""Filters over tags: `hat and not (smile or "long hair")`.

Words that follow each other are one tag, so quotes are only needed around `and`, `or`, `not`, brackets and commas. A
comma means `and`, a minus before a tag `not`. `*` stands for any letters, as in `*hair`. Underscores are spaces,
capitals do not matter. `not` binds closest, then `and`, then `or`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ..errors import UsageError
from .tags import tag_key

TOKEN = re.compile(r'\s*(?:(?P<sign>[(),])|(?P<minus>-(?=[^\s,()]))|"(?P<quoted>[^"]*)"|(?P<word>[^\s(),"]+))')
DEEPEST = 50

Matcher = Callable[[frozenset[str]], bool]


class TagFilter:
    """A filter that was understood."""

    def __init__(self, text: str) -> None:
        """Parse a filter.

        Raises:
            UsageError: it cannot be understood; the message says where.
        """
        self.text = text
        self._matches = _Parser(text).parsed()

    def matches(self, tags: Iterable[str]) -> bool:
        """True when a caption with these tags is wanted."""
        return self._matches(frozenset(tag_key(tag) for tag in tags))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._tokenized()
        self._place = 0
        self._depth = 0

    def parsed(self) -> Matcher:
        if not self._tokens:
            return lambda tags: True
        found = self._either()
        if self._place < len(self._tokens):
            raise self._refused(f"{self._next()!r} was not expected")
        return found

    def _tokenized(self) -> list[tuple[str, str]]:
        """Kind ("sign", "minus", "tag" or "operator") and text."""
        tokens: list[tuple[str, str]] = []
        place, end = 0, len(self._text.rstrip())
        joins = False
        while place < end:
            found = TOKEN.match(self._text, place)
            if found is None:
                raise self._refused('a closing " is missing')
            place = found.end()
            word, quoted = found["word"], found["quoted"]
            if word is not None and word.lower() in ("and", "or", "not"):
                tokens.append(("operator", word.lower()))
                joins = False
            elif word is not None and joins:
                tokens[-1] = ("tag", f"{tokens[-1][1]} {word}")
            elif word is not None:
                tokens.append(("tag", word))
                joins = True
            elif quoted is not None:
                tokens.append(("tag", quoted))
                joins = False
            else:
                tokens.append(("minus", "not") if found["minus"] else ("sign", found["sign"]))
                joins = False
        return tokens

    def _next(self) -> str:
        return self._tokens[self._place][1] if self._place < len(self._tokens) else ""

    def _is(self, kind: str, text: str) -> bool:
        return self._place < len(self._tokens) and self._tokens[self._place] == (kind, text)

    def _either(self) -> Matcher:
        parts = [self._both()]
        while self._is("operator", "or"):
            self._place += 1
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda tags: any(part(tags) for part in parts)

    def _both(self) -> Matcher:
        parts = [self._one()]
        while self._is("operator", "and") or self._is("sign", ",") or self._begins_one():
            if not self._begins_one():
                self._place += 1
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda tags: all(part(tags) for part in parts)

    def _begins_one(self) -> bool:
        # `hat -smile` and `hat not smile` mean both.
        return self._is("minus", "not") or self._is("operator", "not")

    def _one(self) -> Matcher:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._refused(f"more than {DEEPEST} brackets or negations lie inside each other")
        found = self._single()
        self._depth -= 1
        return found

    def _single(self) -> Matcher:
        if self._begins_one():
            self._place += 1
            inner = self._one()
            return lambda tags: not inner(tags)
        if self._is("sign", "("):
            self._place += 1
            inner = self._either()
            if not self._is("sign", ")"):
                raise self._refused("a closing bracket is missing")
            self._place += 1
            return inner
        if self._place >= len(self._tokens):
            raise self._refused("a tag is missing at the end")
        kind, text = self._tokens[self._place]
        if kind != "tag":
            raise self._refused(f"a tag is missing before {text!r}")
        self._place += 1
        return _has(tag_key(text))

    def _refused(self, what: str) -> UsageError:
        return UsageError(
            where=self._text,
            what=f"The filter cannot be understood: {what}.",
            fix='Write for example: hat and not (smile or "looking at viewer")',
        )


def _has(key: str) -> Matcher:
    if "*" not in key:
        return lambda tags: key in tags
    parts = [re.escape(part) for part in key.split("*")]
    # One star after the other would make matching slow and means the same.
    pattern = re.compile(re.sub(r"(\.\*)+", ".*", ".*".join(parts)), re.DOTALL)
    return lambda tags: any(pattern.fullmatch(tag) for tag in tags)
