"""Pictures from prompts: the model, the prompts, what is drawn and where it goes.

Groups have other names than the trainers' because the options, though some are called alike, mean other things here.
"""

from __future__ import annotations

from dataclasses import dataclass

from .sampling import SAMPLERS
from .spec import Conflicts, Requires, option

LARGEST_SIDE = 16384


@dataclass(frozen=True, kw_only=True)
class DrawingModelOptions:
    """The model that draws."""

    ckpt: str | None = option(
        None,
        "Model: a .safetensors or .ckpt file, a diffusers folder, a hub id, or a pattern that one file fits.",
        path="file or folder",
    )
    vae: str | None = option(None, "Another VAE: a file, a diffusers folder or a hub id.", path="file or folder")
    tokenizer_cache_dir: str | None = option(
        None,
        "Folder with tokenizers for use without a network.",
        no_effect="CLIP's tokenizer is part of the package, nothing has to be fetched.",
        path="folder",
    )
    fp16: bool = option(False, "Compute in fp16; without a GPU in float32.")
    bf16: bool = option(False, "Compute in bf16.")
    no_half_vae: bool = option(False, "Keep the VAE in float32 under fp16 or bf16, against black pictures.")
    clip_skip: int | None = option(
        None,
        "Use the output of this layer of the text encoders, counted from the end. Not given: 1 for SD 1 and 2, 2 for "
        "SDXL.",
        minimum=1,
        maximum=24,
    )
    v_parameterization: bool = option(False, "The model predicts velocity.")
    zero_terminal_snr: bool = option(
        False,
        "The model was trained with a noise schedule that ends in pure noise: drawing begins there. For ddim, euler, "
        "euler_a and dpmsolver++.",
    )

    rules = (Conflicts("fp16", "bf16", because="there is one precision"),)


@dataclass(frozen=True, kw_only=True)
class BaseKindOptions:
    """Which kind of model it is, for those who want to say; the file says it too."""

    v1: bool = option(False, "The model is Stable Diffusion 1.x; an error when it is not.")
    v2: bool = option(False, "The model is Stable Diffusion 2.x; an error when it is not.")
    sdxl: bool = option(False, "The model is SDXL; an error when it is not.")

    rules = (
        Conflicts("v1", "v2", because="a model is of one kind"),
        Conflicts("v1", "sdxl", because="a model is of one kind"),
        Conflicts("v2", "sdxl", because="a model is of one kind"),
    )


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """The prompts."""

    prompt: str | None = option(None, "One prompt, with options behind it: 'a cat --n blurry --d 1'.")
    from_file: str | None = option(
        None, "File with a prompt a line; lines that start with # are left out.", path="file"
    )
    interactive: bool = option(
        False,
        "Ask for prompts at the keyboard and draw one picture of each, until the input ends.",
    )
    no_preview: bool = option(
        False,
        "Do not show the pictures of --interactive.",
    )
    shuffle_prompts: bool = option(False, "Draw the prompts of each round in random order.")
    images_per_prompt: int = option(
        1, "Pictures of each prompt, with variants drawn anew; not of prompts that enumerate with e$$.", minimum=1
    )
    n_iter: int = option(1, "Rounds: how often the whole list is drawn.", minimum=1)
    max_embeddings_multiples: int | None = option(
        None,
        "Longest prompt in windows of 75 tokens; what is longer is cut, with a warning. Not given: 1.",
        minimum=1,
        maximum=20,
    )
    emb_normalize_mode: str = option(
        "original",
        "What emphasis keeps: the mean of the text states (original), the mean of their sizes (abs), nothing (none).",
        choices=("original", "none", "abs"),
    )

    rules = tuple(
        Conflicts("interactive", other, because="prompts come from one place") for other in ("from_file", "prompt")
    )


@dataclass(frozen=True, kw_only=True)
class DrawingOptions:
    """What is drawn, where a prompt says nothing else."""

    W: int | None = option(
        None,
        "Width in pixels, a multiple of 8. Not given: 1024 for SDXL, 512 else.",
        minimum=64,
        maximum=LARGEST_SIDE,
    )
    H: int | None = option(None, "Height in pixels; as --W.", minimum=64, maximum=LARGEST_SIDE)
    original_width: int | None = option(
        None, "Width of the original picture that SDXL is told. Not given: the picture's.", minimum=1
    )
    original_height: int | None = option(None, "Height of the same.", minimum=1)
    original_width_negative: int | None = option(
        None, "That of the negative prompt. Not given: as for the prompt.", minimum=1
    )
    original_height_negative: int | None = option(None, "Height of the same.", minimum=1)
    crop_top: int = option(0, "Pixels cut off at the top that SDXL is told of.", minimum=0)
    crop_left: int = option(0, "Pixels cut off on the left that SDXL is told of.", minimum=0)
    steps: int = option(50, "Steps of the sampler.", minimum=1, maximum=1000)
    sampler: str = option("ddim", "Sampler.", choices=SAMPLERS)
    force_scheduler_zero_steps_offset: bool = option(
        False,
        "Count the sampler's steps from 0 and not from 1, as sample pictures of a training do; ddim and pndm know the "
        "difference.",
    )
    scale: float = option(7.5, "Guidance scale; 1 and below draw without guidance and without negative prompt.")
    negative_scale: float | None = option(
        None, "A guidance scale of its own for the negative prompt; then the empty prompt is what both move away from."
    )
    seed: int | None = option(
        None, "Seed of all seeds and variants; a single picture has it itself.", minimum=0, maximum=2**32 - 1
    )
    iter_same_seed: bool = option(
        False, "All pictures of a round have the same seed: that of --seed in the first round."
    )


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where pictures go, and how they are called."""

    outdir: str = option("outputs", "Folder of the pictures.", path="folder")
    sequential_file_name: bool = option(False, "Call them im_000001.png and so on; names that exist are passed over.")
    use_original_file_name: bool = option(False, "Call them as the picture that they were drawn from.")

    rules = (
        Requires("use_original_file_name", "image_path", because="the name is that of a picture of --image_path"),
        Conflicts("use_original_file_name", "sequential_file_name", because="a picture has one name"),
    )


@dataclass(frozen=True, kw_only=True)
class DrawingSpeedOptions:
    """How many pictures at a time, and how."""

    batch_size: int = option(1, "Pictures drawn together; those whose sizes or numbers differ never are.", minimum=1)
    vae_batch_size: float | None = option(
        None, "Pictures decoded together; below 1 a part of the batch. Not given: the batch.", minimum=0.001
    )
    xformers: bool = option(False, "xformers' attention; where it cannot be imported, PyTorch's own with a warning.")
    sdpa: bool = option(False, "PyTorch's own attention; what is used unless another is asked for.")
    diffusers_xformers: bool = option(False, "The same as --xformers.")
    opt_channels_last: bool = option(
        False, "Keep the U-Net's weights in the channels-last layout; faster on some GPUs."
    )
