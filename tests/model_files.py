"""Model files with the names and kinds of real ones, a few kilobytes large and full of zeros."""

from pathlib import Path

from tanren.formats.safetensors_header import header_bytes, lay_out

UNET = "model.diffusion_model."
ATTENTION = f"{UNET}input_blocks.1.1."
LAYER = "cond_stage_model.transformer.text_model.encoder.layers.0."
SD1_SHAPES = {
    f"{UNET}input_blocks.0.0.weight": (8, 4, 3, 3),
    f"{UNET}input_blocks.1.0.in_layers.2.weight": (8, 8, 3, 3),
    f"{UNET}input_blocks.1.0.emb_layers.1.weight": (8, 32),
    f"{ATTENTION}proj_in.weight": (8, 8, 1, 1),
    f"{ATTENTION}transformer_blocks.0.attn1.to_q.weight": (8, 8),
    f"{ATTENTION}transformer_blocks.0.attn2.to_k.weight": (8, 16),
    f"{ATTENTION}transformer_blocks.0.ff.net.0.proj.weight": (64, 8),
    f"{LAYER}self_attn.q_proj.weight": (16, 16),
    f"{LAYER}mlp.fc1.weight": (64, 16),
    "first_stage_model.decoder.conv_in.weight": (4, 4, 3, 3),
}

FIRST_TEXT, SECOND_TEXT = "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."
SDXL_SHAPES = {
    **{name: shape for name, shape in SD1_SHAPES.items() if not name.startswith("cond_stage_model.")},
    f"{UNET}label_emb.0.0.weight": (32, 68),
    f"{FIRST_TEXT}encoder.layers.0.self_attn.q_proj.weight": (16, 16),
    f"{SECOND_TEXT}ln_final.weight": (24,),
    f"{SECOND_TEXT}transformer.resblocks.0.attn.in_proj_weight": (72, 24),
}
# As wide as the published models, in the one layer by which that is told.
FULL_WIDTH = {f"{UNET}input_blocks.0.0.weight": (320, 4, 3, 3)}


def write_model(path: Path, shapes=SD1_SHAPES) -> Path:
    """A safetensors file of zeros with these tensors."""
    entries = lay_out((name, "F32", shape) for name, shape in sorted(shapes.items()))
    size = max(entry.end for entry in entries.values())
    path.write_bytes(header_bytes({}, entries) + bytes(size))
    return path
