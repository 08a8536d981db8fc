"""The one file the WebUI loads: finds the package, loads it under a name of its own, and lets it register the tab.

The package is not imported by a path on `sys.path`. Several extensions own a top-level `trainer`, and whoever imports
it first keeps it; after Reload UI Python would hand out the old code. So it is loaded from its folder under a name that
is nobody else's, and what an earlier load left under that name is dropped.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

NAME = "tanren_extension"
FOLDER = Path(__file__).absolute().parents[1]
OLDEST = (3, 10)


def load_package() -> Any:
    """Load the package anew, as `NAME`, and return what registers the tab; when that fails, an earlier load stays."""
    package = FOLDER.resolve() / "trainer" / "tanren"
    spec = importlib.util.spec_from_file_location(
        NAME, package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    earlier = {name: sys.modules.pop(name) for name in loaded()}
    # Before it is run: its parts find each other through this entry.
    sys.modules[NAME] = module
    try:
        spec.loader.exec_module(module)
        return importlib.import_module(NAME + ".ui.extension")
    except BaseException:
        for name in loaded():
            del sys.modules[name]
        sys.modules.update(earlier)
        raise


def loaded() -> list[str]:
    """Names of the package and its parts, as far as they are imported."""
    return [name for name in sys.modules if name == NAME or name.startswith(NAME + ".")]


def register() -> None:
    """Register tab, settings and routes; on a Python that is too old, say so and leave the WebUI alone."""
    if sys.version_info[:2] < OLDEST:
        print(f"Tanren needs Python 3.10 or newer; this WebUI runs on {sys.version.split()[0]}.")
        return
    from modules import script_callbacks

    load_package().register(script_callbacks, FOLDER)


register()
