"""The commands: what each one trains, and which options it has.

Families and recipes are named by module path, because they import torch; `entry.py` imports them once the settings have
been checked.
"""

from __future__ import annotations

from dataclasses import dataclass

from .formats.checkpoint_kind import SD_BASES, SDXL_BASES
from .options.blocks import SD_BLOCKS, SDXL_BLOCKS, BlockLayout
from .options.caching import CachingOptions
from .options.config import ConfigOptions
from .options.dataset import DatasetOptions
from .options.distributed import DistributedOptions
from .options.generating import (
    BaseKindOptions,
    DrawingModelOptions,
    DrawingOptions,
    DrawingSpeedOptions,
    OutputOptions,
    PromptOptions,
)
from .options.generating_inputs import ControlOptions, DrawingNetworkOptions, FromPictureOptions, HighresOptions
from .options.hub import HubOptions
from .options.job import JobOptions
from .options.leco import LecoOptions
from .options.lllite import ControlDatasetOptions, LlliteOptions
from .options.loss import LossOptions
from .options.model import AttentionOptions, ModelOptions
from .options.network import NetworkOptions
from .options.optimizer import OptimizerOptions, SchedulerOptions
from .options.sampling import SamplingOptions
from .options.saving import MetadataOptions, ResumeOptions, SavingOptions
from .options.sdxl import SdxlOptions
from .options.tracking import ConsoleOptions, TrackingOptions
from .options.training import TrainingOptions

PICTURES, PROMPTS = "pictures", "prompts"


@dataclass(frozen=True)
class Command:
    """One trainer.

    Args:
        title: what it does, in a few words.
        family: module that holds FAMILY, relative to the package.
        recipe: module that holds run(), relative to the package.
        groups: its option groups, in the order of forms and references.
        bases: kinds of checkpoints that can be trained, as `formats/checkpoint_kind.py` names them.
        blocks: of the U-Net, as block-wise ranks and learning rates count them.
        bucket_step: pixels that sides of buckets are multiples of, because of how often the model halves a picture.
        reads: PICTURES with captions, or a file of PROMPTS.
    """

    title: str
    family: str
    recipe: str
    groups: tuple[type, ...]
    bases: tuple[str, ...]
    blocks: BlockLayout
    bucket_step: int
    reads: str = PICTURES


@dataclass(frozen=True)
class PictureBase:
    """A kind of model that pictures are drawn with.

    Args:
        kinds: of checkpoints, as `formats/checkpoint_kind.py` names them.
        family: module that holds FAMILY, relative to the package.
        side: usual width and height, in pixels.
        tells_sizes: the model is told sizes and crop of pictures.
        has_control: there are control networks (ControlNet-LLLite) for it.
    """

    kinds: tuple[str, ...]
    family: str
    side: int
    tells_sizes: bool = False
    has_control: bool = False


@dataclass(frozen=True)
class Generator:
    """One command that draws pictures from prompts.

    Args:
        title: what it does, in a few words.
        recipe: module that holds run(), relative to the package.
        groups: its option groups, in the order of references.
        bases: what it draws with; the first one where nothing tells.
    """

    title: str
    recipe: str
    groups: tuple[type, ...]
    bases: tuple[PictureBase, ...]


NETWORK_GROUPS = (ModelOptions, DatasetOptions, NetworkOptions, OptimizerOptions)
RUN_GROUPS = (
    SchedulerOptions,
    TrainingOptions,
    DistributedOptions,
    CachingOptions,
    AttentionOptions,
    LossOptions,
    SavingOptions,
    MetadataOptions,
    ResumeOptions,
    HubOptions,
    SamplingOptions,
    TrackingOptions,
    ConsoleOptions,
    ConfigOptions,
    JobOptions,
)

# No pictures, so neither data nor caches of it.
LECO_GROUPS = (
    *(ModelOptions, LecoOptions, NetworkOptions, OptimizerOptions),
    *(group for group in RUN_GROUPS if group is not CachingOptions),
)

LLLITE_GROUPS = (ModelOptions, ControlDatasetOptions, LlliteOptions, OptimizerOptions, *RUN_GROUPS)

COMMANDS = {
    "train_network": Command(
        title="Train a LoRA for Stable Diffusion 1.x and 2.x",
        family=".families.sd",
        recipe=".recipes.lora",
        groups=(*NETWORK_GROUPS, *RUN_GROUPS),
        bases=SD_BASES,
        blocks=SD_BLOCKS,
        bucket_step=64,
    ),
    "sdxl_train_network": Command(
        title="Train a LoRA for Stable Diffusion XL",
        family=".families.sdxl",
        recipe=".recipes.lora",
        groups=(*NETWORK_GROUPS, SdxlOptions, *RUN_GROUPS),
        bases=SDXL_BASES,
        blocks=SDXL_BLOCKS,
        bucket_step=32,
    ),
    "train_leco": Command(
        title="Erase, strengthen or slide a concept in Stable Diffusion 1.x and 2.x (LECO)",
        family=".families.sd",
        recipe=".recipes.leco",
        groups=LECO_GROUPS,
        bases=SD_BASES,
        blocks=SD_BLOCKS,
        bucket_step=64,
        reads=PROMPTS,
    ),
    "sdxl_train_leco": Command(
        title="Erase, strengthen or slide a concept in Stable Diffusion XL (LECO)",
        family=".families.sdxl",
        recipe=".recipes.leco",
        groups=LECO_GROUPS,
        bases=SDXL_BASES,
        blocks=SDXL_BLOCKS,
        bucket_step=32,
        reads=PROMPTS,
    ),
    "sdxl_train_control_net_lllite": Command(
        title="Train a ControlNet-LLLite for Stable Diffusion XL",
        family=".families.sdxl",
        recipe=".recipes.lllite",
        groups=LLLITE_GROUPS,
        bases=SDXL_BASES,
        blocks=SDXL_BLOCKS,
        bucket_step=32,
    ),
}

PICTURE_GROUPS = (
    *(DrawingModelOptions, PromptOptions, DrawingOptions, OutputOptions, DrawingSpeedOptions, FromPictureOptions),
    *(DrawingNetworkOptions, ControlOptions, HighresOptions, ConsoleOptions),
)
SD_PICTURES = PictureBase(SD_BASES, ".families.sd", 512)
SDXL_PICTURES = PictureBase(SDXL_BASES, ".families.sdxl", 1024, tells_sizes=True, has_control=True)

# Beside the trainers: pages and presets know of those only.
GENERATORS = {
    "sdxl_gen_img": Generator(
        title="Draw pictures with Stable Diffusion XL",
        recipe=".recipes.generate",
        groups=PICTURE_GROUPS,
        bases=(SDXL_PICTURES,),
    ),
    "gen_img": Generator(
        title="Draw pictures with Stable Diffusion 1.x, 2.x or XL",
        recipe=".recipes.generate",
        groups=(BaseKindOptions, *PICTURE_GROUPS),
        bases=(SD_PICTURES, SDXL_PICTURES),
    ),
}
