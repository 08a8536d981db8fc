"""What the user asked of the data, after inheritance: subset over dataset over general over command line over default.

Sizes are (width, height) in pixels. The readers that fill these are `dataset_file.py` (TOML, JSON, folders).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DREAMBOOTH, METADATA, MASKED, CONTROLLED = "dreambooth", "metadata", "masked", "controlled"


@dataclass(frozen=True, kw_only=True)
class SubsetPlan:
    """One folder (or metadata file) of pictures and how its captions and pixels are varied."""

    kind: str
    image_dir: str | None
    where: str
    num_repeats: int = 1
    is_reg: bool = False
    class_tokens: str | None = None
    caption_extension: str = ".caption"
    caption_encoding: str = "utf-8"
    metadata_file: str | None = None
    conditioning_data_dir: str | None = None
    alpha_mask: bool = False
    cache_info: bool = False
    shuffle_caption: bool = False
    caption_separator: str = ","
    keep_tokens: int = 0
    keep_tokens_separator: str = ""
    secondary_separator: str | None = None
    enable_wildcard: bool = False
    caption_prefix: str | None = None
    caption_suffix: str | None = None
    caption_dropout_rate: float = 0.0
    caption_dropout_every_n_epochs: int = 0
    caption_tag_dropout_rate: float = 0.0
    token_warmup_min: int = 1
    token_warmup_step: float = 0.0
    color_aug: bool = False
    flip_aug: bool = False
    random_crop: bool = False
    face_crop_aug_range: tuple[float, float] | None = None
    resize_interpolation: str | None = None
    custom_attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def preserves_output(self) -> bool:
        """True when the target is the untrained model's own prediction (diff_output_preservation)."""
        return bool(self.custom_attributes.get("diff_output_preservation", False))


@dataclass(frozen=True, kw_only=True)
class DatasetPlan:
    """Subsets that share a resolution, a batch size and a set of buckets."""

    subsets: tuple[SubsetPlan, ...]
    resolution_wh: tuple[int, int]
    batch_size: int = 1
    enable_bucket: bool = False
    min_bucket_reso: int = 256
    max_bucket_reso: int = 1024
    bucket_reso_steps: int = 64
    bucket_no_upscale: bool = False
    resize_interpolation: str | None = None
    network_multiplier: float = 1.0
    validation_split: float = 0.0
    validation_seed: int | None = None
