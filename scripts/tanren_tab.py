"""The one file the WebUI loads: finds the package, loads it under a name of its own, and lets it register the tab.

The package cannot be imported by a path on `sys.path`: several extensions own a top-level `trainer`, whoever imports it
first keeps it, and after Reload UI Python would hand out the old code. So it is loaded from its folder under a name that
is nobody else's, and what an earlier load left under that name is dropped.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

NAME = "tanren_extension"
PACKAGE = Path(__file__).resolve().parents[1] / "trainer" / "tanren"


def load_package():
    """Load the package anew, as `NAME`; an earlier load stays in place when this one fails."""
    earlier = {name: module for name, module in sys.modules.items() if name == NAME or name.startswith(NAME + ".")}
    spec = importlib.util.spec_from_file_location(
        NAME, PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    package = importlib.util.module_from_spec(spec)
    for name in earlier:
        del sys.modules[name]
    # Before it is run: its parts find each other through this entry.
    sys.modules[NAME] = package
    try:
        spec.loader.exec_module(package)
        return importlib.import_module(NAME + ".ui.extension")
    except BaseException:
        for name in [name for name in sys.modules if name == NAME or name.startswith(NAME + ".")]:
            del sys.modules[name]
        sys.modules.update(earlier)
        raise


def register():
    """Register tab, settings and routes; without a fitting Python, say so and leave the WebUI alone."""
    if sys.version_info < (3, 10):
        print("Tanren needs Python 3.10 or newer; this WebUI runs on %d.%d." % sys.version_info[:2])
        return
    from modules import script_callbacks

    load_package().register(script_callbacks, Path(__file__).absolute().parents[1])


register()
