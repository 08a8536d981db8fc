"""The card of a training without pictures: what each entry of the prompt file will change, and the file itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from ..data.prompt_scan import PromptScan
from ..data.records import Scan
from ..formats.leco_prompts import ENHANCE, ERASE, PromptPair
from ..options.contents import CONCEPTS, as_text
from .html import Html, join, render
from .remedies import Wish
from .words import Text, Words, text

MOST_SHOWN = 8
CARD = '<section class="tanren-section tanren-concept-card"><h4>{title}</h4>{lines}{file}</section>'
BUTTON = '<button type="button" class="tanren-remedy" data-wish="{values}">{label}</button>'
FILE = (
    '<details class="tanren-prompt-file"><summary>{title}</summary>'
    '<pre translate="no">{content}</pre>{button}</details>'
)
# For whoever wants to write the file before anything is named.
BEGINNING = {"resolution": 512, "prompts": [{"target": "", "action": ERASE}]}


def changes_of(scan: Scan) -> tuple[Text, ...]:
    """A sentence for every entry of a prompt file; none for pictures."""
    if not isinstance(scan, PromptScan):
        return ()
    entries = groupby(scan.prompts.pairs, key=lambda pair: pair.where)
    changes = [_change(list(pairs)) for _, pairs in entries]
    return tuple(change for place, change in enumerate(changes) if change not in changes[:place])


def about_concept(raw: Mapping[str, Any], options: Mapping[str, Any], changes: Sequence[Text], words: Words) -> Html:
    """The card, with a button that leads from the questions to the text of the file, or back.

    Args:
        raw: values of the fields.
        options: that they mean.
        changes: what will be learned.
        words: of the page's language.
    """
    content = options.get(CONCEPTS)
    is_text = bool(raw.get(CONCEPTS))
    written = as_text(content or BEGINNING) if content is None or isinstance(content, Mapping) else ""
    label = text("Back to the questions" if is_text else "Edit it as text")
    wish = Wish(label, {CONCEPTS: "" if is_text else written})
    button = render(BUTTON, values=wish.text, label=words(label))
    file = render(FILE, title=words("The prompt file"), content=written, button=button)
    return render(
        CARD,
        title=words("What will be learned"),
        lines=_lines(changes, words),
        file=button if is_text else file,
    )


def _lines(changes: Iterable[Text], words: Words) -> Html:
    every = [words(change) for change in changes]
    more = [words("and {count} more", count=len(every) - MOST_SHOWN)] if len(every) > MOST_SHOWN else []
    return join(render("<p>{text}</p>", text=line) for line in (*every[:MOST_SHOWN], *more))


def _change(pairs: Sequence[PromptPair]) -> Text:
    if any(pair.multiplier < 0 for pair in pairs) and any(pair.multiplier > 0 for pair in pairs):
        return _slide(pairs)
    pair = pairs[0]
    if pair.action == ERASE and pair.neutral:
        return text("“{concept}” is erased: “{neutral}” takes its place.", concept=pair.positive, neutral=pair.neutral)
    if pair.action == ERASE:
        return text("“{concept}” is erased: nothing particular takes its place.", concept=pair.positive)
    if pair.target:
        return text("“{target}” gets more of “{concept}”.", target=pair.target, concept=pair.positive)
    return text("All pictures get more of “{concept}”.", concept=pair.positive)


def _slide(pairs: Sequence[PromptPair]) -> Text:
    """From the end at -1 to the end at +1; the one that is not described is what the other one is not."""
    plus = [pair for pair in pairs if pair.multiplier > 0]
    raised = next((pair.positive for pair in plus if pair.action == ENHANCE), "")
    lowered = next((pair.positive for pair in plus if pair.action == ERASE), "")
    values = {"target": pairs[0].target, "plus": raised, "minus": lowered}
    if raised and lowered and values["target"]:
        return text("“{target}” slides from “{minus}” (-1) to “{plus}” (+1).", **values)
    if raised and lowered:
        return text("Pictures slide from “{minus}” (-1) to “{plus}” (+1).", minus=lowered, plus=raised)
    if raised:
        return text("Pictures slide from less (-1) to more (+1) of “{plus}”.", plus=raised)
    return text("Pictures slide from more (-1) to less (+1) of “{minus}”.", minus=lowered)
