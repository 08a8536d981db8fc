"""The pictures, their captions and how both are varied; each value may be overridden in a dataset file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .spec import option
from .values import number_range, size_wh, suffix

INTERPOLATIONS = ("lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area")


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """Where the pictures are and what is made of them."""

    reads_controls: ClassVar[bool] = False

    dataset_config: str | None = option(
        None,
        "Dataset file (.toml or .json) with [[datasets]] and [[datasets.subsets]]; replaces the folder options.",
        label="Dataset file",
        level="basic",
        path="file",
    )
    train_data_dir: str | None = option(
        None,
        "Parent of the <repeats>_<name> folders with the training pictures; with --in_json the folder of the pictures.",
        label="Parent of the picture folders",
        level="basic",
        path="folder",
    )
    reg_data_dir: str | None = option(
        None,
        "Parent of the <repeats>_<class> folders with regularization pictures.",
        label="Parent of regularization folders",
        path="folder",
    )
    in_json: str | None = option(
        None, "Metadata file (.json or .jsonl) with captions and tags by picture.", label="Metadata file", path="file"
    )
    dataset_repeats: int = option(
        1, "Repeats of every picture of --in_json.", label="Repeats (metadata file)", minimum=1
    )
    conditioning_data_dir: str | None = option(
        None,
        "Folder of mask pictures.",
        label="Folder of masks",
        no_effect="With folders alone no masks are read; name the folder in a dataset file, or use --alpha_mask.",
        path="folder",
    )
    masked_loss: bool = option(
        False, "Weigh the loss by the mask pictures named in the dataset file.", label="Masked loss"
    )
    alpha_mask: bool = option(
        False, "Use the pictures' alpha channel as mask of the loss.", label="Alpha channel as mask"
    )
    debug_dataset: bool = option(
        False, "List what would be trained, picture by picture, and end.", label="List the dataset only"
    )
    cache_info: bool = option(
        False,
        "Keep captions and sizes in metadata_cache.json in each folder.",
        label="Keep picture facts",
        level="expert",
        no_effect="Reading headers is fast enough, and a stored copy would hide edited captions.",
    )
    resolution: tuple[int, int] | None = option(
        None,
        "Training size in pixels: one number for a square, or WIDTH,HEIGHT. With buckets: the area.",
        label="Training resolution",
        written="WIDTH,HEIGHT",
        parse=size_wh,
        level="basic",
        saved_as="ss_resolution",
    )
    train_batch_size: int = option(
        1,
        "Pictures per batch and process.",
        label="Pictures per batch",
        minimum=1,
        level="basic",
        saved_as="ss_batch_size_per_device",
    )
    enable_bucket: bool = option(
        False,
        "Train every picture near its own shape instead of cropping all to one.",
        label="Keep shapes (buckets)",
        level="basic",
        saved_as="ss_enable_bucket",
    )
    min_bucket_reso: int = option(
        256,
        "Shortest side of a bucket in pixels.",
        label="Shortest bucket side",
        minimum=1,
        saved_as="ss_min_bucket_reso",
    )
    max_bucket_reso: int = option(
        1024,
        "Longest side of a bucket in pixels.",
        label="Longest bucket side",
        minimum=1,
        saved_as="ss_max_bucket_reso",
    )
    bucket_reso_steps: int = option(
        64, "Sides of buckets are multiples of this; itself a multiple of 64.", label="Bucket side step", minimum=1
    )
    bucket_no_upscale: bool = option(
        False,
        "Never enlarge a picture; buckets follow the pictures.",
        label="Never enlarge",
        saved_as="ss_bucket_no_upscale",
    )
    resize_interpolation: str | None = option(
        None,
        "How pictures are resized; not given: area when shrinking, Lanczos when enlarging.",
        label="Resize method",
        choices=INTERPOLATIONS,
        level="expert",
        saved_as="ss_resize_interpolation",
    )
    caption_extension: str = option(
        ".caption",
        "Suffix of caption files; most people need .txt.",
        label="Caption file suffix",
        suggestions=(".txt", ".caption"),
        parse=suffix,
        level="basic",
    )
    caption_extention: str | None = option(
        None,
        "Historical misspelling of --caption_extension; wins when given.",
        label="Caption suffix (misspelled)",
        parse=suffix,
        level="expert",
    )
    caption_encoding: str = option(
        "utf-8",
        "Encoding of caption files, such as cp932 or gbk. Nothing is guessed.",
        label="Caption encoding",
        suggestions=("utf-8", "cp932", "euc_jp", "gbk", "big5", "utf-16"),
        level="expert",
    )
    caption_separator: str = option(",", "What stands between tags.", label="Tag separator")
    secondary_separator: str | None = option(
        None,
        "Holds tags together while they are shuffled; becomes the separator afterwards.",
        label="Glue between tags",
        level="expert",
    )
    shuffle_caption: bool = option(
        False, "Shuffle the tags at every use.", label="Shuffle tags", level="basic", saved_as="ss_shuffle_caption"
    )
    keep_tokens: int = option(
        0, "The first N tags stay in place.", label="Tags kept in front", minimum=0, saved_as="ss_keep_tokens"
    )
    keep_tokens_separator: str = option(
        "", "Tags before this text stay in place; wins over --keep_tokens.", label="Mark after kept tags"
    )
    enable_wildcard: bool = option(
        False, "Captions of several lines, and {a|b} for a choice.", label="Wildcards in captions"
    )
    caption_prefix: str | None = option(None, "Put before every caption, with one space.", label="Text before captions")
    caption_suffix: str | None = option(None, "Put after every caption, with one space.", label="Text after captions")
    caption_dropout_rate: float = option(
        0.0,
        "Probability of an empty caption.",
        label="Caption dropout",
        minimum=0,
        maximum=1,
        saved_as="ss_caption_dropout_rate",
    )
    caption_dropout_every_n_epochs: int = option(
        0,
        "All captions are empty in every Nth epoch; 0 means never.",
        label="No captions every N epochs",
        minimum=0,
        saved_as="ss_caption_dropout_every_n_epochs",
    )
    caption_tag_dropout_rate: float = option(
        0.0,
        "Probability of leaving out each tag that is not kept.",
        label="Tag dropout",
        minimum=0,
        maximum=1,
        saved_as="ss_caption_tag_dropout_rate",
    )
    token_warmup_min: int = option(
        1, "Tags used at the first step of the tag warm-up.", label="Tag warm-up: first tags", minimum=0, level="expert"
    )
    token_warmup_step: float = option(
        0.0,
        "Steps until all tags are used; below 1: a fraction of all steps.",
        label="Tag warm-up: steps",
        minimum=0,
        level="expert",
    )
    color_aug: bool = option(
        False, "Vary hue and gamma slightly; not with cached latents.", label="Vary colours", saved_as="ss_color_aug"
    )
    flip_aug: bool = option(
        False, "Mirror half of the draws.", label="Mirror pictures", level="basic", saved_as="ss_flip_aug"
    )
    random_crop: bool = option(
        False,
        "Crop at random instead of in the middle; not with cached latents.",
        label="Random crop",
        saved_as="ss_random_crop",
    )
    face_crop_aug_range: tuple[float, float] | None = option(
        None,
        "LOW,HIGH: crop around the face given in the file name, this many times its size; without buckets only.",
        label="Face crop range",
        written="LOW,HIGH",
        parse=number_range,
        level="expert",
        saved_as="ss_face_crop_aug_range",
    )
    prior_loss_weight: float = option(
        1.0,
        "Weight of the loss of regularization pictures.",
        label="Weight of regularization",
        minimum=0,
        saved_as="ss_prior_loss_weight",
    )
    weighted_captions: bool = option(
        False, "Read (tag:1.2) and [tag] in captions as weights.", label="Weights in captions"
    )
    validation_split: float = option(
        0.0,
        "Fraction of the pictures held out to measure the loss.",
        label="Share held out",
        saved_as="ss_validation_split",
    )
    validation_seed: int | None = option(
        None,
        "Seed of the split and of validation noise; not given: --seed.",
        label="Validation seed",
        saved_as="ss_validation_seed",
    )
    validate_every_n_steps: int | None = option(
        None,
        "Measure the validation loss every N steps.",
        label="Validate every N steps",
        minimum=1,
        saved_as="ss_validate_every_n_steps",
    )
    validate_every_n_epochs: int | None = option(
        None,
        "Measure it every N epochs; not given: every epoch.",
        label="Validate every N epochs",
        minimum=1,
        saved_as="ss_validate_every_n_epochs",
    )
    max_validation_steps: int | None = option(
        None,
        "At most this many validation batches.",
        label="Most validation batches",
        minimum=1,
        saved_as="ss_max_validation_steps",
    )
    on_bad_image: str = option(
        "stop",
        "What an unreadable picture does: stop, or skip it (never more than 5 %).",
        label="Unreadable pictures",
        choices=("stop", "skip"),
    )
    max_pixels: int = option(
        64_000_000,
        "Pictures with more pixels are refused before they are decoded.",
        label="Most pixels of a picture",
        minimum=1,
        level="expert",
    )
    min_side: int | None = option(
        None,
        "Pictures with a shorter side are refused; not given: one bucket step.",
        label="Shortest side accepted",
        minimum=1,
        level="expert",
    )
