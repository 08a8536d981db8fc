"""How long and in which precision a run goes."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import Conflicts, Requires, option


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Length, precision and batch loaders of the run."""

    max_train_steps: int = option(
        1600,
        "Length in steps; one step is one update of the weights.",
        label="Length in steps",
        minimum=1,
        level="basic",
        saved_as="ss_max_train_steps",
    )
    max_train_epochs: int | None = option(
        None,
        "Length in epochs; wins over --max_train_steps.",
        label="Length in epochs",
        minimum=1,
        level="basic",
        saved_as="ss_num_epochs",
    )
    gradient_accumulation_steps: int = option(
        1,
        "Batches whose gradients are averaged into one step.",
        label="Gradient accumulation",
        minimum=1,
        saved_as="ss_gradient_accumulation_steps",
    )
    gradient_checkpointing: bool = option(
        False,
        "Compute activations twice instead of storing them: less memory, slower.",
        label="Gradient checkpointing",
        level="basic",
        saved_as="ss_gradient_checkpointing",
    )
    cpu_offload_checkpointing: bool = option(
        False,
        "Keep the activations that --gradient_checkpointing stores in main memory: less GPU memory, a little slower.",
        label="Offload activations",
        level="expert",
    )
    deterministic: bool = option(
        False,
        "On a GPU: the same seed gives the same bits, also after a resume. Slower; a CPU always computes so.",
        label="Reproducible to the bit",
        level="expert",
    )
    mixed_precision: str = option(
        "no",
        "Precision of the frozen model and of the computation.",
        label="Mixed precision",
        choices=("no", "fp16", "bf16"),
        level="basic",
        saved_as="ss_mixed_precision",
    )
    full_fp16: bool = option(
        False,
        "Trained weights in float16 too; needs --mixed_precision fp16.",
        label="Train in float16",
        level="expert",
        saved_as="ss_full_fp16",
    )
    full_bf16: bool = option(
        False,
        "Trained weights in bfloat16 too; needs --mixed_precision bf16.",
        label="Train in bfloat16",
        level="expert",
        saved_as="ss_full_bf16",
    )
    seed: int | None = option(
        None,
        "Same seed, same result. Not given: a random one.",
        label="Training seed",
        minimum=0,
        level="basic",
        saved_as="ss_seed",
    )
    max_data_loader_n_workers: int = option(
        8, "Processes that prepare batches, at most one per core; 0: none.", label="Loader processes", minimum=0
    )
    persistent_data_loader_workers: bool = option(
        False, "Keep those processes from epoch to epoch.", label="Keep loader processes"
    )

    rules = (
        Conflicts("full_fp16", "full_bf16", because="weights have one precision"),
        Requires(
            "cpu_offload_checkpointing",
            "gradient_checkpointing",
            because="it moves what checkpointing stores",
            warns=True,
        ),
    )
