"""A stand-in WebUI that stays: its page as a browser sees it, with Tanren's tab in it.

    python web_page.py '{"flavour": "forge", "root": "/tmp/x", "port": 7860, "flags": {…}, "options": {…}}'

It loads extensions, puts their scripts and styles into the page in the hosts' way, and serves until it is killed. Its
txt2img tab has a prompt and a Generate button that goes through the queue and the locks of the host.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from extension_host import ExtensionHost

SCRIPT = Path(__file__).with_name("web_page.js")
# gradio's page asks another machine for it, to be shown inside of other pages.
FROM_ELSEWHERE = re.compile(rb"<script[^>]*iframe-resizer[^>]*>\s*</script>")
GENERATED = "A picture was made."


class WebPage(ExtensionHost):
    """An extension host with a page of its own around the tabs."""

    def _txt2img(self, gr: Any) -> None:
        prompt = gr.Textbox(label="Prompt", elem_id="txt2img_prompt")
        told = gr.Textbox(label="Result", elem_id="txt2img_told")
        button = gr.Button("Generate", variant="primary", elem_id="txt2img_generate")
        button.click(lambda text: self.stand_in.generate(text) or GENERATED, [prompt], [told], queue=False)

    def decorate(self) -> None:
        """Put script and style of every extension into the page, as the hosts do: one element for each file."""
        import gradio as gr

        original = gr.routes.templates.TemplateResponse

        def response(*args: Any, **kwargs: Any) -> Any:
            answer = original(*args, **kwargs)
            answer.body = FROM_ELSEWHERE.sub(b"", answer.body)
            answer.body = answer.body.replace(b"</head>", f"{self._scripts()}</head>".encode())
            answer.body = answer.body.replace(b"</body>", f"{self._styles()}</body>".encode())
            answer.init_headers()
            return answer

        gr.routes.templates.TemplateResponse = response

    def _scripts(self) -> str:
        found = sorted((self.root / "extensions").glob("*/javascript/*.js"))
        own = f'<script type="text/javascript">{SCRIPT.read_text("utf-8")}</script>'
        named = "".join(f'<script type="text/javascript" src="{self._address(path)}"></script>' for path in found)
        return own + named

    def _styles(self) -> str:
        found = sorted((self.root / "extensions").glob("*/style.css"))
        return "".join(f'<link rel="stylesheet" property="stylesheet" href="{self._address(path)}">' for path in found)

    def _address(self, path: Path) -> str:
        return f"file={path.relative_to(self.root).as_posix()}?{path.stat().st_mtime}"


def main() -> None:
    """Serve until killed; prints the address once everybody was told."""
    wish = {"flags": {}, "options": {}, **json.loads(sys.argv[1])}
    host = WebPage(wish["flavour"], Path(wish["root"]), wish["flags"], wish["options"])
    host.decorate()
    host.load()
    if wish["flavour"] == "a1111":
        # In the background, while the page is being built, as the host does; Forge loads at the first picture.
        threading.Thread(target=host.stand_in.get_sd_model, daemon=True).start()
    host.tabs()
    host.serve(wish["port"])
    for fault in host.errors:
        print(fault, flush=True)
    print(f"Running on {host.demo.local_url}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
