"""What a press of a button said: done, or refused and why."""

from __future__ import annotations

from ..errors import SeveralProblems, UserError
from .html import Html, join, render
from .words import Words

DONE = '<p class="tanren-said" role="status">{text}</p>'


def done(sentence: str, words: Words, /, **values: object) -> Html:
    """A sentence that says what was done."""
    return render(DONE, text=words(sentence, **values))


def refused(problem: UserError, words: Words) -> Html:
    """A problem, or all of several, as the command line would say them."""
    parts = problem.problems if isinstance(problem, SeveralProblems) else (problem,)
    return join(_shown(part, words) for part in parts)


def _shown(problem: UserError, words: Words) -> Html:
    lines = [words.finished(text) for text in (problem.what, problem.why, problem.fix) if text]
    place = [render("<strong>{where}</strong> ", where=problem.where)] if problem.where else []
    shown = join(render("<p>{text}</p>", text=line) for line in lines)
    return render('<div class="tanren-said tanren-wrong" role="alert">{place}{lines}</div>', place=place, lines=shown)
