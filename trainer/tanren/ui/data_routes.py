"""The routes of the tab of pictures and captions: what is asked for by which address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from . import control_answers, data_answers, data_change_answers, data_history_answers
from .answers import Desk
from .data_needs import change, needs

Answer = Callable[[Desk, Request, dict[str, Any]], Any]
# The address of a picture names its version, so a browser may keep it.
KEPT = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=86400"}


def _asked(answer: Callable[[Desk, Any], Any]) -> Answer:
    """An answer that is made from what stands behind the question mark."""
    return lambda desk, request, body: answer(desk, request.query_params)


def _sent(answer: Callable[[Desk, dict[str, Any]], Any]) -> Answer:
    """An answer that is made from the body of the request."""
    return lambda desk, request, body: answer(desk, body)


def _picture(desk: Desk, request: Request, body: dict[str, Any]) -> Response:
    picture = data_answers.picture(desk, request.query_params)
    headers = {**KEPT, "ETag": picture.tag}
    if request.headers.get("if-none-match") == picture.tag:
        return Response(status_code=304, headers=headers)
    return Response(picture.content, media_type=picture.media_type, headers=headers)


def _table(desk: Desk, request: Request, body: dict[str, Any]) -> Response:
    content = data_change_answers.table(desk, request.query_params)
    headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": 'attachment; filename="captions.json"'}
    return Response(content, media_type="application/json", headers=headers)


ROUTES: tuple[tuple[str, str, Answer], ...] = (
    ("GET", "data/overview", _asked(data_answers.overview)),
    ("GET", "data/folders", _asked(data_answers.folders)),
    ("GET", "data/rows", _asked(data_answers.rows)),
    ("GET", "data/tags", _asked(data_answers.tags)),
    ("GET", "data/one", _asked(data_answers.one)),
    ("GET", "data/picture", _picture),
    ("GET", "data/tools", _asked(data_change_answers.tools)),
    ("GET", "data/sample", _asked(data_change_answers.sample)),
    ("GET", "data/table", _table),
    ("GET", "data/work", _asked(data_change_answers.work_state)),
    ("GET", "data/history", _asked(data_history_answers.history)),
    ("GET", "data/needs", _asked(lambda desk, query: needs(desk))),
    ("POST", "data/needs", _sent(change)),
    ("POST", "data/caption", _sent(data_change_answers.save_caption)),
    ("POST", "data/preview", _sent(data_change_answers.preview)),
    ("POST", "data/apply", _sent(data_change_answers.apply)),
    ("POST", "data/edges", _sent(control_answers.make_edges)),
    ("POST", "data/try", _sent(data_change_answers.try_tool)),
    ("POST", "data/work/stop", _sent(data_change_answers.stop_work)),
    ("POST", "data/undo", _sent(data_history_answers.undo)),
    ("POST", "data/forget", _sent(data_history_answers.forget)),
    ("POST", "data/redo", _sent(data_history_answers.redo)),
)
