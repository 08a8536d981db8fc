"""Flags that Tanren adds to the WebUI's own command line."""

from __future__ import annotations

from argparse import ArgumentParser


def preload(parser: ArgumentParser) -> None:
    """Register the flags; the WebUI calls this before it reads its command line.

    A name that another extension has taken already raises, and the WebUI goes on without ours; so all have our prefix.
    """
    group = parser.add_argument_group("Tanren")
    group.add_argument(
        "--tanren-data-dir", metavar="FOLDER", default=None, help="where runs, caches and presets of Tanren are kept"
    )
    group.add_argument(
        "--tanren-venv",
        metavar="FOLDER",
        default=None,
        help="the trainer's environment, if not the .venv in its folder",
    )
    group.add_argument(
        "--tanren-allow-dir",
        metavar="FOLDER",
        action="append",
        default=None,
        help="a folder that Tanren may use when others can open the WebUI; can be given several times",
    )
    group.add_argument(
        "--tanren-allow-remote",
        action="store_true",
        help="everybody who can open the WebUI may train and write files, even when it is not only this machine",
    )
    group.add_argument(
        "--tanren-public",
        action="store_true",
        help="others can reach this WebUI in a way that it cannot see, such as a reverse proxy",
    )
