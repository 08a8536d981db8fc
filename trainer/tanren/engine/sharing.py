"""The frozen U-Net shared out among the processes: each keeps a part of every block, and the blocks come together one
after the other while they are used (PyTorch's FSDP2). What learns is small; every process has all of it.

It is asked for by accelerate's own configuration (`accelerate config`: FSDP) or by sd-scripts' `--deepspeed
--zero_stage=3`. Outputs are those of the whole model, up to how float numbers round.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from accelerate import FullyShardedDataParallelPlugin
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, OffloadPolicy, fully_shard

from ..errors import UsageError
from ..events import Report
from ..options.distributed import DistributedOptions
from ..options.model import AttentionOptions, ModelOptions
from ..options.spec import Settings
from .processes import Sharing

FSDP, DEEPSPEED = "ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"
SHARED_AS_A_WHOLE = (ResnetBlock2D, BasicTransformerBlock)
NOT_SHARED = ("NO_SHARD",)
WITHIN_MACHINES = ("HYBRID_SHARD", "HYBRID_SHARD_ZERO2")
KEPT_TOGETHER = ("SHARD_GRAD_OP",)
OUT_OF_PROCESSES = "There is one process, which keeps the whole model."


def asked_sharing(options: DistributedOptions, count: int, report: Report) -> Sharing | None:
    """What accelerate's configuration or the options ask for, or None; takes it out of accelerate's hands.

    Raises:
        UsageError: a kind of sharing that there is not.
    """
    found = _of_fsdp() if _is_on(FSDP) else None
    stage, offload = _of_deepspeed(options)
    if stage is not None and stage < 3:
        report.warning(
            f"DeepSpeed's ZeRO stage {stage} shares out gradients and the optimizer's state, of which a LoRA has "
            "little: every process keeps its own, and the result is the same. --zero_stage=3 shares out the frozen "
            "U-Net."
        )
    elif stage == 3:
        found = Sharing(rests_in_main_memory=offload)
    # Both would have accelerate wrap models and wait for packages, and neither is needed here.
    for name in (FSDP, DEEPSPEED):
        if _is_on(name):
            os.environ[name] = "false"
    if found is not None and count == 1:
        report.warning(f"The model is not shared out. {OUT_OF_PROCESSES}")
        return None
    if found is not None:
        report.note(f"The frozen U-Net is shared out among {count} processes.")
    return found


def check_sharing(settings: Settings, sharing: Sharing | None) -> None:
    """Refuse what does not go together with a shared U-Net, before it is loaded.

    Raises:
        UsageError: it does not.
    """
    models, attention = settings[ModelOptions], settings[AttentionOptions]
    set_options = {
        "fp8_base": models.fp8_base,
        "fp8_base_unet": models.fp8_base_unet,
        "torch_compile": attention.torch_compile,
    }
    name = next((name for name, is_set in set_options.items() if is_set), None)
    if sharing is not None and name is not None:
        what = "It does not go together with a U-Net that is shared out among processes (FSDP, ZeRO stage 3)."
        raise UsageError(where=f"--{name}", what=what, fix=f"Leave --{name} out, or start without FSDP.")


def refuse_sharing(sharing: Sharing | None) -> None:
    """For methods in which the processes do not use the U-Net in step.

    Raises:
        UsageError: it is to be shared out.
    """
    if sharing is not None:
        what = "This method cannot share the U-Net out: its processes use it at different times."
        raise UsageError(where="FSDP", what=what, fix="Start plain multi-GPU, without FSDP and --deepspeed.")


def share_out(unet: nn.Module, sharing: Sharing, device: torch.device) -> None:
    """Leave this process its part of the frozen weights, on the device; all processes call it, and all use the U-Net
    together from then on.
    """
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    on_device = device.type == "cpu" or not sharing.rests_in_main_memory
    policy = OffloadPolicy() if on_device else CPUOffloadPolicy()
    for module in list(unet.modules()):
        if isinstance(module, SHARED_AS_A_WHOLE):
            fully_shard(module, mesh=mesh, reshard_after_forward=sharing.lets_go, offload_policy=policy)
    fully_shard(unet, mesh=mesh, reshard_after_forward=sharing.lets_go, offload_policy=policy)


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes")


def _of_fsdp() -> Sharing | None:
    plugin = FullyShardedDataParallelPlugin()
    strategy = getattr(plugin.sharding_strategy, "name", "FULL_SHARD")
    if strategy in WITHIN_MACHINES:
        what = f"accelerate's configuration asks for {strategy}, which is not supported."
        raise UsageError(where="FSDP", what=what, fix="Choose FULL_SHARD in `accelerate config`, or plain multi-GPU.")
    if strategy in NOT_SHARED:
        return None
    keeps = strategy in KEPT_TOGETHER or plugin.reshard_after_forward is False
    # Version 1 says it inside of an object, version 2 by the kind of one.
    offload = getattr(plugin.cpu_offload, "offload_params", isinstance(plugin.cpu_offload, CPUOffloadPolicy))
    return Sharing(lets_go=not keeps, rests_in_main_memory=bool(offload))


def _of_deepspeed(options: DistributedOptions) -> tuple[int | None, bool]:
    """ZeRO's stage and whether parameters rest in main memory; no stage when nobody asks."""
    if options.deepspeed:
        return options.zero_stage, options.offload_param_device == "cpu"
    if not _is_on(DEEPSPEED):
        return None, False
    stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    offload = os.environ.get("ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE", "none")
    path = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if path.lower() != "none":
        stage, offload = _of_file(Path(path))
    if not stage.isdigit():
        raise UsageError(where=f"ZeRO stage {stage}", what="It is no number.", fix="Write 0, 1, 2 or 3.")
    return int(stage), offload.lower() == "cpu"


def _of_file(path: Path) -> tuple[str, str]:
    try:
        zero = json.loads(path.read_text("utf-8")).get("zero_optimization", {})
    except (OSError, ValueError, AttributeError) as error:
        fix = "Name DeepSpeed's JSON file in `accelerate config`, or plain multi-GPU."
        raise UsageError(where=str(path), what=f"It cannot be read: {error}.", fix=fix) from error
    return str(zero.get("stage", 0)), str(zero.get("offload_param", {}).get("device", "none"))
