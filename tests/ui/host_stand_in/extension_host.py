"""A stand-in WebUI that loads extensions as A1111 and Forge do, run as a program of its own.

    python extension_host.py '{"flavour": "forge", "root": "/tmp/x", "steps": ["load", "tabs", "serve"]}'

`<root>/extensions` holds the extensions, folders or links. The last line that is printed is JSON: what was seen.
Everything that happens here was seen in the running hosts: which folder is on `sys.path` and for how long, the name of
a script's module, the order of callbacks, and that a failing callback costs its own tab only.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import host_modules

HEAVY = ("torch", "diffusers", "transformers", "accelerate", "bitsandbytes", "tensorboard", "safetensors")
CALLBACKS = ("before_ui", "ui_settings", "ui_tabs", "app_started", "script_unloaded")


class OptionInfo:
    """An entry of the settings page."""

    def __init__(
        self,
        default: Any = None,
        label: str = "",
        component: Any = None,
        component_args: Any = None,
        onchange: Any = None,
        section: Any = None,
    ) -> None:
        assert component is not None or type(default) in (str, int, bool), "other types have no component"
        self.default, self.label, self.section, self.comment = default, label, section, ""

    def info(self, text: str) -> OptionInfo:
        self.comment += f"({text})"
        return self

    def needs_reload_ui(self) -> OptionInfo:
        return self


class ExtensionHost:
    """The part of a WebUI that deals with extensions.

    Args:
        flavour: "a1111" or "forge".
        root: program and data folder.
        flags: of its command line, with their values.
        options: of its settings page.
    """

    def __init__(self, flavour: str, root: Path, flags: dict[str, Any], options: dict[str, Any]) -> None:
        self.flavour, self.root = flavour, root
        self.stand_in = host_modules.StandIn(flavour, root, None)
        self.callbacks: dict[str, list[Callable[..., Any]]] = {name: [] for name in CALLBACKS}
        self.errors: list[str] = []
        self.pages: list[tuple[Any, str, str]] = []
        self.demo: Any = None
        vars(self.stand_in.flags).update(flags)
        self.stand_in.options.update(options)
        self._install()

    def _install(self) -> None:
        modules: Any = ModuleType("modules")
        modules.__path__ = []
        callbacks: Any = ModuleType("modules.script_callbacks")
        for name in CALLBACKS:
            setattr(callbacks, f"on_{name}", self._registrar(name))
        shared: Any = self.stand_in["modules.shared"]
        shared.OptionInfo = OptionInfo
        shared.opts.__dict__["add_option"] = shared.opts.data_labels.__setitem__
        sys.modules.update({"modules": modules, "modules.script_callbacks": callbacks, **self.stand_in.modules})
        for name, module in [*self.stand_in.modules.items(), ("modules.script_callbacks", callbacks)]:
            if name.startswith("modules."):
                setattr(modules, name.partition(".")[2], module)

    def _registrar(self, name: str) -> Callable[..., None]:
        def old(callback: Callable[..., Any]) -> None:
            self.callbacks[name].append(callback)

        def new(callback: Callable[..., Any], *, name: str | None = None) -> None:
            old(callback)

        return old if self.flavour == "a1111" else new

    # ---- what a WebUI does ----

    def load(self) -> None:
        """Run every script of every extension, then ask for settings."""
        for extension in sorted((self.root / "extensions").iterdir(), key=lambda path: path.name.lower()):
            for script in sorted((extension / "scripts").glob("*.py")):
                self._run_script(extension, script)
        for callback in reversed(self.callbacks["before_ui"]):
            self._report(callback)
        for callback in self.callbacks["ui_settings"]:
            self._report(callback)

    def _run_script(self, extension: Path, script: Path) -> None:
        before = sys.path
        sys.path = [str(extension), *sys.path]
        try:
            # Not in sys.modules, and named with its ending, so that the "package" is the name without it.
            spec = importlib.util.spec_from_file_location(script.name, script)
            assert spec is not None and spec.loader is not None
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
        except Exception:  # noqa: BLE001 - as the hosts do
            self.errors.append(traceback.format_exc())
        finally:
            if self.flavour == "a1111":
                sys.path = before

    def tabs(self) -> None:
        """Ask for tabs and put them into one page."""
        import gradio as gr

        self.pages = []
        for callback in self.callbacks["ui_tabs"]:
            self.pages += self._report(callback) or []
        # gradio's own theme asks another machine for fonts.
        theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
        with gr.Blocks(analytics_enabled=False, theme=theme) as self.demo, gr.Tabs(elem_id="tabs"):
            with gr.Tab("txt2img", id="txt2img", elem_id="tab_txt2img"):
                self._txt2img(gr)
            for page, title, name in self.pages:
                with gr.Tab(title, id=name, elem_id=f"tab_{name}"):
                    page.render()

    def _txt2img(self, gr: Any) -> None:
        gr.Textbox(label="Prompt", elem_id="txt2img_prompt")

    def serve(self, port: int | None = None) -> None:
        """Start the web server and tell everybody."""
        self.demo.queue(64)
        app, *_ = self.demo.launch(
            server_name="127.0.0.1",
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            allowed_paths=[str(self.root)],
        )
        for callback in self.callbacks["app_started"]:
            self._report(callback, self.demo, app)

    def unload(self) -> None:
        """What Reload UI does before it loads all scripts again."""
        if self.demo is not None:
            self.demo.close()
        for callback in reversed(self.callbacks["script_unloaded"]):
            self._report(callback)
        for callbacks in self.callbacks.values():
            callbacks.clear()

    def close(self) -> None:
        """End the server."""
        self.unload()
        self.stand_in.close()

    def _report(self, callback: Callable[..., Any], *values: Any) -> Any:
        try:
            return callback(*values)
        except Exception:  # noqa: BLE001 - as the hosts do
            self.errors.append(traceback.format_exc())
            return None

    # ---- what can be asked ----

    def get(self, path: str) -> dict[str, Any]:
        """Status and text of an answer of the server."""
        try:
            with urllib.request.urlopen(self.demo.local_url.rstrip("/") + path, timeout=30) as answer:
                return {"status": answer.status, "text": answer.read().decode("utf-8", "replace")}
        except urllib.error.HTTPError as refusal:
            return {"status": refusal.code, "text": refusal.read().decode("utf-8", "replace")}

    def seen(self) -> dict[str, Any]:
        """What a test looks at."""
        labels = self.stand_in["modules.shared"].opts.data_labels
        package = sys.modules.get("tanren_extension")
        return {
            "path": list(sys.path),
            "tabs": [(title, name) for _, title, name in self.pages],
            "settings": {name: option.label for name, option in labels.items()},
            "registered": {name: len(callbacks) for name, callbacks in self.callbacks.items()},
            "heavy": [name for name in HEAVY if name in sys.modules],
            "gradio": "gradio" in sys.modules,
            "version": getattr(package, "__version__", None),
            "parts": [name for name in sys.modules if name.split(".")[0] in ("tanren", "tanren_extension")],
            "trainer": getattr(sys.modules.get("trainer"), "OWNER", None),
            "errors": self.errors,
        }


def main() -> None:
    """Do the steps in order; a step may be a name, or a name with a value: ["get", "/tanren/api/state"]."""
    wish = SimpleNamespace(**{"flags": {}, "options": {}, **json.loads(sys.argv[1])})
    host = ExtensionHost(wish.flavour, Path(wish.root), wish.flags, wish.options)
    facts: list[Any] = []
    try:
        for step in wish.steps:
            name, *values = [step] if isinstance(step, str) else step
            facts.append({"get": host.get, "run": run}.get(name, getattr(host, name, None))(*values))
            if facts[-1] is None:
                facts[-1] = host.seen()
    finally:
        host.close()
    sys.stdout.write(json.dumps(facts) + "\n")


def run(code: str) -> dict[str, Any]:
    """Run a test's own lines inside the host; what they leave in `found` is told."""
    names: dict[str, Any] = {"found": None}
    exec(inspect.cleandoc(code), names)
    return {"found": names["found"]}


if __name__ == "__main__":
    main()
