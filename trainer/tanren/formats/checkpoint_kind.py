"""What a checkpoint is, told from the names and shapes of its tensors, before any weight is read.

The order of the tests matters: later families carry some of the names of earlier ones. Widths are looked at only where
names leave it open, so that models of another size but the same topology are known too. Source of the names: the
published files of each family and the loaders that read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import ModelFileError, UsageError, UserError

Shapes = Mapping[str, Sequence[int]]
UNET = "model.diffusion_model."
SD1, SD2, SDXL = "sd1", "sd2", "sdxl"
SD_BASES, SDXL_BASES = (SD1, SD2), (SDXL,)
TRAINABLE = (*SD_BASES, *SDXL_BASES)
WANTED = {SD_BASES: "a Stable Diffusion 1 or 2 checkpoint", SDXL_BASES: "an SDXL base checkpoint"}
EDM = "edm"
NORMAL_CHANNELS = 4
SPECIAL_INPUTS = {9: "inpainting", 8: "instruct-pix2pix", 7: "x4 upscaler", 5: "depth"}
FAMILY_BY_CONTEXT = {768: SD1, 1024: SD2, 1280: "sdxl_refiner", 2048: SDXL}
TITLES = {
    SD1: "a Stable Diffusion 1 model",
    SD2: "a Stable Diffusion 2 model",
    SDXL: "an SDXL model",
    "sdxl_refiner": "an SDXL refiner",
    "sd3": "a Stable Diffusion 3 model",
    "flux": "a FLUX.1 model",
    "chroma": "a Chroma model",
    "lora": "a LoRA or another small network",
    "lllite": "a ControlNet-LLLite",
    "controlnet": "a ControlNet",
    "embedding": "a textual inversion embedding",
    "vae": "an autoencoder (VAE) alone",
    "text_encoder": "a text encoder alone",
    "unet": "a U-Net in diffusers naming alone",
    "unknown": "not a model that is known here",
}
# Playground 2.5 and CosXL: another noise schedule, which needs another loss.
EDM_MARKS = {"edm_mean", "edm_vpred.sigma_max"}
LORA_MARKS = (".lora_down.weight", ".lora_up.weight", ".lora_A.weight", ".lora_B.weight", ".hada_w1_a", ".lokr_w1")


@dataclass(frozen=True)
class CheckpointKind:
    """What a file holds.

    Args:
        family: key of `TITLES`.
        in_channels: input channels of the U-Net; 4 unless the model takes pictures as input too.
        prediction: "v", "epsilon" or "edm" when the file says so, else None.
        zero_terminal_snr: the file says that it was trained with a noise schedule that ends in pure noise.
        has_text_encoder, has_vae: whether these parts are in the file.
    """

    family: str
    in_channels: int = NORMAL_CHANNELS
    prediction: str | None = None
    zero_terminal_snr: bool = False
    has_text_encoder: bool = True
    has_vae: bool = True

    @property
    def sentence(self) -> str:
        """For messages: "an SDXL model", "a Stable Diffusion 1 model for inpainting (9 input channels)"."""
        title = TITLES[self.family]
        if self.in_channels == NORMAL_CHANNELS:
            return title
        purpose = SPECIAL_INPUTS.get(self.in_channels)
        return f"{title}{f' for {purpose}' if purpose else ''} ({self.in_channels} input channels)"


def kind_of(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> CheckpointKind:
    """The kind of a single file.

    Args:
        shapes: tensor name -> shape, as in the file.
        metadata: texts of a safetensors header; only `modelspec.prediction_type` is looked at.
    """
    first = shapes.get(f"{UNET}input_blocks.0.0.weight", ())
    kind = CheckpointKind(
        family=_family(shapes),
        in_channels=first[1] if len(first) > 1 else NORMAL_CHANNELS,
        has_text_encoder=_any_starts(shapes, ("cond_stage_model.", "conditioner.embedders.", "text_encoders.")),
        has_vae=_any_starts(shapes, ("first_stage_model.", "vae.")),
    )
    if EDM_MARKS & shapes.keys():
        return replace(kind, prediction=EDM)
    if "v_pred" in shapes:
        return replace(kind, prediction="v", zero_terminal_snr="ztsnr" in shapes)
    said = {"v": "v", "epsilon": "epsilon"}.get((metadata or {}).get("modelspec.prediction_type", ""))
    return replace(kind, prediction=said)


def _family(shapes: Shapes) -> str:
    return _large_family(shapes) or _unet_family(shapes) or _part_of_a_model(shapes)


def _large_family(shapes: Shapes) -> str | None:
    for prefix in (UNET, ""):
        if f"{prefix}distilled_guidance_layer.in_proj.weight" in shapes:
            return "chroma"
        if f"{prefix}double_blocks.0.img_attn.norm.key_norm.scale" in shapes:
            return "flux"
        if f"{prefix}joint_blocks.0.context_block.adaLN_modulation.1.bias" in shapes:
            return "sd3"
    return "flux" if "transformer_blocks.0.attn.add_k_proj.bias" in shapes else None


def _unet_family(shapes: Shapes) -> str | None:
    if f"{UNET}input_blocks.0.0.weight" not in shapes:
        return None
    if "conditioner.embedders.1.model.ln_final.weight" in shapes:
        return SDXL
    single = shapes.get("conditioner.embedders.0.model.ln_final.weight")
    if single is not None:
        return SD2 if f"{UNET}label_emb.0.0.weight" not in shapes else "sdxl_refiner"
    if f"{UNET}label_emb.0.0.weight" in shapes:
        return "sdxl_refiner" if list(shapes[f"{UNET}label_emb.0.0.weight"])[1:] == [2560] else SDXL
    if _any_starts(shapes, ("cond_stage_model.model.",)):
        return SD2
    if _any_starts(shapes, ("cond_stage_model.transformer.",)):
        return SD1
    context = shapes.get(f"{UNET}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", ())
    return FAMILY_BY_CONTEXT.get(context[1] if len(context) > 1 else 0, "unknown")


def _part_of_a_model(shapes: Shapes) -> str:
    if _any_starts(shapes, ("lllite_",)):
        return "lllite"
    if any(name.endswith(LORA_MARKS) for name in shapes) or _any_starts(shapes, ("lora_", "lycoris_", "oft_unet_")):
        return "lora"
    if _any_starts(shapes, ("control_model.", "controlnet_")):
        return "controlnet"
    if "emb_params" in shapes or "string_to_param" in shapes or {"clip_l", "clip_g"} & shapes.keys():
        return "embedding"
    if any(f"{prefix}decoder.conv_in.weight" in shapes for prefix in ("", "first_stage_model.", "vae.")):
        return "vae"
    if "down_blocks.0.resnets.0.conv1.weight" in shapes:
        return "unet"
    text = ("text_model.embeddings.token_embedding.weight", "encoder.block.0.layer.0.SelfAttention.q.weight")
    return "text_encoder" if any(name in shapes for name in text) else "unknown"


def _any_starts(names: Iterable[str], prefixes: tuple[str, ...]) -> bool:
    return any(name.startswith(prefixes) for name in names)


def base_model_problem(
    kind: CheckpointKind, name: str, *, bases: tuple[str, ...], v2: bool, needs_vae: bool = False
) -> UserError | None:
    """Why a checkpoint cannot be the base of a training with these flags, or None.

    Args:
        kind: what the file is.
        name: the file as the user typed it.
        bases: kinds that can be trained, `SD_BASES` or `SDXL_BASES`.
        v2: `--v2`.
        needs_vae: no other autoencoder is named with `--vae`.
    """
    where = "--pretrained_model_name_or_path"
    if kind.family not in bases:
        fix = f"Give {WANTED[bases]}."
        if kind.family in TRAINABLE:
            other = "with sdxl_ in front" if kind.family in SDXL_BASES else "without sdxl_ in front"
            fix = f"Use the command of the same name {other}, or give {WANTED[bases]}."
        return ModelFileError(where=where, what=f"{name} is {kind.sentence}.", fix=fix)
    if kind.prediction == EDM:
        what = f"{name} is {kind.sentence} with the noise schedule EDM, which cannot be trained here."
        return ModelFileError(where=where, what=what, fix=f"Give {WANTED[bases]} that predicts epsilon or v.")
    if kind.in_channels != NORMAL_CHANNELS:
        what = f"{name} is {kind.sentence}."
        return ModelFileError(where=where, what=what, fix="Train on the ordinary model it was made from.")
    if v2 and kind.family == SD1:
        return UsageError(where="--v2", what=f"{name} is {kind.sentence}, so --v2 does not fit.", fix="Leave --v2 out.")
    if not v2 and kind.family == SD2:
        return UsageError(
            where=where,
            what=f"{name} is {kind.sentence}, and --v2 is missing.",
            fix="Add --v2, and --v_parameterization too if it is a 768 pixel v-prediction model.",
        )
    if not kind.has_text_encoder:
        return ModelFileError(where=where, what=f"{name} has no text encoder.", fix="Take the full checkpoint.")
    if needs_vae and not kind.has_vae:
        fix = "Take the full checkpoint, or name a VAE with --vae."
        return ModelFileError(where=where, what=f"{name} has no VAE.", fix=fix)
    return None


def prediction_warnings(
    kind: CheckpointKind, name: str, *, v_parameterization: bool, zero_terminal_snr: bool
) -> list[str]:
    """What the file says about its prediction type that the flags do not."""
    warnings = []
    if kind.prediction == "v" and not v_parameterization:
        warnings.append(f"{name} says that it predicts v: --v_parameterization is probably missing.")
    if kind.prediction == "epsilon" and v_parameterization:
        warnings.append(f"{name} says that it predicts the noise (epsilon): --v_parameterization is probably wrong.")
    if kind.zero_terminal_snr and not zero_terminal_snr:
        warnings.append(f"{name} says that it was trained with zero terminal SNR: --zero_terminal_snr is missing.")
    return warnings
