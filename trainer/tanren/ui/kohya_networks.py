"""`LoRA_type` of kohya_ss' GUI, and the fields beside it, as --network_module and --network_args.

The fields of all kinds stand in every file; those of other kinds are what the form happened to hold and mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .imported import Ledger

LORA, LYCORIS = "networks.lora", "lycoris.kohya"
BLOCKS = (
    *("down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold"),
    *("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas", "rank_dropout", "module_dropout"),
)
LORA_PLUS = ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio")
CONV = ("conv_dim", "conv_alpha")
DROPOUTS = ("rank_dropout", "module_dropout", "rank_dropout_scale")
# Keys of the GUI that its kinds of LyCORIS pass on, besides the algorithm and the preset.
ALGORITHMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "LoCon": ("locon", (*CONV, *DROPOUTS, "use_tucker", "use_scalar", "bypass_mode", "dora_wd", "train_norm")),
    "LyCORIS/LoCon": ("locon", (*CONV, *DROPOUTS, "use_tucker", "use_scalar", "bypass_mode", "dora_wd", "train_norm")),
    "LyCORIS/LoHa": ("loha", (*CONV, *DROPOUTS, "use_tucker", "use_scalar", "bypass_mode", "dora_wd", "train_norm")),
    "LyCORIS/LoKr": (
        "lokr",
        (*CONV, *DROPOUTS, "factor", "use_cp", "use_scalar", "decompose_both", "bypass_mode", "dora_wd", "train_norm"),
    ),
    "LyCORIS/DyLoRA": ("dylora", (*CONV, "rank_dropout", "module_dropout", "use_tucker", "unit", "train_norm")),
    "LyCORIS/iA3": ("ia3", (*CONV, "train_on_input")),
    "LyCORIS/GLoRA": ("glora", (*CONV, *DROPOUTS, "use_tucker", "train_norm")),
    "LyCORIS/BOFT": ("boft", (*CONV, *DROPOUTS, "use_tucker", "train_norm")),
    "LyCORIS/Diag-OFT": ("diag-oft", (*CONV, *DROPOUTS, "use_tucker", "constrain", "rescaled", "train_norm")),
    "LyCORIS/Native Fine-Tuning": ("full", (*DROPOUTS, "train_norm")),
}
CALLED = {"unit": "block_size", "constrain": "constraint"}
NOTHING: tuple[Any, ...] = (None, "", False, 0, "0", -1, "-1", [], {})
WITHOUT_MEANING = ("LoRA_type", "LyCORIS_preset", "conv_dims", "conv_alphas")
NETWORK_KEYS = frozenset(
    (*BLOCKS, *LORA_PLUS, *WITHOUT_MEANING, *(key for _, keys in ALGORITHMS.values() for key in keys))
)


def take_network(data: Mapping[str, Any], ledger: Ledger) -> None:
    """Take the kind of network and its arguments; a kind that is not trained here goes to the report."""
    kind = data.get("LoRA_type", "Standard")
    if kind in ("Standard", "Kohya LoCon"):
        module, keys, start = LORA, (*(CONV if kind == "Kohya LoCon" else ()), *BLOCKS), []
    elif isinstance(kind, str) and kind in ALGORITHMS:
        algorithm, keys = ALGORITHMS[kind]
        preset = str(data.get("LyCORIS_preset") or "")
        module, start = LYCORIS, [f"algo={algorithm}", *([f"preset={preset}"] if preset else [])]
    else:
        ledger.leave("LoRA_type", kind, "This kind of network is not trained here; choose another one.")
        return
    given = {key: data[key] for key in (*keys, *LORA_PLUS) if _means_something(key, data.get(key))}
    ledger.take("LoRA_type", module, "network_module")
    arguments = [*start, *(f"{CALLED.get(key, key)}={_text(value)}" for key, value in given.items())]
    if arguments:
        ledger.take("network_args", arguments)
        ledger.result.taken[-1:] = given


def _means_something(key: str, value: Any) -> bool:
    """False for the defaults of these arguments: nothing, off, zero, no factor (-1); alpha 0 means the rank."""
    return value not in ((None, "") if key in CONV else NOTHING)


def _text(value: Any) -> str:
    """Numbers without a needless fraction: 4.0 is a rank of 4."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
