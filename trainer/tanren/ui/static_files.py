"""The page's script and style for surroundings without a WebUI, which would serve them itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import EnvironmentProblem
from ..paths import shipped_file

SCRIPT, STYLE = "tanren.js", "style.css"
MEDIA_TYPES = {SCRIPT: "text/javascript", STYLE: "text/css"}


@dataclass(frozen=True)
class StaticFiles:
    """The two files, and a version that changes with their content.

    Args:
        contents: by name.
    """

    contents: dict[str, bytes]

    @property
    def version(self) -> str:
        """For addresses: the same one never names two contents, so that browsers may keep them."""
        whole = b"\0".join(content for _, content in sorted(self.contents.items()))
        return hashlib.sha256(whole).hexdigest()[:12]

    def head(self) -> str:
        """What loads both in a page's `<head>`; relative, for proxies that serve the page below a path."""
        # Names of ours and hexadecimal digits only; `render` builds no such elements.
        script, style = (f"tanren/static/{name}?v={self.version}" for name in (SCRIPT, STYLE))
        return f'<link rel="stylesheet" href="{style}"><script defer src="{script}"></script>'


def read_static_files() -> StaticFiles:
    """Read the style, and all script files as one, in the order in which a WebUI loads them.

    Raises:
        EnvironmentProblem: the installation lacks them.
    """
    style = shipped_file(STYLE)
    scripts = sorted((style.parent / "javascript").glob("tanren*.js")) if style else []
    if style is None or not scripts:
        raise EnvironmentProblem(
            what="The page's script and style are not part of this installation.",
            fix="Clone the repository again, or install the package again.",
        )
    return StaticFiles({STYLE: style.read_bytes(), SCRIPT: b";\n".join(_content(path) for path in scripts)})


def _content(path: Path) -> bytes:
    return f"/* {path.name} */\n".encode() + path.read_bytes()
