"""The only builder of HTML: templates are ours, every value is escaped.

A template is plain HTML of a few harmless elements with `{name}` where values go, in text or inside a double-quoted
attribute. Anything else in a template (other elements, `on…` attributes, values without quotes) is a fault of ours and
raises `ValueError` at its first use, whatever the values are. What users, files and other programs wrote comes in as a
value and cannot leave its place.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from string import Formatter
from urllib.parse import urlsplit

LONGEST = 10_000
HARMLESS = (
    "a b br button code dd details div dl dt em h2 h3 h4 hr i img kbd label li meter ol p pre progress section small "
    "span strong summary table tbody td th thead tr ul"
)
ELEMENTS = frozenset(HARMLESS.split())
# Attributes that may hold a value; those of `data-` and `aria-` may too.
OPEN = "alt class colspan for height high id label lang low max min name optimum title value width"
OPEN_ATTRIBUTES = frozenset(OPEN.split())
ADDRESSES = frozenset({"href", "src"})
TAG = re.compile(r'</?([a-z][a-z0-9]*)((?:\s+[a-z][a-z0-9-]*(?:="[^"<>]*")?)*)\s*/?>|[^<]+|(?P<odd><)')
ATTRIBUTE = re.compile(r'([a-z][a-z0-9-]*)(?:="([^"]*)")?')
SAME_PLACE = re.compile(r"(?![/\\])[\w./%?&=~+-]+", re.ASCII)
# Marks of direction reorder what stands around them; the others are invisible and only good for deceiving.
DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
MARK = "\x00"


class Html(str):
    """A fragment that was built by `render`: the only text that is put into a page as it is."""

    __slots__ = ()


Value = str | int | float | Html | Iterable[Html]


def render(template: str, /, **values: Value) -> Html:
    """The template with its values, escaped for the place where each stands.

    Args:
        template: a literal of our source.
        values: one for every `{name}`. `Html`, or several of them, goes into text unchanged; anything else is shown
            as text: without control and direction marks, cut at 10 000 characters.

    Raises:
        ValueError: the template is not safe, or its names and the values differ.
    """
    pieces = _pieces(template)
    names = {name for _, name, _ in pieces if name}
    if names != values.keys():
        raise ValueError(f"the template needs {sorted(names)}, and got {sorted(values)}")
    return Html(
        "".join(literal + _placed(values[name], attribute) if name else literal for literal, name, attribute in pieces)
    )


def join(fragments: Iterable[Html]) -> Html:
    """Several fragments, one after another."""
    return Html("".join(_trusted(fragment) for fragment in fragments))


def link(address: str, text: str) -> Html:
    """A link that opens elsewhere; only its text when the address is not http or https."""
    if not _is_web(address):
        return render("{text}", text=text)
    return render(
        '<a href="{address}" target="_blank" rel="noopener noreferrer">{text}</a>', address=address, text=text
    )


def clean(text: str) -> str:
    """A text as it may be shown: no control or direction marks, no half characters, at most 10 000 characters."""
    cut = text[:LONGEST] + "…" if len(text) > LONGEST else text
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(character for character in cut if _is_shown(character))


def _is_shown(character: str) -> bool:
    if character in "\n\t":
        return True
    return character not in DIRECTION and unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")


def _placed(value: Value, attribute: str) -> str:
    if not attribute and not isinstance(value, (str, int, float)):
        return join(value)
    if not attribute and isinstance(value, Html):
        return value
    text = clean(str(value))
    if attribute in ADDRESSES and not _is_address(text, attribute):
        text = "#"
    return html.escape(text, quote=True)


def _is_address(text: str, attribute: str) -> bool:
    return bool(SAME_PLACE.fullmatch(text)) or (attribute == "href" and _is_web(text))


def _is_web(text: str) -> bool:
    if text != clean(text) or any(character.isspace() for character in text) or "\\" in text:
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _trusted(fragment: Html) -> str:
    if not isinstance(fragment, Html):
        raise TypeError(f"{type(fragment).__name__} was not built by render")
    return str(fragment)


Piece = tuple[str, str, str]


@lru_cache(maxsize=512)
def _pieces(template: str) -> tuple[Piece, ...]:
    """(literal before it, name, attribute it stands in or "") of every value; the last one has no name."""
    literals: list[str] = []
    names: list[str] = []
    for literal, name, form, conversion in Formatter().parse(template):
        literals.append(literal)
        if name is None:
            continue
        if not name.isidentifier() or form or conversion:
            raise ValueError(f"{{{name}}} is not a plain name")
        names.append(name)
        literals[-1] += MARK
    whole = "".join(literals)
    if template.count(MARK) or whole.count(MARK) != len(names):
        raise ValueError("the template holds a control character")
    attributes = _attributes_of_marks(whole)
    *before, last = whole.split(MARK)
    return (*zip(before, names, attributes, strict=True), (last, "", ""))


def _attributes_of_marks(text: str) -> list[str]:
    """The attribute in which each mark stands, "" in text; refuses every unsafe place."""
    places: list[str] = []
    end = 0
    for token in TAG.finditer(text):
        if token["odd"] or token.start() != end:
            raise ValueError(f"{text[end : end + 40]!r} is not plain HTML")
        end = token.end()
        element, attributes = token[1], token[2]
        if element is None:
            places += [""] * token[0].count(MARK)
        elif element not in ELEMENTS:
            raise ValueError(f"<{element}> has no place in a template")
        else:
            places += _checked_attributes(element, attributes)
    return places


def _checked_attributes(element: str, text: str) -> list[str]:
    places: list[str] = []
    given = ATTRIBUTE.findall(text)
    for name, value in given:
        if name.startswith("on") or name in ("style", "srcdoc", "formaction", "srcset"):
            raise ValueError(f"the attribute {name} has no place in a template")
        marks = value.count(MARK)
        if marks and not (name in OPEN_ATTRIBUTES | ADDRESSES or name.startswith(("data-", "aria-"))):
            raise ValueError(f"the attribute {name} cannot hold a value")
        if name in ADDRESSES and value != MARK and not _is_address(value, name):
            raise ValueError(f"an address stands alone in {name}, and leads to the web or to this place")
        places += [name] * marks
    names = [name for name, _ in given]
    if len(names) > len(set(names)):
        raise ValueError(f"<{element}> has the same attribute twice")
    is_link = element == "a" and "href" in names
    if is_link and not {("target", "_blank"), ("rel", "noopener noreferrer")} <= set(given):
        raise ValueError('a link needs target="_blank" rel="noopener noreferrer"')
    return places
