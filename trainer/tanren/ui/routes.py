"""Our routes on the web server of the WebUI, or of the standalone program.

Only Starlette's own requests and responses are used, so that the routes are the same on the servers of all three gradio
lines. What they do may read files, so it runs on threads; the server goes on meanwhile.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from .. import __version__
from ..errors import BusyError, DataError, EnvironmentProblem, StorageError, UserError
from ..masking import masked, secrets_of_environment
from . import answers, data_routes, library_routes, lora_routes, storage_answers
from .answers import Desk
from .guard import BODY_BYTES, Refused, caller_of, too_large
from .samples_out import Picture
from .static_files import MEDIA_TYPES, StaticFiles

PREFIX, NAME = "/tanren", "tanren"
# Files of captions that a browser sends; a hundred thousand pictures have some ten megabytes.
LARGER_BODIES = dict.fromkeys(("data/preview", "data/apply"), 32 * 1024 * 1024)
DEEPEST_OFFSET = 2**63
STATUS = {BusyError: 409, DataError: 422, StorageError: 507, EnvironmentProblem: 503}
# The answer is never a page, is for this page only, and is not kept.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
}
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}

log = logging.getLogger("tanren.ui")

Answer = Callable[[Desk, Request, dict[str, Any]], Any]


def install(app: Any, desk: Desk, static: StaticFiles | None = None) -> None:
    """Put our routes in front of an app's own; those of an earlier call on the same app go.

    Args:
        app: FastAPI or Starlette; after Reload UI the WebUI has a new one.
        desk: what the answers are made from; its guard knows the login of this app.
        static: script and style, where no WebUI serves them.
    """
    listed = app.router.routes
    listed[:] = [
        Mount(PREFIX, routes=api_routes(desk, static), name=NAME),
        *(item for item in listed if not _is_ours(item)),
    ]


def api_routes(desk: Desk, static: StaticFiles | None = None) -> list[BaseRoute]:
    """Every route below `/tanren`."""
    table: list[tuple[str, str, Answer]] = [
        ("GET", "state", lambda desk, request, body: answers.state(desk)),
        ("GET", "words", lambda desk, request, body: answers.words(request.query_params.get("language", ""))),
        ("GET", "jobs", lambda desk, request, body: answers.jobs(desk)),
        ("GET", "jobs/{id}", lambda desk, request, body: answers.job_detail(desk, _id(request), _since(request))),
        ("GET", "jobs/{id}/log", lambda desk, request, body: answers.job_log(desk, _id(request), _since(request))),
        ("GET", "jobs/{id}/sample/{file}", _sample),
        ("POST", "jobs/{id}/use", lambda desk, request, body: answers.use(desk, _id(request), body)),
        ("POST", "jobs/{id}/try", lambda desk, request, body: answers.try_it(desk, _id(request), body)),
        ("POST", "jobs/{id}/{action}", _act),
        ("GET", "environment", lambda desk, request, body: answers.environment(desk)),
        ("POST", "environment/{word}", _environment),
        ("POST", "queue/start", lambda desk, request, body: answers.start_queue(desk)),
        ("GET", "trash", lambda desk, request, body: storage_answers.trashed(desk.shelf)),
        ("POST", "trash/{id}/{action}", _change_trash),
        ("GET", "cache", lambda desk, request, body: storage_answers.cache(desk.shelf)),
        ("POST", "cache/empty", lambda desk, request, body: storage_answers.empty_cache(desk.shelf)),
        *lora_routes.ROUTES,
        *data_routes.ROUTES,
        *library_routes.ROUTES,
    ]
    routes: list[BaseRoute] = [
        Route(f"/api/{path}", _endpoint(desk, answer, write=method == "POST", path=path), methods=[method])
        for method, path, answer in table
    ]
    if static is not None:
        routes += [Route(f"/static/{name}", _static(content, name)) for name, content in static.contents.items()]
    every = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return [*routes, Route("/{rest:path}", _endpoint(desk, _unknown, write=False), methods=every)]


def _endpoint(desk: Desk, answer: Answer, *, write: bool, path: str = "") -> Callable[[Request], Any]:
    """A route: check the caller, read the body, answer on a thread."""

    async def endpoint(request: Request) -> Response:
        try:
            caller = caller_of(request)
            desk.guard.check(caller, write=write)
            body: dict[str, Any] = {}
            if write:
                most = LARGER_BODIES.get(path, BODY_BYTES)
                desk.guard.check_body(caller, most)
                body = await _body(request, most)
            return await run_in_threadpool(_answered, desk, answer, request, body)
        except UserError as problem:
            return _refused(problem, desk)

    return endpoint


def _answered(desk: Desk, answer: Answer, request: Request, body: dict[str, Any]) -> Response:
    try:
        found = answer(desk, request, body)
        return found if isinstance(found, Response) else _json(found)
    except UserError:
        raise
    except Exception:
        # A fault of ours: the page gets a sentence, the WebUI's console the traceback.
        log.exception("A fault while answering %s:", request.url.path)
        return _json({"problem": FAULT}, 500)


FAULT = {
    "code": 1,
    "where": "",
    "what": "Tanren itself failed at this.",
    "why": "",
    "fix": f"The console of the server has the details; please report them with the version ({__version__}).",
}


async def _body(request: Request, most: int) -> dict[str, Any]:
    """The JSON object of a request; never more of it than the limit is kept."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > most:
            raise too_large(most)
    # A large one takes a moment, and the WebUI answers others meanwhile.
    return await run_in_threadpool(_object_in, bytes(content))


def _object_in(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content or b"{}", parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused(400, what="The request is not valid JSON.", why=type(error).__name__) from error
    if not isinstance(body, dict):
        raise Refused(400, what="The request is not a JSON object.")
    return body


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _sample(desk: Desk, request: Request, body: dict[str, Any]) -> Response:
    picture: Picture = answers.job_sample(desk, _id(request), request.path_params["file"])
    # A browser may keep a picture, and asks each time whether it is still the same.
    headers = {**HEADERS, "Cache-Control": "private, no-cache", "ETag": picture.tag}
    if request.headers.get("if-none-match") == picture.tag:
        return Response(status_code=304, headers=headers)
    return Response(picture.content, media_type=picture.media_type, headers=headers)


def _act(desk: Desk, request: Request, body: dict[str, Any]) -> Any:
    return answers.act(desk, _id(request), request.path_params["action"], body)


def _change_trash(desk: Desk, request: Request, body: dict[str, Any]) -> Any:
    return storage_answers.change_trash(desk.shelf, _id(request), request.path_params["action"])


def _environment(desk: Desk, request: Request, body: dict[str, Any]) -> Any:
    return answers.change_environment(desk, request.path_params["word"])


def _unknown(desk: Desk, request: Request, body: dict[str, Any]) -> Any:
    raise Refused(404, what="There is no such address.", fix="Load the page anew; Tanren may have been updated.")


def _static(content: bytes, name: str) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=MEDIA_TYPES[name], headers={**HEADERS, **FOREVER})

    return endpoint


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _since(request: Request) -> int:
    text = request.query_params.get("since", "0")
    if not (text.isascii() and text.isdecimal() and int(text[:20]) < DEEPEST_OFFSET):
        raise Refused(400, what="`since` is not a place in the file.", fix="Use the number that the last answer gave.")
    return int(text)


def _refused(problem: UserError, desk: Desk) -> Response:
    status = problem.status if isinstance(problem, Refused) else STATUS.get(type(problem), 400)
    content = answers.problem(problem, desk.surroundings.language())
    return _json(masked(content, secrets_of_environment()), status)


def _json(content: Any, status: int = 200) -> Response:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A name on disk that is not UTF-8 comes as lone surrogates, which UTF-8 does not have.
    data = text.encode("utf-8", "backslashreplace")
    return Response(data, status, media_type="application/json", headers=HEADERS)


def _is_ours(item: Any) -> bool:
    return isinstance(item, Mount) and getattr(item, "name", None) == NAME and item.path == PREFIX
