"""What is written, how it is called, how many are kept, and how a run goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .spec import option

# What diffusers looks for in a folder, by the form that asks for it.
DIFFUSERS_FILES = {
    "diffusers": "pytorch_lora_weights.bin",
    "diffusers_safetensors": "pytorch_lora_weights.safetensors",
}


def result_of(file: Path) -> Path:
    """What the user calls a result: a file of weights, or the folder around it in diffusers' forms."""
    return file.parent if file.name in DIFFUSERS_FILES.values() else file


@dataclass(frozen=True, kw_only=True)
class SavingOptions:
    """Files that the run leaves behind."""

    output_dir: str | None = option(
        None, "Folder of the results; made when it is missing.", label="Result folder", level="basic", path="folder"
    )
    output_name: str | None = option(
        None,
        "Base name of the results. Not given: last, epoch-000001, at-step00000100.",
        label="Name of the LoRA",
        level="basic",
        saved_as="ss_output_name",
    )
    save_model_as: str = option(
        "safetensors",
        "Format of the file. The diffusers forms are folders with pytorch_lora_weights (.bin or .safetensors) in "
        "diffusers' own names, for its load_lora_weights; WebUIs do not read them.",
        label="Format of saved files",
        choices=("ckpt", "pt", "safetensors", *DIFFUSERS_FILES),
    )
    save_precision: str | None = option(
        None,
        "Precision in the file; not given: as trained.",
        label="Precision of the file",
        choices=("float", "fp16", "bf16"),
        level="basic",
    )
    save_every_n_epochs: int | None = option(
        None, "Also save after every N epochs.", label="Save every N epochs", minimum=1, level="basic"
    )
    save_every_n_steps: int | None = option(
        None, "Also save after every N steps.", label="Save every N steps", minimum=1, level="basic"
    )
    save_n_epoch_ratio: int | None = option(
        None,
        "Save at least this many times over the run; wins over --save_every_n_epochs.",
        label="Save at least N times",
        minimum=1,
    )
    save_last_n_epochs: int | None = option(
        None, "Keep the newest N files saved by epoch.", label="Keep the last epochs", minimum=1
    )
    save_last_n_steps: int | None = option(
        None, "Keep files saved by step that are at most N steps old.", label="Keep the last steps", minimum=0
    )
    save_state: bool = option(
        False, "Save with every file what resuming needs.", label="Save states too", level="basic"
    )
    save_state_on_train_end: bool = option(
        False, "Save what resuming needs at the end only.", label="Save the last state"
    )
    save_last_n_epochs_state: int | None = option(
        None, "Keep the newest N states saved by epoch.", label="Keep the last epoch states", minimum=1
    )
    save_last_n_steps_state: int | None = option(
        None, "Keep states saved by step that are at most N steps old.", label="Keep the last step states", minimum=0
    )
    no_metadata: bool = option(False, "Write only the metadata that other programs need.", label="Little metadata")
    training_comment: str | None = option(
        None, "A comment in the metadata.", label="Comment in the metadata", saved_as="ss_training_comment"
    )


@dataclass(frozen=True, kw_only=True)
class MetadataOptions:
    """What the file says about itself (modelspec)."""

    metadata_title: str | None = option(
        None, "Title; not given: the output name.", label="Title in the metadata", saved_as="modelspec.title"
    )
    metadata_author: str | None = option(None, "Author.", label="Author in the metadata", saved_as="modelspec.author")
    metadata_description: str | None = option(
        None, "Description.", label="Description in the metadata", saved_as="modelspec.description"
    )
    metadata_license: str | None = option(
        None, "Licence.", label="Licence in the metadata", saved_as="modelspec.license"
    )
    metadata_tags: str | None = option(
        None, "Tags, with commas between them.", label="Tags in the metadata", saved_as="modelspec.tags"
    )
    metadata_usage_hint: str | None = option(
        None, "How to use the file.", label="Usage hint", level="expert", saved_as="modelspec.usage_hint"
    )
    metadata_thumbnail: str | None = option(
        None,
        "Picture file, or data URL, shown with the model.",
        label="Thumbnail in the metadata",
        level="expert",
        saved_as="modelspec.thumbnail",
        path="file",
    )
    metadata_merged_from: str | None = option(
        None, "What it was merged from.", label="Merged from", level="expert", saved_as="modelspec.merged_from"
    )
    metadata_trigger_phrase: str | None = option(
        None, "Words that call the concept.", label="Trigger phrase", saved_as="modelspec.trigger_phrase"
    )
    metadata_preprocessor: str | None = option(
        None, "Preprocessor.", label="Preprocessor in the metadata", level="expert", saved_as="modelspec.preprocessor"
    )
    metadata_is_negative_embedding: str | None = option(
        None,
        "Whether it is a negative embedding.",
        label="Negative embedding",
        level="expert",
        saved_as="modelspec.is_negative_embedding",
    )


# What a state is compared by besides the options; `--allow_changes` takes these names too.
COMPARED_FACTS = ("data", "base_model", "vae", "processes", "device", "precision")
COMPARED_VERSIONS = ("tanren", "python", "torch")


@dataclass(frozen=True, kw_only=True)
class ResumeOptions:
    """How an interrupted run goes on."""

    resume: str | None = option(
        None, "State folder to go on from.", label="Go on from a state", level="basic", path="folder"
    )
    initial_epoch: int | None = option(
        None, "Start the count at this epoch; 1 is the first.", label="First epoch", minimum=1, level="expert"
    )
    initial_step: int | None = option(
        None, "Start the count at this step; wins over --initial_epoch.", label="First step", minimum=0, level="expert"
    )
    skip_until_initial_step: bool = option(
        False, "Pass over the batches before that step.", label="Pass over earlier batches", level="expert"
    )
    allow_changes: tuple[str, ...] = option(
        (),
        "Names of settings that may differ from those of the state.",
        label="Settings that may differ",
        level="expert",
    )
