"""The keys of a dataset file: which table may hold them, and what each one is.

Most are options of the command line, declared in `dataset.py`; a few exist in files only and are declared here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from .dataset import INTERPOLATIONS, DatasetOptions
from .dataset_plan import CONTROLLED, DREAMBOOTH, MASKED, METADATA
from .spec import Option, option, options_of


@dataclass(frozen=True, kw_only=True)
class FileOnlyKeys:
    """Keys that no command line option stands for."""

    image_dir: str | None = option(None, "Folder of the pictures; folders inside it are not read.", path="folder")
    class_tokens: str | None = option(None, "Caption of pictures without a caption file.")
    is_reg: bool = option(False, "These are regularization pictures.")
    metadata_file: str | None = option(None, "Metadata file (.json or .jsonl) of the pictures.", path="file")
    conditioning_data_dir: str | None = option(
        None, "Folder of the mask pictures (--masked_loss), or of the control pictures.", path="folder"
    )
    num_repeats: int = option(1, "How often a picture counts per epoch; below 1 the subset is left out.")
    network_multiplier: float = option(1.0, "Strength of the network on these pictures.")
    custom_attributes: dict[str, Any] = field(default_factory=dict)


# Names that differ on the command line.
TYPED_AS = {"batch_size": "train_batch_size", "num_repeats": "dataset_repeats"}

DATASET_KEYS = (
    "resolution",
    "batch_size",
    "enable_bucket",
    "min_bucket_reso",
    "max_bucket_reso",
    "bucket_reso_steps",
    "bucket_no_upscale",
    "resize_interpolation",
    "network_multiplier",
    "validation_split",
    "validation_seed",
)
SUBSET_KEYS = (
    "num_repeats",
    "shuffle_caption",
    "caption_separator",
    "keep_tokens",
    "keep_tokens_separator",
    "secondary_separator",
    "enable_wildcard",
    "caption_prefix",
    "caption_suffix",
    "caption_dropout_rate",
    "caption_dropout_every_n_epochs",
    "caption_tag_dropout_rate",
    "token_warmup_min",
    "token_warmup_step",
    "color_aug",
    "flip_aug",
    "random_crop",
    "face_crop_aug_range",
    "resize_interpolation",
    "custom_attributes",
)
# May stand above the subsets, but mean something to picture folders (and masks) only.
FOLDER_KEYS = ("class_tokens", "caption_extension", "caption_encoding", "cache_info")
PAIR_KEYS = ("image_dir", "conditioning_data_dir", "caption_extension", "caption_encoding", "cache_info")
KEYS_OF_KIND = {
    DREAMBOOTH: ("image_dir", "is_reg", "alpha_mask", *FOLDER_KEYS),
    METADATA: ("image_dir", "metadata_file", "alpha_mask"),
    MASKED: PAIR_KEYS,
    CONTROLLED: PAIR_KEYS,
}
SUBSET_ONLY = ("image_dir", "is_reg", "alpha_mask", "metadata_file", "conditioning_data_dir")

ALLOWED = {
    "general": frozenset(DATASET_KEYS + SUBSET_KEYS + FOLDER_KEYS),
    "datasets": frozenset(DATASET_KEYS + SUBSET_KEYS + FOLDER_KEYS),
    "subsets": frozenset(SUBSET_KEYS + FOLDER_KEYS + SUBSET_ONLY),
}


def key_options() -> dict[str, Option]:
    """Every key with a declaration; `custom_attributes` is a free table and has none."""
    from_command_line = {declared.name: declared for declared in options_of(DatasetOptions)}
    from_command_line |= {
        key: dataclasses.replace(from_command_line[typed], name=key) for key, typed in TYPED_AS.items()
    }
    wider = from_command_line["resize_interpolation"]
    box_too = dataclasses.replace(wider.text, choices=(*INTERPOLATIONS, "box"))
    from_command_line["resize_interpolation"] = dataclasses.replace(wider, text=box_too)
    return from_command_line | {declared.name: declared for declared in options_of(FileOnlyKeys)}


def where_it_belongs(key: str) -> str | None:
    """The table a known key belongs to, for the message about one that stands elsewhere."""
    if key in SUBSET_ONLY or key in ALLOWED["subsets"]:
        return "[[datasets.subsets]]"
    if key in DATASET_KEYS:
        return "[[datasets]] or [general]"
    if key in {declared.name for declared in options_of(DatasetOptions)} | set(TYPED_AS.values()):
        return "the command line"
    return None
