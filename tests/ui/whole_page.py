"""Our whole page in any gradio line, with script and style put in as WebUIs do: a program for browser tests.

    python whole_page.py DATA_FOLDER [LANGUAGE [LORA_FOLDER]]

Prints the address. Nothing starts the jobs that are submitted. TANREN_TEST_CHECKOUT names a checkout whose environment
the page can set up, as in a WebUI.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr
import gradio.routes
from tanren.jobs.shelf import Shelf
from tanren.ui import app, routes
from tanren.ui.answers import Desk
from tanren.ui.context import Context
from tanren.ui.environment_job import TrainerSetup
from tanren.ui.guard import Guard
from tanren.ui.host_standalone import Standalone
from tanren.ui.static_files import SCRIPT, STYLE, read_static_files

folders = {"lora_dir": sys.argv[3]} if len(sys.argv) > 3 else {}
around = Standalone(Path(sys.argv[1]), language=sys.argv[2] if len(sys.argv) > 2 else "en", settings=folders)
shelf, guard = Shelf(around.data_dir), Guard(around.access)
page = app.build(Context(around, shelf, guard))
contents = read_static_files().contents
head = b"<style>" + contents[STYLE] + b"</style><script>" + contents[SCRIPT] + b"</script>"
settings = {}
if int(gr.__version__.partition(".")[0]) > 4:
    settings = {"head": head.decode(), "ssr_mode": False, "footer_links": []}
else:
    answer = gradio.routes.templates.TemplateResponse

    def with_head(*args, **kwargs):
        response = answer(*args, **kwargs)
        response.body = response.body.replace(b"</head>", head + b"</head>")
        response.init_headers()
        return response

    gradio.routes.templates.TemplateResponse = with_head
server, address, _ = page.launch(prevent_thread_lock=True, server_name="127.0.0.1", quiet=True, **settings)
checkout = os.environ.get("TANREN_TEST_CHECKOUT")
setup = TrainerSetup(around, Path(checkout)) if checkout else None
routes.install(server, Desk(around, shelf, guard, setup=setup))
print(address, flush=True)
threading.Event().wait()
