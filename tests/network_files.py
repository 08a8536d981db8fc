"""Small networks as the trainers of the wild write them: the same names and shapes, few layers, tensors of zeros."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from tanren.formats.safetensors_header import header_bytes, lay_out

SD_ATTENTION = "down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
SDXL_ATTENTION = "input_blocks_4_1_transformer_blocks_1_attn2_to_k"
FLUX_DOUBLE, FLUX_SINGLE = "double_blocks_7_img_attn_qkv", "single_blocks_30_linear1"
CLIP = "text_model_encoder_layers_3_self_attn_q_proj"


def lora(name: str, width: int, out: int, rank: int = 8, kernel: tuple[int, ...] = ()) -> dict[str, tuple[int, ...]]:
    """kohya's three tensors of one layer."""
    one = (1, 1) if kernel else ()
    return {
        f"{name}.lora_down.weight": (rank, width, *kernel),
        f"{name}.lora_up.weight": (out, rank, *one),
        f"{name}.alpha": (),
    }


def peft(name: str, width: int, out: int, rank: int = 8) -> dict[str, tuple[int, ...]]:
    """PEFT's two tensors of one layer."""
    return {f"{name}.lora_A.weight": (rank, width), f"{name}.lora_B.weight": (out, rank)}


SD1_LORA = {**lora(f"lora_unet_{SD_ATTENTION}", 768, 640), **lora(f"lora_te_{CLIP}", 768, 768, 4)}
SD2_LORA = {**lora(f"lora_unet_{SD_ATTENTION}", 1024, 640), **lora(f"lora_te_{CLIP}", 1024, 1024)}
SDXL_LORA = {
    **lora(f"lora_unet_{SDXL_ATTENTION}", 2048, 640),
    **lora(f"lora_te1_{CLIP}", 768, 768),
    **lora(f"lora_te2_{CLIP}", 1280, 1280),
}
FLUX_LORA = {
    **lora(f"lora_unet_{FLUX_DOUBLE}", 3072, 9216, 16),
    **lora(f"lora_unet_{FLUX_SINGLE}", 3072, 21504, 16),
    **lora(f"lora_te1_{CLIP}", 768, 768),
}


def network_bytes(
    shapes: Mapping[str, tuple[int, ...]],
    metadata: Mapping[str, str] | None = None,
    *,
    alpha: float = 4.0,
    dtype: str = "F16",
) -> bytes:
    """A whole file; alphas hold a number, everything else is zero."""
    entries = lay_out((name, dtype, shape) for name, shape in sorted(shapes.items()))
    payload = bytearray(max((entry.end for entry in entries.values()), default=0))
    number = {"F16": struct.pack("<e", alpha), "BF16": struct.pack("<f", alpha)[2:], "F32": struct.pack("<f", alpha)}
    for name, entry in entries.items():
        if name.endswith(".alpha") and not entry.shape:
            payload[entry.begin : entry.end] = number[dtype]
    return header_bytes(metadata or {}, entries) + bytes(payload)


def write_network(
    path: Path, shapes: Mapping[str, tuple[int, ...]] = SD1_LORA, metadata: Mapping[str, str] | None = None, **more
) -> Path:
    """The same on disk."""
    path.write_bytes(network_bytes(shapes, metadata, **more))
    return path


def payload_of(path: Path) -> bytes:
    """The bytes after the header."""
    data = path.read_bytes()
    return data[8 + int.from_bytes(data[:8], "little") :]
