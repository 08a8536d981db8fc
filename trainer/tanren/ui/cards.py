"""The outcome of a check as HTML: the plan, the pictures, memory and disk, and what is wrong.

The page script reads it too: `data-can-start`, `data-changed` (fields that differ from the preset), `data-field` and
`data-text` of every problem and warning, `data-use-level` with `data-level-field` of buttons that put a value into
a field, and `data-wish` of buttons that ask the server for several values at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..disk import size_text
from ..room import Room
from .checking import Checked
from .estimates import FITS, OVER, TIGHT, MemoryEstimate
from .flag_labels import labelled
from .html import Html, join, render
from .picture_card import LOOK, picture_card
from .places import FoundProblem, Notice, Remedy
from .remedies import Wish
from .words import Text, Words, counted, text

MOST_SHOWN = 50
# How the reader of captions begins (formats/captions.py).
NOT_UTF8 = "The text is not in utf-8: "
PICTURES = frozenset({"pictures", "train_data_dir", "dataset_config", "in_json"})
CONCEPTS = frozenset({"prompts_file", "concept", "concept_plus"})
FieldOf = Callable[[str], str]
NOTHING = Html("")
PLAN = (
    '<div class="tanren-card tanren-plan" data-can-start="{can_start}" data-changed="{changed}">'
    '<p class="tanren-sentence" role="status">{sentence}</p>{parts}</div>'
)
SECTION = '<section class="tanren-section"><h4>{title}</h4>{content}</section>'
REMEDY = (
    '<button type="button" class="tanren-remedy" data-use-level="{value}" data-level-field="{field}">{label}</button>'
)
WISH = '<button type="button" class="tanren-remedy" data-wish="{values}">{label}</button> '
METER = (
    '<meter class="tanren-meter tanren-{level}" min="0" low="{free}" high="{free}" optimum="0" max="{max}" '
    'value="{value}"></meter>'
)
LEVELS = {
    FITS: "It fits.",
    TIGHT: "It may be too little.",
    OVER: "That is too little.",
}


def plan(
    checked: Checked,
    words: Words,
    *,
    changed: Iterable[str] = (),
    field_of: FieldOf = lambda name: name,
    subject: Html = NOTHING,
) -> Html:
    """The whole panel beside the form.

    Args:
        checked: the outcome.
        words: of the page's language.
        changed: names of fields that differ from the preset.
        field_of: name of the field on the page that stands for an option.
        subject: what a training without pictures learns.
    """
    parts = [
        _problems(checked.problems, words, field_of),
        subject,
        _trained(checked, words),
        *([picture_card(checked.caption_card, words)] if checked.caption_card else []),
        *([_memory(checked.memory, checked.savers, words)] if checked.memory else []),
        *([_disk(checked.room, words)] if checked.room else []),
        _warnings(checked.warnings, words, field_of),
    ]
    return render(
        PLAN,
        can_start="true" if checked.can_start else "false",
        changed=" ".join(changed),
        sentence=words(checked.sentence or _instead_of_a_sentence(checked, field_of)),
        parts=parts,
    )


def _instead_of_a_sentence(checked: Checked, field_of: FieldOf) -> Text:
    """What stands where the plan's line will be."""
    fields = {field_of(problem.name) for problem in checked.problems if problem.name}
    if fields & CONCEPTS:
        return text("The plan appears when the concept is named.")
    if fields and fields.isdisjoint(PICTURES):
        return text("The plan appears when what is wrong is put right.")
    return text("The plan appears when pictures are chosen.")


def section(title: str, content: Iterable[Html], words: Words) -> Html:
    """A part of the panel under a heading; nothing when it is empty."""
    inner = join(content)
    return render(SECTION, title=words(title), content=inner) if inner else inner


def lines(sentences: Iterable[str]) -> Html:
    """One paragraph for each sentence."""
    return join(render("<p>{text}</p>", text=sentence) for sentence in sentences)


def _problems(problems: Sequence[FoundProblem], words: Words, field_of: FieldOf) -> Html:
    if not problems:
        return Html("")
    shown = [_problem(problem, words, field_of) for problem in problems[:MOST_SHOWN]]
    return render(
        '<div class="tanren-problems" role="alert"><p class="tanren-wrong">{title}</p><ul>{shown}</ul>{more}</div>',
        title=words(counted(len(problems), "{count} thing is still wrong:", "{count} things are still wrong:")),
        shown=shown,
        more=_more(len(problems), words),
    )


def _problem(problem: FoundProblem, words: Words, field_of: FieldOf) -> Html:
    sentences = [_finished(one, words) for one in (problem.what, problem.why, problem.fix) if one]
    field = field_of(problem.name) if problem.name else ""
    is_file = Path(problem.where).is_absolute()
    is_other = problem.name in CONCEPTS and field != problem.name
    heads = (
        [words(problem.label)] if problem.label and not (is_file and problem.name in PICTURES) and not is_other else []
    )
    if problem.where and problem.where.lstrip("-") != problem.name and not is_other:
        heads.append(problem.where)
    told = " ".join([f"{Path(problem.where).name}:", *sentences] if is_file else sentences)
    return render(
        '<li class="tanren-problem" data-field="{field}" data-text="{told}">{heads}{lines}{buttons}</li>',
        field=field,
        told=told,
        heads=[render("<strong>{head}</strong> ", head=head) for head in heads],
        lines=lines(sentences),
        buttons=[
            *([_button(problem.remedy, words, field_of)] if problem.remedy else []),
            *(_wish(wish, words) for wish in problem.wishes),
            *([_to_converting(problem, words)] if is_file and problem.what.startswith(NOT_UTF8) else []),
        ],
    )


def _finished(sentence: str, words: Words) -> str:
    return labelled(words.finished(sentence), words)


def _to_converting(problem: FoundProblem, words: Words) -> Html:
    label = words("Convert the captions to UTF-8")
    return render(LOOK, folder=str(Path(problem.where).parent), flag="encoding", label=label)


def _button(remedy: Remedy, words: Words, field_of: FieldOf) -> Html:
    return render(
        REMEDY,
        value=remedy.value,
        field=field_of(remedy.name),
        label=words("Use {value}", value=remedy.value),
    )


def _wish(wish: Wish, words: Words) -> Html:
    return render(WISH, values=wish.text, label=words(wish.label))


def _warnings(warnings: Sequence[Notice], words: Words, field_of: FieldOf) -> Html:
    if not warnings:
        return Html("")
    shown = [
        render(
            '<li class="tanren-warning" data-field="{field}" data-text="{told}">{told} {buttons}</li>',
            field=field_of(notice.name) if notice.name else "",
            told=_finished(notice.text, words),
            buttons=[_wish(wish, words) for wish in notice.wishes],
        )
        for notice in warnings[:MOST_SHOWN]
    ]
    return render(
        '<details class="tanren-warnings" open><summary>{title}</summary><ul>{shown}</ul>{more}</details>',
        title=words(counted(len(warnings), "{count} note on these settings", "{count} notes on these settings")),
        shown=shown,
        more=_more(len(warnings), words),
    )


def _more(total: int, words: Words) -> Html:
    left = total - MOST_SHOWN
    return lines([words(counted(left, "and {count} more", "and {count} more"))] if left > 0 else [])


def _trained(checked: Checked, words: Words) -> Html:
    sentences = [words(part) for part in checked.trained]
    if checked.base_model:
        sentences.insert(0, words("The base model is {kind}.", kind=text(checked.base_model)))
    return section("What will be trained", [lines(sentences)] if checked.trained else [], words)


def _memory(estimate: MemoryEstimate, savers: Sequence[str], words: Words) -> Html:
    need = estimate.need
    title = "Graphics memory" if estimate.on_gpu else "Main memory (no GPU is used)"
    sizes = {"about": size_text(need.peak), "upper": size_text(need.upper)}
    sentences = [_room_text(estimate, sizes)]
    if estimate.level in LEVELS:
        sentences.append(text(LEVELS[estimate.level]))
    if estimate.level in (TIGHT, OVER) and savers:
        sentences.append(text("What would help: {savers}.", savers="; ".join(savers)))
    if need.main:
        sentences.append(text("Main memory: about {size}.", size=size_text(need.main)))
    shown = lines([words(sentence) for sentence in sentences])
    return section(
        title,
        [_meter(estimate), render('<div class="tanren-{level}">{shown}</div>', level=estimate.level, shown=shown)],
        words,
    )


def _room_text(estimate: MemoryEstimate, sizes: dict[str, str]) -> Text:
    if estimate.free is None:
        return text("About {about}, perhaps up to {upper} (estimated).", **sizes)
    return text(
        "About {about}, perhaps up to {upper} (estimated); {free} are free.", **sizes, free=size_text(estimate.free)
    )


def _meter(estimate: MemoryEstimate) -> Html:
    if estimate.free is None:
        return Html("")
    largest = max(estimate.need.upper, estimate.total or 0, estimate.free)
    return render(
        METER,
        level=estimate.level,
        free=estimate.free,
        max=largest,
        value=estimate.need.peak,
    )


def _disk(room: Room, words: Words) -> Html:
    sentences = []
    if room.output_bytes is not None and room.file_bytes is not None:
        sentences.append(
            text(
                "{file} a file, at most {all} at the same time; {free} are free.",
                file=size_text(room.file_bytes),
                all=size_text(room.output_bytes),
                free=size_text(room.output_free),
            )
        )
    if room.cache_bytes:
        sentences.append(
            text(
                "Cached pictures: {size}; {free} are free.",
                size=size_text(room.cache_bytes),
                free=size_text(room.cache_free),
            )
        )
    return section("Room on the disk", [lines(words(sentence) for sentence in sentences)] if sentences else [], words)
