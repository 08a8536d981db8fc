"""How several processes train together: their patience, how gradients travel, and who holds the frozen model."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import Requires, option

NEEDS_DEEPSPEED = "it says how the weights are shared out among processes"


@dataclass(frozen=True, kw_only=True)
class DistributedOptions:
    """Several processes and graphics cards."""

    ddp_timeout: int | None = option(
        None,
        "Minutes that processes wait for each other before the run ends with the name of the one that is missing.",
        label="Patience of processes (minutes)",
        minimum=1,
        level="expert",
    )
    ddp_gradient_as_bucket_view: bool = option(
        False,
        "Compute gradients right in the memory that is sent to the other processes: saves their second copy.",
        label="DDP gradient views",
        level="expert",
    )
    ddp_static_graph: bool = option(
        False,
        "The same layers learn at every step: processes ask each other only once which ones. Not with module_dropout.",
        label="DDP static graph",
        level="expert",
    )
    deepspeed: bool = option(
        False,
        "Share the model out as --zero_stage says. PyTorch's FSDP does it; the package deepspeed is not used.",
        label="DeepSpeed's sharing",
        level="expert",
    )
    zero_stage: int = option(
        2,
        "With --deepspeed. 3: each process keeps a part of the frozen U-Net. 0 to 2 share what a LoRA hardly has.",
        label="ZeRO stage",
        choices=(0, 1, 2, 3),
        level="expert",
    )
    offload_param_device: str | None = option(
        None,
        "With --deepspeed --zero_stage=3: keep the part of each process in main memory.",
        label="Frozen weights rest in",
        choices=("none", "cpu"),
        level="expert",
    )
    offload_param_nvme_path: str | None = option(
        None,
        "Folder for weights that rest on a disk.",
        label="Frozen weights on disk",
        level="expert",
        path="folder",
        no_effect="Weights rest in main memory only: --offload_param_device=cpu.",
    )
    offload_optimizer_device: str | None = option(
        None,
        "Where the optimizer's state rests.",
        label="Optimizer state rests in",
        choices=("none", "cpu", "nvme"),
        level="expert",
        no_effect="The optimizer's state of a LoRA is small and stays where it is used.",
    )
    offload_optimizer_nvme_path: str | None = option(
        None,
        "Folder for an optimizer's state that rests on a disk.",
        label="Optimizer state on disk",
        level="expert",
        path="folder",
        no_effect="The optimizer's state of a LoRA is small and stays where it is used.",
    )
    zero3_init_flag: bool = option(
        False,
        "Share the model out while it is loaded.",
        label="Share out while loading",
        level="expert",
        no_effect="Every process loads the whole model into main memory and then lets go of the other parts.",
    )
    zero3_save_16bit_model: bool = option(
        False,
        "Gather the weights for saving.",
        label="Gather for saving",
        level="expert",
        no_effect="Only what was trained is saved, and every process has all of that.",
    )
    fp16_master_weights_and_gradients: bool = option(
        False,
        "Keep the optimizer's weights in float16.",
        label="Optimizer weights in float16",
        level="expert",
        no_effect="--full_fp16 trains weights in float16.",
    )

    rules = (Requires("offload_param_device", "deepspeed", because=NEEDS_DEEPSPEED, warns=True),)


ORDINARY = DistributedOptions()
