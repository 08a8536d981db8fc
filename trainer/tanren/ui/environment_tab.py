"""The place of the trainer's environment and of the cache: what they are, and containers that the page script fills."""

from __future__ import annotations

from .gradio_lines import Component, html
from .html import render
from .words import Words

PAGE = (
    '<section class="tanren-environment"><h3>{title}</h3><p>{what}</p><p>{apart}</p>'
    '<div id="tanren-environment"><p>{wait}</p></div></section>'
    '<section class="tanren-environment"><h3>{cache}</h3><p>{kept}</p><div id="tanren-cache"></div></section>'
)


def build(words: Words) -> Component:
    """Words that say what will be made and where, and the containers of states, progress and buttons."""
    return html(
        render(
            PAGE,
            title=words("The trainer's own environment"),
            what=words("Training needs newer packages than pictures do: PyTorch, diffusers and transformers."),
            apart=words(
                "They are put into a folder of their own. Nothing is added to your WebUI, and nothing is "
                "downloaded before you press the button."
            ),
            wait=words("Looking at the environment."),
            cache=words("Cached values"),
            kept=words(
                "What the VAE and the text encoders have computed of your pictures is kept, so that the next "
                "training of the same pictures begins sooner."
            ),
        ),
        elem_id="tanren-environment-card",
    )
