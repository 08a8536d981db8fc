"""The form on the page: one component for every field, made from its declaration.

Numbers are text fields: an empty number field of the older lines sends 0, and a number out of range or a choice that is
not listed would be refused by gradio before any handler could say which field it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from .fields import CHOICE, CONCEPT_KIND, DATASET_KIND, FLAG, LIST, PROMPT, Field
from .gradio_lines import Component

SEVERAL_LINES = (LIST, PROMPT, DATASET_KIND, CONCEPT_KIND)
# So few choices stand side by side. WebUIs translate these, and not what a closed list shows.
AT_A_GLANCE = 2


@dataclass(frozen=True)
class FormView:
    """The components of a form, by the names of their fields."""

    components: Mapping[str, Component]

    def raw(self, values: Mapping[Component, Any]) -> dict[str, Any]:
        """What the fields hold, by name."""
        return {name: values[component] for name, component in self.components.items()}

    def filled(self, raw: Mapping[str, Any], before: Mapping[str, Any]) -> dict[Component, Any]:
        """The updates that put these values into their fields.

        Fields that hold their value already are left out: whoever types meanwhile keeps what they typed.

        Args:
            raw: by name of the field.
            before: what the fields held when the browser asked.
        """
        return {
            self.components[name]: gr.update(value=shown(value))
            for name, value in raw.items()
            if name in self.components and shown(value) != shown(before.get(name))
        }


def component(
    field: Field, value: Any = "", *, info: str | None = None, at_a_glance: int = AT_A_GLANCE, **settings: Any
) -> Component:
    """The component that asks for a field.

    Args:
        field: what is asked.
        value: what it holds at first, as `values.to_raw` gives it.
        info: instead of the field's help.
        at_a_glance: up to so many choices stand side by side.
        settings: further arguments of the component.
    """
    common = {
        "label": field.label,
        "info": (field.help if info is None else info) or None,
        "elem_id": f"tanren-field-{field.name}",
        "elem_classes": ["tanren-field", f"tanren-kind-{field.kind}"],
        "interactive": True,
        **settings,
    }
    if field.kind == FLAG:
        return gr.Checkbox(value=bool(value), **common)
    if field.kind == CHOICE and len(field.choices) <= at_a_glance:
        return gr.Radio(choices=list(field.choices), value=shown(value), **common)
    if field.kind == CHOICE or field.suggestions:
        choices = list(field.choices or field.suggestions)
        return gr.Dropdown(choices=choices, value=shown(value), allow_custom_value=True, **common)
    lines: dict[str, Any] = {"lines": 2, "max_lines": 12} if field.kind in SEVERAL_LINES else {"max_lines": 1}
    return gr.Textbox(value=shown(value), placeholder=placeholder(field), **lines, **common)


def shown(value: Any) -> Any:
    """A value as its field shows it: numbers and nothing are text there."""
    if value is None or isinstance(value, bool):
        return "" if value is None else value
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def placeholder(field: Field) -> str:
    """What an empty field means, or what a value looks like where its label does not say it."""
    if field.default not in (None, "", [], False):
        return shown(field.default)
    return field.written if field.written.isupper() else ""
