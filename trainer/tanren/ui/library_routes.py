"""The routes of the table of all LoRA files: what is asked for by which address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from . import library_answers
from .answers import Desk

Answer = Callable[[Desk, Request, dict[str, Any]], Any]


def _asked(answer: Callable[[Desk, Any], Any]) -> Answer:
    """An answer that is made from what stands behind the question mark."""
    return lambda desk, request, body: answer(desk, request.query_params)


ROUTES: tuple[tuple[str, str, Answer], ...] = (
    ("GET", "library", _asked(library_answers.overview)),
    ("GET", "library/rows", _asked(library_answers.rows)),
    ("GET", "library/paths", _asked(library_answers.paths)),
    ("GET", "library/find", _asked(library_answers.find)),
    ("GET", "library/refresh", _asked(library_answers.refresh)),
    ("POST", "library/work", lambda desk, request, body: library_answers.change_work(desk, body)),
)
