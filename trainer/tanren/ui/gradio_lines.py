"""Everything that differs between gradio 3.41 (AUTOMATIC1111, reForge), 4.40 (Forge) and 6 (standalone).

Nobody else asks which gradio is there. What all of them do alike is used directly: `gr.update`, `elem_id`,
`elem_classes`, values by component when `inputs` is a set, `show_progress="hidden"`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr

LINE = int(gr.__version__.partition(".")[0])
HIDDEN = "tanren-hidden"

Component = Any  # the lines have no base class in common that all of our parts share


def blocks() -> gr.Blocks:
    """An empty page as wide as the window, as the WebUIs' are; it reports nothing to anybody."""
    settings: dict[str, Any] = {"fill_width": True} if LINE > 4 else {}
    return gr.Blocks(analytics_enabled=False, **settings)


def listen(
    event: Callable[..., Any],
    handler: Callable[..., Any] | None,
    inputs: Iterable[Component] | None = None,
    outputs: Iterable[Component] | None = None,
    *,
    js: str | None = None,
    newest_wins: bool = False,
) -> Any:
    """Connect an event of a component with a handler.

    Handlers answer at once and never go through the queue: Forge's queue runs each function once at a time, for all
    browsers together, and the host's own work waits in it too.

    Args:
        event: such as `button.click`.
        handler: None when only `js` runs.
        inputs: a set makes the handler get its values by component.
        outputs: what the handler's dictionary may hold.
        js: code that runs in the browser first; gets and returns the inputs' values.
        newest_wins: an event during a call leads to one more call afterwards, instead of none.

    Returns:
        What came of it; its `.then` is an event too.
    """
    settings: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
    settings |= {"api_visibility": "private"} if LINE > 4 else {"api_name": False}
    if js is not None:
        settings["_js" if LINE == 3 else "js"] = js
    if newest_wins and LINE > 3:
        settings["trigger_mode"] = "always_last"
    return event(
        fn=handler,
        inputs=inputs if isinstance(inputs, set) else list(inputs or ()),
        outputs=list(outputs or ()),
        **settings,
    )


def textbox(*, copyable: bool = False, **settings: Any) -> gr.Textbox:
    """A text field; `copyable` gives it a copy button."""
    if copyable:
        settings |= {"buttons": ["copy"]} if LINE > 4 else {"show_copy_button": True}
    return gr.Textbox(**settings)


def html(value: str = "", **settings: Any) -> gr.HTML:
    """A piece of the page without frame or padding; the value comes from `html.render`."""
    if LINE > 4:
        # Its look for buttons and fields would win over ours when the mouse is over them.
        settings |= {"padding": False, "apply_default_css": False}
    return gr.HTML(value, **settings)


def hidden_button(elem_id: str) -> gr.Button:
    """A button for the page script; hidden by style, because the newest line leaves out what is not visible."""
    return gr.Button("", elem_id=elem_id, elem_classes=[HIDDEN])


def hidden_text(elem_id: str) -> gr.Textbox:
    """A value that travels with the page and that nobody sees."""
    return gr.Textbox("", label="", elem_id=elem_id, elem_classes=[HIDDEN], show_label=False, container=False)


def keep_out_of_host_config(page: gr.Blocks) -> None:
    """Keep the hosts from writing our defaults into ui-config.json, from where they would overrule later versions."""
    for component in page.blocks.values():
        vars(component)["do_not_save_to_config"] = True


def translate(page: gr.Blocks, words: Callable[[str], str]) -> None:
    """Put the fixed texts of a page into another language; WebUIs do that themselves, from the same tables."""
    for block in page.blocks.values():
        for name in ("label", "info", "placeholder"):
            text = getattr(block, name, None)
            if isinstance(text, str) and text:
                setattr(block, name, words(text))
        if isinstance(block, gr.Button) and isinstance(block.value, str):
            block.value = words(block.value)
    translate_choices(page, words)


def translate_choices(page: gr.Blocks, words: Callable[[str], str]) -> None:
    """Put the choices of a page into another language: WebUIs do not reach the one that a closed list shows.

    Handlers still get the English values; the oldest line, which knows no texts beside values, is left as it is.
    """
    for block in page.blocks.values():
        if LINE > 3 and isinstance(block, (gr.Radio, gr.Dropdown)):
            block.choices = [(words(str(shown)), value) for shown, value in block.choices]
