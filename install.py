"""What the WebUI runs at each of its starts: one line, nothing installed.

The trainer's packages go into an environment of their own, from the tab or by `launch.py`. Nothing of the WebUI is
imported here: in this process `import launch` would find the launch.py beside this file.
"""

from __future__ import annotations

import re
from pathlib import Path


def version() -> str:
    """The version in the package's own file, read as text; importing the package would take longer."""
    path = Path(__file__).absolute().parent / "trainer" / "tanren" / "__init__.py"
    found = re.search(r'__version__ = "([^"]+)"', path.read_text("utf-8"))
    return found[1] if found else "?"


if __name__ == "__main__":
    print(f"Tanren {version()}: nothing installed; its trainer has an environment of its own.")
