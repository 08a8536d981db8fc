"""What the page is built from, and what every handler may ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..jobs.shelf import Shelf
from ..paths import PathPolicy
from .guard import Guard
from .host import Surroundings
from .words import Words

Handler = Callable[..., Any]


@dataclass(frozen=True)
class Context:
    """One page's surroundings, jobs and doorkeeper.

    Args:
        surroundings: the WebUI, or this machine alone.
        shelf: all jobs, and the way to submit one.
        guard: decides who may call a handler.
    """

    surroundings: Surroundings
    shelf: Shelf
    guard: Guard

    @property
    def data_dir(self) -> Path:
        """Where runs, presets and caches live."""
        return self.surroundings.data_dir

    @property
    def policy(self) -> PathPolicy:
        """Where paths that come from the page may lead."""
        return self.surroundings.policy()

    @property
    def words(self) -> Words:
        """Sentences in the language of the page, as it is set now."""
        return Words(self.surroundings.language())

    def reads(self, handler: Handler) -> Handler:
        """A handler that only shows things."""
        return self.guard.guarded(write=False)(handler)

    def writes(self, handler: Handler) -> Handler:
        """A handler that starts, changes or deletes something."""
        return self.guard.guarded(write=True)(handler)
