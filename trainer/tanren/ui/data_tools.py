"""All tools of the tab of pictures and captions."""

from __future__ import annotations

from ..errors import UsageError
from . import data_caption_tools, data_model_tools, data_picture_tools, data_ready_tools, data_source_tools
from .data_tool import Group, Tool


def all_groups() -> tuple[Group, ...]:
    """As the page shows them."""
    return (
        *data_caption_tools.groups(),
        *data_source_tools.groups(),
        *data_model_tools.groups(),
        *data_picture_tools.groups(),
        *data_ready_tools.groups(),
    )


def tool_named(name: str) -> Tool:
    """The tool of a request.

    Raises:
        UsageError: there is none.
    """
    found = {tool.name: tool for group in all_groups() for tool in group.tools}.get(name)
    if found is None:
        raise UsageError(where="tool", what="There is no such tool.", fix="Load the page anew.")
    return found
