"""The standalone program: one process that serves the page and starts the trainings, which outlive it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastapi
import gradio as gr
import uvicorn

from ..errors import UserError
from ..jobs.dispatcher import Dispatcher
from ..jobs.shelf import Shelf
from ..paths import repository_folder
from . import app, routes
from .access import standalone_access
from .answers import Desk
from .blocked import block_folders, own_folders
from .context import Context
from .gate import Gate
from .guard import Guard
from .host_standalone import Standalone
from .login import TokenLogin
from .port import listen_on
from .server_options import EVERYWHERE, LOOPBACK, TOKEN_VARIABLE, ServerOptions, read_server_options
from .static_files import read_static_files

SECONDS_TO_CLOSE = 3
UPLOAD_BYTES = "200mb"
# Those of the system: a page without a network looks as it should.
FONT, MONO = ("system-ui", "sans-serif"), ("ui-monospace", "Consolas", "monospace")
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]


def main(words: Sequence[str]) -> int:
    """Serve the page until Ctrl-C, and return the exit code."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    program = "python launch.py" if repository_folder() else "tanren"
    try:
        options = read_server_options(words, os.environ, program=program)
        # Trainings inherit the environment; the token is none of their business.
        os.environ.pop(TOKEN_VARIABLE, None)
        return serve(options)
    except UserError as problem:
        print(problem, file=sys.stderr)
        return problem.code


def serve(options: ServerOptions) -> int:
    """Serve the page until a signal ends it; trainings go on."""
    listening = listen_on(options.address, options.port)
    port = int(listening.getsockname()[1])
    surroundings = Standalone(
        options.data_dir,
        standalone_access(options.address, has_token=bool(options.token), hosts=options.hosts, environ=os.environ),
        allowed=options.allowed,
        language=options.language,
        settings=options.settings,
    )
    shelf = Shelf(surroundings.data_dir)
    dispatcher = Dispatcher(shelf, lambda: Path(sys.executable), paused=not options.resume_queue)
    page = build_page(surroundings, shelf, dispatcher, options, port)
    dispatcher.start()
    try:
        Server(page, lambda: _say_where(options, port), proxied=bool(options.hosts or options.root_path)).run(
            [listening]
        )
    finally:
        dispatcher.stop()
        listening.close()
    print("Closed. Trainings that run go on; the next start shows them again.", flush=True)
    return 0


def build_page(
    surroundings: Standalone, shelf: Shelf, dispatcher: Dispatcher, options: ServerOptions, port: int
) -> Gate:
    """The whole web app: gradio's page, our routes, and the gate in front of both."""
    login = TokenLogin(options.token) if options.token else None
    guard = Guard(surroundings.access, login)
    static = read_static_files()
    blocks = app.build(Context(surroundings, shelf, guard))
    blocks.title = "Tanren"
    outer = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gr.mount_gradio_app(
        outer,
        blocks,
        path="/",
        server_name=options.address,
        server_port=port,
        footer_links=[],
        run_history=False,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        root_path=options.root_path or None,
        show_error=False,
        max_file_size=UPLOAD_BYTES,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Default(font=FONT, font_mono=MONO),
        head=static.head(),
    )
    block_folders(blocks, own_folders(surroundings.data_dir, Path(sys.prefix), repository_folder()))
    desk = Desk(surroundings, shelf, guard, queue=dispatcher)
    routes.install(outer, desk, static)
    return Gate(outer, replace(guard, login=None), login, options.root_path)


class Server(uvicorn.Server):
    """uvicorn on a socket that is bound already; a signal ends it, and what comes after it still runs.

    Args:
        page: the web app.
        on_ready: called once requests are answered.
        proxied: headers of a proxy on this machine are believed.
    """

    def __init__(self, page: Any, on_ready: Callable[[], None], *, proxied: bool) -> None:
        super().__init__(
            uvicorn.Config(
                page,
                log_level="warning",
                access_log=False,
                proxy_headers=proxied,
                server_header=False,
                timeout_graceful_shutdown=SECONDS_TO_CLOSE,
            )
        )
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at the first signal, at once at the second; uvicorn's own way would end the process with the signal."""
        before = {number: signal.signal(number, self._end) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, number: int, frame: object) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def _say_where(options: ServerOptions, port: int) -> None:
    if options.port not in (0, port):
        print(f"Port {options.port} is in use; this one is free: {port}.", flush=True)
    local = f"http://{_in_address(options.address)}:{port}{options.root_path}/"
    print(f"Tanren: {local}" + ("  (asks for your token)" if options.token else ""), flush=True)
    print("Ctrl-C closes it; trainings go on.", flush=True)
    if not options.headless and has_display():
        address = local + (f"?token={options.token}" if options.token else "")
        # Some systems wait until the browser is closed.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _in_address(address: str) -> str:
    """What others can type: for every network, the address that this machine has in its own."""
    shown = _own_address() if address in (EVERYWHERE, "::") else address
    return f"[{shown}]" if ":" in shown else shown


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: the system only chooses the way it would take to that address (kept for documentation).
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return LOOPBACK
        return str(probe.getsockname()[0])


def has_display() -> bool:
    """True when a browser that is opened here can be seen by the person who started this."""
    if sys.platform in ("win32", "darwin"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
