"""The routes of the tab of LoRA files: what is asked for by which address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from . import lora_answers, lora_dropped, lora_edit_answers
from .answers import Desk

Answer = Callable[[Desk, Request, dict[str, Any]], Any]
KEPT_SHORTLY = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache"}


def _asked(answer: Callable[[Desk, Any], Any]) -> Answer:
    """An answer that is made from what stands behind the question mark."""
    return lambda desk, request, body: answer(desk, request.query_params)


def _sent(answer: Callable[[Desk, dict[str, Any]], Any]) -> Answer:
    """An answer that is made from the body of the request."""
    return lambda desk, request, body: answer(desk, body)


def _picture(desk: Desk, request: Request, body: dict[str, Any]) -> Response:
    content = lora_answers.picture(desk, request.query_params)
    return Response(content, media_type="image/png", headers=KEPT_SHORTLY)


ROUTES: tuple[tuple[str, str, Answer], ...] = (
    ("GET", "lora/file", _asked(lora_answers.one_file)),
    ("GET", "lora/raw", _asked(lora_answers.raw)),
    ("GET", "lora/picture", _picture),
    ("GET", "lora/hashes", _asked(lora_answers.hashes)),
    ("GET", "lora/compare", _asked(lora_answers.compare)),
    ("GET", "lora/again", _asked(lora_answers.again)),
    ("GET", "lora/norms", _asked(lora_answers.norms)),
    ("POST", "lora/norms/start", _sent(lora_answers.start_norms)),
    ("POST", "lora/norms/cancel", _sent(lora_answers.cancel_norms)),
    ("POST", "lora/dropped", _sent(lora_dropped.dropped)),
    ("POST", "lora/edit", _sent(lora_edit_answers.edit)),
    ("POST", "lora/undo", _sent(lora_edit_answers.undo)),
)
