"""What the WebUI runs at each of its starts: one line, nothing installed.

The trainer's packages go into an environment of their own, from the tab or by `launch.py`. Nothing of the WebUI is
imported here: in this process `import launch` would find the launch.py beside this file.
"""

import os
import re


def version():
    """The version in the package's own file, read as text; importing it would take longer."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trainer", "tanren", "__init__.py")
    with open(path, encoding="utf-8") as file:
        found = re.search(r'__version__ = "([^"]+)"', file.read())
    return found.group(1) if found else "?"


if __name__ == "__main__":
    print("Tanren %s: nothing to install, its trainer has an environment of its own" % version())
