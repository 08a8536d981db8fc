"""The base model and how its attention is computed."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import Requires, option
from .values import lower_choice


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model that is trained upon."""

    pretrained_model_name_or_path: str | None = option(
        None,
        "Base model: a .safetensors or .ckpt file, a diffusers folder, or a hub id.",
        label="Base model for training",
        level="basic",
        saved_as="ss_sd_model_name",
        path="file or folder",
    )
    v2: bool = option(
        False, "The base model is Stable Diffusion 2.x.", label="Stable Diffusion 2.x", level="basic", saved_as="ss_v2"
    )
    v_parameterization: bool = option(
        False,
        "The base model predicts velocity (SD 2.x 768 and other v-prediction models).",
        label="v-prediction model",
    )
    zero_terminal_snr: bool = option(
        False,
        "Rescale the noise schedule so that the last timestep holds no signal; for models trained that way.",
        label="Zero terminal SNR",
        level="expert",
        saved_as="ss_zero_terminal_snr",
    )
    vae: str | None = option(
        None,
        "Another VAE in place of the base model's: a file, a diffusers folder or a hub id.",
        label="Other VAE",
        saved_as="ss_vae_name",
        path="file or folder",
    )
    no_half_vae: bool = option(
        False, "Keep the VAE in float32 under fp16 or bf16, against black pictures.", label="VAE in float32"
    )
    tokenizer_cache_dir: str | None = option(
        None,
        "Folder with tokenizers for use without a network.",
        label="Tokenizer folder",
        level="expert",
        no_effect="CLIP's tokenizer is part of the package, nothing has to be fetched.",
        path="folder",
    )
    disable_mmap_load_safetensors: bool = option(
        False,
        "Read safetensors into memory instead of mapping them; faster on WSL.",
        label="Load without memory mapping",
        level="expert",
    )
    fp8_base: bool = option(
        False,
        "Keep the frozen weights of U-Net and text encoders in 8 bits (float8), half the memory of fp16; needs "
        "--mixed_precision fp16 or bf16.",
        label="Base model in 8 bits",
        saved_as="ss_fp8_base",
    )
    fp8_base_unet: bool = option(
        False,
        "Keep the frozen weights of the U-Net alone in 8 bits (float8); needs --mixed_precision fp16 or bf16.",
        label="U-Net in 8 bits",
        saved_as="ss_fp8_base_unet",
    )
    lowram: bool = option(
        False,
        "Spare main memory: text encoders and VAE stay on the GPU between sample pictures. Models are always loaded "
        "straight to the GPU.",
        label="Little main memory",
        saved_as="ss_lowram",
    )
    highvram: bool = option(
        False,
        "Spare time: text encoders and VAE stay on the GPU between sample pictures, and GPU memory that falls free is "
        "not given back.",
        label="Plenty of GPU memory",
        level="expert",
    )
    clip_skip: int | None = option(
        None,
        "Use the output of this layer of the text encoder, counted from the end; 2 for most anime models.",
        label="CLIP skip while training",
        minimum=1,
        maximum=24,
        saved_as="ss_clip_skip",
    )
    max_token_length: int | None = option(
        None,
        "Longest caption in tokens; not given means 75.",
        label="Longest caption (tokens)",
        choices=(75, 150, 225),
        saved_as="ss_max_token_length",
    )

    rules = (
        Requires(
            "zero_terminal_snr",
            "v_parameterization",
            because="at the last step nothing of epsilon is left to learn",
            warns=True,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """How attention is computed and compiled."""

    sdpa: bool = option(
        False,
        "PyTorch's own memory-efficient attention; what is used unless another is asked for.",
        label="PyTorch attention (SDPA)",
    )
    xformers: bool = option(
        False,
        "xformers' attention; where it cannot be imported, PyTorch's own with a warning.",
        label="xformers attention",
    )
    mem_eff_attn: bool = option(
        False, "Attention in slices: the least memory, slow.", label="Attention in slices", level="expert"
    )
    torch_compile: bool = option(
        False,
        "Compile the U-Net's blocks with torch.compile: takes minutes at the start and for each new picture size. The "
        "layers fused by hand, which are used otherwise, are often as fast.",
        label="Compile the U-Net",
        level="expert",
    )
    # "no" is what kohya's GUI writes into its files when nothing is compiled.
    dynamo_backend: str = option(
        "inductor",
        "Back end of --torch_compile; no switches it off.",
        label="Compiler back end",
        choices=(
            "eager",
            "aot_eager",
            "inductor",
            "aot_ts_nvfuser",
            "nvprims_nvfuser",
            "cudagraphs",
            "ofi",
            "fx2trt",
            "onnxrt",
            "tensort",
            "ipex",
            "tvm",
            "no",
        ),
        parse=lower_choice,
        level="expert",
    )
