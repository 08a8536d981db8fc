"""Keys and tokens out of everything that is logged."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

HIDDEN = "***"
SECRET_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY")
SHORTEST = 6
SECRET_NAME = re.compile(r"(?i)(api_?key|token|secret|password)$")
PATTERNS = (
    re.compile(r"\bhf_[A-Za-z0-9]{16,}"),
    re.compile(r"\b[0-9a-f]{40}\b"),
    re.compile(r"(?<=Bearer )[\w.~+/=-]+"),
    re.compile(r"""(?i)(?<![\w])(?:[\w-]*(?:api_?key|token|secret|password))["']?\s*[=:]\s*["']?([^\s"',;]+)"""),
)


def mask(text: str, known: Iterable[str] = ()) -> str:
    """The text with every known secret, and whatever looks like one, replaced by asterisks."""
    for secret in known:
        if len(secret) >= SHORTEST:
            text = text.replace(secret, HIDDEN)
    for pattern in PATTERNS:
        text = pattern.sub(_hide, text)
    return text


def masked(value: Any, known: Iterable[str] = ()) -> Any:
    """The same dicts, lists and texts as `mask` leaves them; a value under the name of a secret is hidden whole."""
    secrets = list(known)
    if isinstance(value, str):
        return mask(value, secrets)
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if part and SECRET_NAME.search(str(key)) else masked(part, secrets)
            for key, part in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [masked(part, secrets) for part in value]
    return value


def secrets_of_environment() -> list[str]:
    """Values of the environment variables that hold keys."""
    return [value for name in SECRET_VARIABLES if (value := os.environ.get(name))]


class MaskingFormatter(logging.Formatter):
    """A log format that hides secrets in messages and tracebacks alike."""

    def __init__(self, pattern: str, known: Iterable[str] = ()) -> None:
        super().__init__(pattern, datefmt="%H:%M:%S")
        self._known = [*known, *secrets_of_environment()]

    def format(self, record: logging.LogRecord) -> str:
        """One line, or several with a traceback."""
        return mask(super().format(record), self._known)


def _hide(found: re.Match[str]) -> str:
    if found.re.groups:
        start = found.start(1) - found.start()
        return found[0][:start] + HIDDEN
    return HIDDEN
