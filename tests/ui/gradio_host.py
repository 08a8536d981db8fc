"""A WebUI in miniature, run by the interpreters of all gradio lines: a page with a login, our routes beside it.

    python gradio_host.py FOLDER

FOLDER stands for the WebUI's data folder, which gradio serves to whoever is signed in. Prints the address.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr
from tanren.jobs.shelf import Shelf
from tanren.ui import routes
from tanren.ui.access import Access
from tanren.ui.answers import Desk
from tanren.ui.blocked import block_folders, own_folders
from tanren.ui.guard import Guard
from tanren.ui.host_standalone import Standalone
from tanren.ui.login import HostLogin

root = Path(sys.argv[1]).absolute()
extension = root / "extensions" / "tanren"
guard = Guard(Access(is_public=False))

with gr.Blocks(analytics_enabled=False) as demo:
    typed, told = gr.Textbox(), gr.Textbox()
    gr.Button().click(
        guard.guarded(write=True)(lambda text: f"did {text}"), [typed], [told], api_name="write", queue=False
    )
app, address, _ = demo.launch(
    prevent_thread_lock=True,
    server_name="127.0.0.1",
    auth=("ann", "secret"),
    allowed_paths=[str(root)],
    quiet=True,
)
block_folders(demo, own_folders(extension / "data", root / "venv elsewhere", extension))
desk = Desk(Standalone(extension / "data"), Shelf(extension / "data"), guard.with_login(HostLogin(app, ("bob:key",))))
routes.install(app, desk)
print(address, flush=True)
threading.Event().wait()
