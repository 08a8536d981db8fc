"""The log of a run: what it shows, where it goes, and that no key is ever in it."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from .disk import storage_error
from .masking import MaskingFormatter
from .options.spec import Settings, options_of
from .options.tracking import ConsoleOptions

LOGGER = "tanren"
log = logging.getLogger(LOGGER)
PLAIN, TIMED = "%(message)s", "%(asctime)s %(levelname)-7s %(message)s"


def set_up_logging(settings: Settings) -> None:
    """Send the log of the package to standard error or to --console_log_file.

    Raises:
        StorageError: the file cannot be written.
    """
    options = settings[ConsoleOptions]
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if options.console_log_file:
        path = Path(options.console_log_file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise storage_error(path, error) from error
    handler.setFormatter(MaskingFormatter(PLAIN if options.console_log_simple else TIMED, known_secrets(settings)))
    end_logging()
    log.addHandler(handler)
    log.propagate = False
    # On a CPU bitsandbytes speaks of kernels for inference in 4 bits, which training does not use.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # Of several processes only the first one speaks, unless something fails.
    level = options.console_log_level or "INFO"
    log.setLevel(level if is_main_process() else logging.ERROR)


def also_log_to(path: Path, settings: Settings) -> None:
    """Append the same lines to a further file.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise storage_error(path, error) from error
    handler.setFormatter(MaskingFormatter(TIMED, known_secrets(settings)))
    log.addHandler(handler)


def end_logging() -> None:
    """Close what `set_up_logging` opened."""
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    log.propagate = True


def known_secrets(settings: Settings) -> list[str]:
    """Values of all options that are secrets."""
    flat = settings.flat()
    names = [option.name for group in settings.groups() for option in options_of(type(group)) if option.text.secret]
    return [flat[name] for name in names if flat[name]]


def is_main_process() -> bool:
    """True for the only process, and for the first of several."""
    return os.environ.get("RANK", "0") == "0"
