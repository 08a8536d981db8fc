"""Everything that works behind the tab of a WebUI: surroundings, jobs, environment, page and routes, put together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..jobs.dispatcher import Dispatcher
from ..jobs.shelf import Job, Shelf
from . import app, routes
from .answers import Desk
from .blocked import block_folders, own_folders
from .checkpoint_lease import CheckpointLease
from .context import Context
from .environment_job import TrainerSetup
from .guard import Guard
from .host import detect
from .host_webui import WebUI
from .login import HostLogin, api_users
from .settings import START_QUEUE

SECONDS_TO_END = 10.0


class Program:
    """The program behind one load of the tab.

    Args:
        folder: of the extension, as the WebUI names it.
        is_reload: the WebUI's page is built anew; jobs that wait go on waiting for nobody.
    """

    def __init__(self, folder: Path, *, is_reload: bool) -> None:
        surroundings = detect()
        assert isinstance(surroundings, WebUI), "loaded by a WebUI"
        venv = surroundings.flag("tanren_venv")
        if venv:
            os.environ["TANREN_VENV"] = str(Path(venv).expanduser().absolute())
        self._folder, self._surroundings = folder, surroundings
        self._shelf = Shelf(surroundings.data_dir)
        self._setup = TrainerSetup(surroundings)
        self._lease = CheckpointLease(surroundings)
        self._guard = Guard(surroundings.access)
        self._dispatcher = Dispatcher(
            self._shelf,
            self._setup.python,
            self._lease.before_start,
            self._lease.after_end,
            paused=not is_reload and not surroundings.setting(START_QUEUE, False),
        )

    def page(self) -> Any:
        """The page for the tab."""
        return app.build(Context(self._surroundings, self._shelf, self._guard))

    def begin(self, blocks: Any, server: Any) -> None:
        """Answer requests, hide our folders from gradio's file route, and look after the jobs."""
        if blocks is not None:
            folders = own_folders(self._surroundings.data_dir, self._setup.folder, self._folder)
            block_folders(blocks, folders)
        login = HostLogin(server, api_users(self._surroundings.flag("api_auth")))
        desk = Desk(
            self._surroundings,
            self._shelf,
            self._guard.with_login(login),
            queue=self._dispatcher,
            setup=self._setup,
        )
        routes.install(server, desk)
        self._lease.adopt(self._running())
        self._dispatcher.start()

    def end(self) -> None:
        """Stop looking after the jobs, and let the WebUI make pictures as if we were not there."""
        self._dispatcher.stop(SECONDS_TO_END)
        self._surroundings.gate.open()

    def _running(self) -> list[Job]:
        return [job for job in self._shelf.all() if job.look().is_active]
