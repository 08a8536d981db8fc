"""The questions of a training without pictures (LECO): what to change, what counts as neutral, how strongly.

The questions stand for the option `prompts_file`: together they are the content of a LECO prompt file with one entry.
A file that says more than they can ask is shown as text, and then counts instead of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import Problems, UsageError
from ..formats.leco_prompts import CONTAINERS, ENHANCE, ERASE, is_size
from ..options.contents import CONCEPTS
from .fields import CHOICE, INTEGER, NUMBER, TEXT, Field

GROUP = "Simple view"
ACTION, WHAT, PLUS, MINUS = "concept_action", "concept", "concept_plus", "concept_minus"
NEUTRAL, STRENGTH, SIZE, BATCH = "concept_neutral", "concept_strength", "concept_size", "concept_batch"
ERASES, STRENGTHENS, SLIDES = "Erase it", "Strengthen it", "Make a slider"
ACTIONS = (ERASES, STRENGTHENS, SLIDES)
OWN = (
    Field(
        name=ACTION,
        group=GROUP,
        label="What to do with the concept",
        help="A slider is one LoRA that is used with plus and with minus: old at +1, young at -1.",
        kind=CHOICE,
        choices=ACTIONS,
        default=ERASES,
        level="basic",
    ),
    Field(
        name=WHAT,
        group=GROUP,
        label="What to erase or to strengthen",
        help="In the words of a prompt: a style, a thing, a habit of the model, such as “van gogh” or “glasses”.",
        kind=TEXT,
        level="basic",
    ),
    Field(
        name=PLUS,
        group=GROUP,
        label="One end of the slider, at +1",
        help="In the words of a prompt, with the thing itself: “old person”.",
        kind=TEXT,
        level="basic",
    ),
    Field(
        name=MINUS,
        group=GROUP,
        label="The other end, at -1",
        help="“young person”. One of the two ends may stay empty.",
        kind=TEXT,
        level="basic",
    ),
    Field(
        name=NEUTRAL,
        group=GROUP,
        label="What counts as neutral",
        help="Erasing: what is to be there instead, such as “painting”. Else: what changes, such as “person”. "
        "Empty: anything.",
        kind=TEXT,
        level="basic",
    ),
    Field(
        name=STRENGTH,
        group=GROUP,
        label="Strength of the change",
        help="How far the concept is moved. 1 is usual; 0.5 is gentle; 2 and more change other things too.",
        kind=NUMBER,
        minimum=0,
        default=1.0,
        level="basic",
    ),
    Field(
        name=SIZE,
        group=GROUP,
        label="Size of the pictures",
        help="The size that the model was made for, in pixels: one number, or WIDTH,HEIGHT.",
        kind=TEXT,
        default="512",
        level="basic",
    ),
    Field(
        name=BATCH,
        group=GROUP,
        label="Pictures at once",
        help="How many beginnings of pictures are compared in a step.",
        kind=INTEGER,
        minimum=1,
        default=1,
        level="basic",
    ),
)
NAMES = tuple(field.name for field in OWN)
USUAL = {field.name: field.default if field.default is not None else "" for field in OWN}
# Keys of a prompt file that say how something is learned, by the question that asks for them.
KEYS = {SIZE: "resolution", BATCH: "batch_size", STRENGTH: "guidance_scale"}
MOST_PROMPTS = 4
# Elements around the questions, which are hidden with them.
COLUMN, ENDS_ROW, HOW_ROW = "tanren-concept", "tanren-concept-ends", "tanren-concept-how"

Content = Mapping[str, Any]


def read_concept(own: Mapping[str, Any], options: dict[str, Any], problems: Problems) -> None:
    """Put what the questions say into the options, unless the text of a prompt file stands there already.

    Args:
        own: values of the questions, by name.
        options: gets `prompts_file` once there is something to change.
        problems: every answer that cannot be read.
    """
    if options.get(CONCEPTS):
        return
    shared, entry = _shared(own, problems), _entry(own)
    if entry is not None:
        options[CONCEPTS] = {**shared, **entry}


def content_of(own: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of the prompt file that the questions mean, as far as they can be read; without an entry if there is
    nothing to change yet."""
    return {**_shared(own, Problems()), **(_entry(own) or {})}


def recognised(content: Any) -> dict[str, Any] | None:
    """The values of the questions that mean exactly this content; None where they cannot say it."""
    if not isinstance(content, Mapping):
        return None
    own = {**USUAL, **_values(content)}
    return own if content_of(own) == content else None


def how(content: Any) -> dict[str, Any]:
    """What of a content says how something is learned: all but its entries."""
    return {key: value for key, value in content.items() if key not in CONTAINERS} if is_content(content) else {}


def what(content: Any) -> dict[str, Any]:
    """What of a content says what is learned: its entries."""
    return {key: value for key, value in content.items() if key in CONTAINERS} if is_content(content) else {}


def is_content(value: Any) -> bool:
    """False for the path of a file, and for nothing."""
    return isinstance(value, Mapping)


def taught_like(mine: Any, preset: Any) -> Any:
    """A form's content as a preset has it learned; the preset's own example where the form has nothing to learn."""
    if isinstance(mine, str) and mine:
        return mine
    return {**how(mine), **how(preset), **(what(mine) or what(preset))} or None


def changed_questions(mine: Any, preset: Any) -> list[str]:
    """The questions whose answers differ from a preset's."""
    if recognised(mine) is None:
        return [CONCEPTS] if how(mine) != how(preset) else []
    return [name for name, key in KEYS.items() if how(mine).get(key) != how(preset).get(key)]


def missing(raw: Mapping[str, Any]) -> UsageError:
    """What to say while nothing is named that could be changed."""
    where = f"--{CONCEPTS}"
    if raw.get(ACTION) == SLIDES:
        return UsageError(where=where, what="The slider has no ends yet.", fix="Describe at least one of them.")
    return UsageError(where=where, what="The concept is not named yet.", fix="Type it in, in the words of a prompt.")


def question_of(raw: Mapping[str, Any]) -> str:
    """The field that stands for the prompt file: its text where there is one, else the first question."""
    if raw.get(CONCEPTS):
        return CONCEPTS
    return PLUS if raw.get(ACTION) == SLIDES else WHAT


def unasked(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The elements of questions that mean nothing beside the answers to the others, and of rows of nothing else."""
    if raw.get(CONCEPTS):
        return (ENDS_ROW, HOW_ROW, *map(element_of, NAMES))
    if raw.get(ACTION) == SLIDES:
        return tuple(map(element_of, (CONCEPTS, WHAT)))
    return (ENDS_ROW, *map(element_of, (CONCEPTS, PLUS, MINUS)))


def element_of(name: str) -> str:
    """The element of a field on the page."""
    return f"tanren-field-{name}"


def sample_prompts(content: Any) -> list[str]:
    """Prompts that show what a content changes: the concept, and what it shall be like."""
    if not is_content(content):
        return []
    found: dict[str, None] = {}
    for entry in _entries(content):
        asked = [entry.get("target"), entry.get("neutral")]
        if "target_class" in entry:
            asked = [entry["target_class"]] if entry["target_class"] else [entry.get("positive"), entry.get("negative")]
        elif entry.get("action") == ENHANCE and not entry.get("target"):
            asked = [entry.get("positive")]
        texts = [text for text in asked if isinstance(text, str) and text.strip()]
        found |= dict.fromkeys(f"{text}{_sides(entry, content)} --d 1" for text in texts)
    return list(found)[:MOST_PROMPTS]


def _entries(content: Content) -> Iterable[Content]:
    slider = content.get("slider")
    inner = slider if isinstance(slider, Mapping) else {}
    for listed in (content.get("prompts"), content.get("targets"), inner.get("targets")):
        yield from (one for one in listed if isinstance(one, Mapping)) if isinstance(listed, list) else ()


def _sides(entry: Content, content: Content) -> str:
    size = entry.get("resolution", content.get("resolution", 512))
    height, width = (size, size) if isinstance(size, int) else size if is_size(size) else (512, 512)
    return f" --w {width} --h {height}"


def _shared(own: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    shared: dict[str, Any] = {"resolution": _size(own, problems), "batch_size": _whole(own, problems)}
    shared["guidance_scale"] = _number(own, problems)
    return {key: value for key, value in shared.items() if value is not None}


def _entry(own: Mapping[str, Any]) -> dict[str, Any] | None:
    """The one entry, under the name of its list; None where nothing is named."""
    concept, plus, minus, neutral = (_text(own.get(name)) for name in (WHAT, PLUS, MINUS, NEUTRAL))
    if own.get(ACTION) == SLIDES:
        ends = {"positive": plus, "negative": minus}
        given = {key: text for key, text in ends.items() if text}
        also = {"neutral": neutral} if neutral else {}
        return {"targets": [{"target_class": neutral, **given, **also}]} if given else None
    if not concept:
        return None
    if own.get(ACTION) == STRENGTHENS:
        return {"prompts": [{"action": ENHANCE, "target": neutral, "positive": concept, "neutral": neutral}]}
    return {"prompts": [{"action": ERASE, "target": concept, **({"neutral": neutral} if neutral else {})}]}


def _values(content: Content) -> dict[str, Any]:
    """The answers that a content suggests, to be held against it."""
    own: dict[str, Any] = {}
    if "resolution" in content:
        size = content["resolution"]
        own[SIZE] = f"{size[1]},{size[0]}" if is_size(size) else str(size)
    own |= {name: content[key] for name, key in KEYS.items() if name != SIZE and key in content}
    entry: Content = next(iter(_entries(content)), {})
    if "target_class" in entry:
        ends = {PLUS: entry.get("positive", ""), MINUS: entry.get("negative", "")}
        return {**own, ACTION: SLIDES, NEUTRAL: entry["target_class"], **ends}
    if entry.get("action") == ENHANCE:
        return {**own, ACTION: STRENGTHENS, WHAT: entry.get("positive", ""), NEUTRAL: entry.get("neutral", "")}
    return {**own, WHAT: entry.get("target", ""), NEUTRAL: entry.get("neutral", "")}


def _size(own: Mapping[str, Any], problems: Problems) -> Any:
    """A number of pixels, or height and width."""
    given = own.get(SIZE)
    words = str(USUAL[SIZE] if given in (None, "") else given).replace("x", ",").split(",")
    try:
        sides = [int(float(word)) for word in words]
    except (ValueError, OverflowError):
        sides = []
    if len(sides) in (1, 2) and is_size([sides[-1], sides[0]]):
        return sides[0] if len(set(sides)) == 1 else [sides[1], sides[0]]
    what = f"{given} is neither one number of pixels nor WIDTH,HEIGHT."
    problems.add(UsageError(where=f"--{SIZE}", what=what, fix="Sides are multiples of 8 from 64 to 4096: 512."))
    return None


def _whole(own: Mapping[str, Any], problems: Problems) -> int | None:
    number = _read_number(own, BATCH)
    if number is not None and number == int(number) and 1 <= number <= 1024:
        return int(number)
    what = f"{own.get(BATCH)} is not a whole number from 1 to 1024."
    problems.add(UsageError(where=f"--{BATCH}", what=what))
    return None


def _number(own: Mapping[str, Any], problems: Problems) -> float | None:
    number = _read_number(own, STRENGTH)
    if number is not None and 0 <= number <= 100:
        return number
    problems.add(UsageError(where=f"--{STRENGTH}", what=f"{own.get(STRENGTH)} is not a number from 0 to 100."))
    return None


def _read_number(own: Mapping[str, Any], name: str) -> float | None:
    """A number as a field gives it; None for what is none."""
    given = own.get(name)
    try:
        number = float(USUAL[name] if given in (None, "") else given)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < 1e9 else None


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""
