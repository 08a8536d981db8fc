"""Tanren as an extension of a WebUI: what the WebUI calls, and when.

Whatever goes wrong in here costs our tab only: the WebUI comes up without it, and its console says why.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..paths import data_folder
from .host import LEASE_MARKER, detect, host_module
from .settings import add_settings

TITLE, ELEMENT = "Tanren", "tanren"
# Left on a module of the WebUI, which stays when the UI is reloaded and ours do not.
WAS_LOADED = "tanren_was_loaded"

log = logging.getLogger("tanren.ui")


def register(script_callbacks: Any, folder: Path) -> None:
    """Tell the WebUI what to call; nothing else is done yet.

    Args:
        script_callbacks: the WebUI's module. Older ones take no names for callbacks, so none are given.
        folder: of the extension, as the WebUI names it; it may be a link.
    """
    extension = Extension(folder, is_reload=hasattr(script_callbacks, WAS_LOADED))
    setattr(script_callbacks, WAS_LOADED, True)
    _reporting("A running training could not be looked after", extension.hold_early)()
    # To tell whose callback it is, the WebUI looks up the module of every frame below us, each time. The frames of its
    # loader belong to none: in Forge that took 0.7 s of one core. From a thread of its own it takes 0.04 s.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_add_callbacks, script_callbacks, extension).result()


def _add_callbacks(script_callbacks: Any, extension: Extension) -> None:
    script_callbacks.on_ui_settings(_reporting("Its settings are missing", extension.settings))
    script_callbacks.on_ui_tabs(_reporting("The tab could not be made", extension.tabs, []))
    script_callbacks.on_app_started(_reporting("The tab does not work", extension.started))
    script_callbacks.on_script_unloaded(_reporting("It could not be ended", extension.closed))


class Extension:
    """One load of the extension, until the WebUI's page is built anew.

    Args:
        folder: as the WebUI names it.
        is_reload: the page is built anew in a WebUI that runs already.
    """

    def __init__(self, folder: Path, *, is_reload: bool) -> None:
        self._folder, self._is_reload = folder, is_reload

    @functools.cached_property
    def _program(self) -> Any:
        # Not at the top: this imports what is needed for jobs, and the WebUI's settings page needs none of it.
        from .extension_program import Program

        return Program(self._folder, is_reload=self._is_reload)

    def hold_early(self) -> None:
        """Keep the WebUI from loading its model where a training runs, which began before this start."""
        shared = host_module("modules.shared")
        data_dir = data_folder(getattr(shared.cmd_opts, "tanren_data_dir", None)) if shared is not None else None
        if data_dir is not None and (data_dir / LEASE_MARKER).exists():
            from .checkpoint_lease import hold_early

            hold_early(detect())

    def settings(self) -> None:
        """Add our section to the settings page."""
        add_settings(host_module("modules.shared"))

    def tabs(self) -> list[tuple[Any, str, str]]:
        """Our tab: the page, its title (never translated by us: the WebUI keeps it in its files), its id."""
        return [(self._program.page(), TITLE, ELEMENT)]

    def started(self, blocks: Any, app: Any) -> None:
        """Add the routes to the web server that just started, and begin to look after the jobs.

        Args:
            blocks: the WebUI's page; None when it was started without one.
            app: its FastAPI application, a new one after each reload.
        """
        self._program.begin(blocks, app)

    def closed(self) -> None:
        """Let go of everything; trainings go on, and the next load finds them."""
        if "_program" in self.__dict__:
            self._program.end()


def _reporting(what: str, callback: Callable[..., Any], otherwise: Any = None) -> Callable[..., Any]:
    """The callback, with its failure told on the console instead of passed on."""

    @functools.wraps(callback)
    def called(*values: Any) -> Any:
        try:
            return callback(*values)
        except UserError as problem:
            print(f"Tanren: {what}: {problem}", file=sys.stderr)
        except Exception:
            # A fault of ours must not keep the WebUI from starting, whatever kind it is.
            log.exception("Tanren: %s, because of a fault in Tanren. Please report this:", what)
        return otherwise

    return called
