"""The report of an import as HTML: what was taken, what was changed, what was left out and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .html import Html, join, render
from .imported import Imported
from .words import Words

REPORT = '<section class="tanren-report" role="status"><p><strong>{title}</strong></p><p>{sum}</p>{parts}</section>'
TABLE = (
    '<details open><summary>{title}</summary><div class="tanren-scroll"><table><thead><tr>{heads}</tr></thead>'
    "<tbody>{rows}</tbody></table></div></details>"
)


def import_report(imported: Imported, words: Words) -> Html:
    """Numbers first, then the three lists; what needs a look is unfolded."""
    total = words(
        "{taken} taken as they are, {changed} changed, {left} not taken.",
        taken=len(imported.taken),
        changed=len(imported.changed),
        left=len(imported.not_taken),
    )
    parts = [
        *_table(
            words("Taken in other words"),
            [words("In the file"), words("Value there"), words("Taken here as"), words("Reason for it")],
            [(name, before, after, words.finished(why)) for name, before, after, why in imported.changed],
        ),
        *_table(
            words("Not taken"),
            [words("In the file"), words("Value there"), words("Reason for it")],
            [(name, value, words.finished(why)) for name, value, why in imported.not_taken],
        ),
        *_notes(words("What no file remembers, and you choose"), imported.notes),
        *_names(words("Taken as they are"), imported.taken),
    ]
    return render(REPORT, title=words(imported.title), sum=total, parts=parts)


def _table(title: str, heads: Iterable[str], rows: Sequence[tuple[Any, ...]]) -> list[Html]:
    if not rows:
        return []
    return [
        render(
            TABLE,
            title=title,
            heads=join(render("<th>{text}</th>", text=head) for head in heads),
            rows=join(
                render("<tr>{cells}</tr>", cells=join(render("<td>{text}</td>", text=str(cell)) for cell in row))
                for row in rows
            ),
        )
    ]


def _notes(title: str, notes: Sequence[str]) -> list[Html]:
    if not notes:
        return []
    lines = join(render("<li>{text}</li>", text=note) for note in notes)
    return [render("<details open><summary>{title}</summary><ul>{lines}</ul></details>", title=title, lines=lines)]


def _names(title: str, names: Sequence[str]) -> list[Html]:
    if not names:
        return []
    return [render("<details><summary>{title}</summary><p>{names}</p></details>", title=title, names=", ".join(names))]
