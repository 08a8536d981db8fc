"""Events on the console: one bar for the phase or the training, and log lines between."""

from __future__ import annotations

import logging
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..events import Event

log = logging.getLogger("tanren")
PHASE_TEXT = {
    "import": "loading the libraries",
    "load": "loading the model",
    "cache latents": "caching latents",
    "cache text": "caching captions",
    "sample": "sample pictures",
    "draw": "drawing",
    "validate": "validation",
    "save": "saving",
    "ask hub": "asking the Hugging Face hub",
    "upload": "uploading",
    "download": "downloading the state",
}


class Console:
    """Shows events as bars and lines; use as a context, so that log lines do not cut through the bar."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._bar_name = ""
        self._redirect = logging_redirect_tqdm(loggers=[log])

    def __enter__(self) -> Console:
        self._redirect.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._close()
        self._redirect.__exit__(*error)

    def __call__(self, event: Event) -> None:
        """One event."""
        show = getattr(self, f"_{event['kind']}", None)
        if show is not None:
            show(event)

    def _phase(self, event: Event) -> None:
        name, total, done = str(event["name"]), event["total"], event["done"]
        if name == "train":
            self._open("steps", total, done)
        elif total is None or total == 0:
            if done == 0:
                log.info("%s", PHASE_TEXT.get(name, name))
        elif self._bar_name != "steps" or self._bar.n >= self._bar.total:
            self._open(PHASE_TEXT.get(name, name), total, done)
            if done >= total:
                self._close()

    def _step(self, event: Event) -> None:
        if self._bar_name != "steps":
            return
        self._bar.set_postfix_str(f"epoch {event['epoch']}, loss {event['average']:.4g}", refresh=False)
        self._bar.update(event["step"] - self._bar.n)

    def _note(self, event: Event) -> None:
        log.info("%s", event["text"])

    def _warning(self, event: Event) -> None:
        log.warning("%s", event["text"])

    def _saved(self, event: Event) -> None:
        log.info("saved %s", event["file"])

    def _sample(self, event: Event) -> None:
        log.info("sample %s", event["file"])

    def _validation(self, event: Event) -> None:
        log.info("validation loss %.5f at step %d", event["average"], event["step"])

    def _open(self, name: str, total: int | None, done: int) -> None:
        if self._bar_name != name:
            self._close()
            self._bar = tqdm(total=total, initial=done, desc=name, dynamic_ncols=True, smoothing=0.1, mininterval=0.2)
            self._bar_name = name
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar, self._bar_name = None, ""
