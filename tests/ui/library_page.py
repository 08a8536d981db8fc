"""A page with our script, style and real routes, and nothing else: for tests that look at LoRA files in a browser."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from tanren.jobs.shelf import Shelf
from tanren.ui import routes
from tanren.ui.access import Access
from tanren.ui.answers import Desk
from tanren.ui.guard import Guard
from tanren.ui.host_standalone import Standalone
from tanren.ui.static_files import read_static_files
from ui.page.serving import THEME

BODY = '<div id="tanren-library"></div><div id="tanren-lora"></div>'


@dataclass(frozen=True)
class LibraryPage:
    """A running page.

    Args:
        address: of the page.
        desk: what its answers are made from.
    """

    address: str
    desk: Desk


@contextlib.contextmanager
def serve_library(data_dir: Path, folder: Path | None, body: str = BODY, **more: Any) -> Iterator[LibraryPage]:
    """Serve the page of a library until the block ends."""
    access = more.pop("access", Access(is_public=False))
    around = Standalone(data_dir, access, settings={"lora_dir": str(folder)} if folder else {}, **more)
    desk, static = Desk(around, Shelf(data_dir), Guard(access)), read_static_files()
    page = '<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    page += f"<title>Library</title><style>{THEME}</style>{static.head()}</head><body>{body}</body></html>"
    app = Starlette(routes=[Route("/", lambda request: HTMLResponse(page))])
    routes.install(app, desk, static)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield LibraryPage(f"http://127.0.0.1:{listening.getsockname()[1]}/", desk)
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
