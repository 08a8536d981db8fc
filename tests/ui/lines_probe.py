"""What a gradio line makes of our page, as JSON: a program for the interpreters of all lines.

python lines_probe.py DATA_FOLDER
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr

warnings.simplefilter("error")
warnings.filterwarnings("ignore", module=r"(?!tanren)")


def build(folder):
    """The page, with everything of ours imported on the way."""
    from tanren.jobs.shelf import Shelf
    from tanren.ui import app
    from tanren.ui.context import Context
    from tanren.ui.guard import Guard
    from tanren.ui.host_standalone import Standalone

    around = Standalone(folder)
    return app.build(Context(around, Shelf(around.data_dir), Guard(around.access)))


started = time.process_time()
page = build(Path(sys.argv[1]))
seconds = time.process_time() - started
config = page.get_config_file()
events = config["dependencies"]
ids = [block.elem_id for block in page.blocks.values() if getattr(block, "elem_id", None)]
print(
    json.dumps(
        {
            "line": int(gr.__version__.partition(".")[0]),
            "version": gr.__version__,
            "seconds": seconds,
            "ids": ids,
            "kept_out": all(getattr(block, "do_not_save_to_config", False) for block in page.blocks.values()),
            "queued": [event.get("queue") for event in events],
            "named": [event.get("api_name") for event in events if event.get("api_name") not in (False, None)],
            "visibility": sorted({str(event.get("api_visibility")) for event in events}),
            "scripts": sorted(str(event["js"]) for event in events if event.get("js")),
            "heavy": sorted({"torch", "diffusers", "transformers", "accelerate"} & set(sys.modules)),
            "made": Path(sys.argv[1]).exists(),
        }
    )
)
