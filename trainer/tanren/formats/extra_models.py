"""Models that a run names beside its base: an autoencoder, LoRA files. Looked at by their headers, without torch.

What only the weights tell (values that are not finite, layers of another size) is found when they are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import ModelFileError
from .base_model import is_safetensors
from .checkpoint_kind import FAMILY_BY_CONTEXT, TITLES, CheckpointKind, Shapes, kind_of
from .safetensors_header import read_header

# Layers as kohya's trainers name them for each family.
STARTS: Mapping[str, tuple[str, ...]] = {
    "flux": ("lora_unet_double_blocks_", "lora_unet_single_blocks_"),
    "sd3": ("lora_unet_joint_blocks_", "lora_te3_"),
    "sdxl": (
        "lora_te1_",
        "lora_te2_",
        "lora_unet_input_blocks_",
        "lora_unet_middle_block_",
        "lora_unet_output_blocks_",
    ),
}
DOWN = ".lora_down.weight"
TEXT_READER = "_attn2_to_k.lora_down.weight"
VAE_MARKS = tuple(f"{prefix}decoder.conv_in.weight" for prefix in ("first_stage_model.", "vae.", ""))


def check_vae(path: Path, name: str) -> None:
    """Refuse a file that cannot stand in for the base model's autoencoder.

    Args:
        path: a file; .ckpt files are known only when torch reads them.
        name: the file as the user typed it.

    Raises:
        ModelFileError: damaged, or something else.
    """
    shapes = _shapes(path)
    if shapes is None or any(mark in shapes for mark in VAE_MARKS):
        return
    what = f"{name} is {kind_of(shapes).sentence}, and holds no VAE."
    raise ModelFileError(where="--vae", what=what, fix="Give a VAE file or folder.")


def check_lora(path: Path, name: str, where: str, base: CheckpointKind | None) -> None:
    """Refuse a file that cannot be a LoRA for the base model.

    Args:
        path: a file; those in torch's format are known only when torch reads them.
        name: the file as the user typed it.
        where: the option that names it.
        base: what the base model is, where that is known.

    Raises:
        ModelFileError: damaged, or something else.
    """
    shapes = _shapes(path)
    if shapes is None:
        return
    kind = kind_of(shapes)
    if kind.family != "lora":
        fix = "Give a LoRA of the kind that networks.lora writes."
        raise ModelFileError(where=where, what=f"{name} is {kind.sentence}, not a LoRA.", fix=fix)
    family = _trained_on(shapes)
    if family is not None and base is not None and family != base.family:
        raise ModelFileError(
            where=where,
            what=f"{name} is a LoRA for {TITLES[family]}, and the base model is {base.sentence}.",
            fix="Give a LoRA that was trained on the same kind of model.",
        )


def check_ranks(path: Path, name: str, rank: int, conv_rank: int) -> None:
    """Refuse a LoRA to start from whose ranks are not those of the network that is trained.

    Args:
        path: a LoRA file.
        name: the file as the user typed it.
        rank: of the network's layers.
        conv_rank: of its 3x3 convolutions, which are left alone when it is 0.

    Raises:
        ModelFileError: the ranks differ.
    """
    found = {False: set[int](), True: set[int]()}
    for key, shape in (_shapes(path) or {}).items():
        if key.endswith(DOWN) and len(shape) in (2, 4):
            found[len(shape) == 4 and shape[2] > 1].add(shape[0])
    for is_wide, wanted, option in ((False, rank, "--network_dim"), (True, conv_rank, "conv_dim in --network_args")):
        ranks = sorted(found[is_wide])
        if ranks and wanted and ranks != [wanted]:
            listed = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
            raise ModelFileError(
                where="--network_weights",
                what=f"{name} has {listed}, and {option} is {wanted}.",
                fix=f"Add --dim_from_weights{f', or set it to {ranks[0]}' if len(ranks) == 1 else ''}.",
            )


def _trained_on(shapes: Shapes) -> str | None:
    """The family of a LoRA, or None when neither its names nor the width of its text states tell."""
    for family, starts in STARTS.items():
        if any(name.startswith(starts) for name in shapes):
            return family
    widths = {shape[1] for name, shape in shapes.items() if name.endswith(TEXT_READER) and len(shape) > 1}
    return FAMILY_BY_CONTEXT.get(widths.pop()) if len(widths) == 1 else None


def _shapes(path: Path) -> dict[str, Sequence[int]] | None:
    if not is_safetensors(path):
        return None
    return {name: entry.shape for name, entry in read_header(path).tensors.items()}
