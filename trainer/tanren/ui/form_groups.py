"""Which fields the form asks first, which stand under "More", and the groups of the full view."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from ..options.contents import CONCEPTS
from .fields import Field
from .simple_view import LENGTHS
from .trainings import Training, all_fields

WITHOUT_EFFECT = "Accepted for sd-scripts, without effect here"
BASE_MODEL = "pretrained_model_name_or_path"
AMOUNT = ("resolution", "length", "length_unit")
MORE = (
    *("repeats", "trigger_in_captions", "caption_extension", "vae", "train_batch_size", "seed"),
    *("save_every_n_epochs", "save_every_n_steps", "sample_every_n_epochs", "sample_every_n_steps", "sample_prompts"),
)
# They are asked for by `length` and `length_unit`.
ASKED_OTHERWISE = frozenset(LENGTHS.values())
IN_BOTH_VIEWS = frozenset((BASE_MODEL, CONCEPTS, "output_name", *AMOUNT, *MORE)) | ASKED_OTHERWISE


@cache
def groups() -> dict[str, tuple[Field, ...]]:
    """The fields of the full view under their headings."""
    found = by_heading(field for field in all_fields() if field.name not in IN_BOTH_VIEWS)
    return {heading: tuple(members) for heading, members in found.items()}


def group_id(heading: str) -> str:
    """The element of a group on the page."""
    return f"tanren-group-{list(groups()).index(heading)}"


def by_heading(fields: Iterable[Field]) -> dict[str, list[Field]]:
    """The fields under their headings; those that change nothing stand together at the end."""
    headings: dict[str, list[Field]] = {}
    idle = []
    for field in fields:
        if field.no_effect:
            idle.append(field)
        else:
            headings.setdefault(field.group, []).append(field)
    return headings | ({WITHOUT_EFFECT: idle} if idle else {})


def hidden_elements(training: Training) -> list[str]:
    """Elements of the page that a training has no use for: fields, and groups of nothing else."""
    names = training.hidden
    empty = [heading for heading, members in groups().items() if all(field.name in names for field in members)]
    return [*(f"tanren-field-{name}" for name in sorted(names)), *map(group_id, empty)]
