"""The commands: what each one trains, and which options it has.

Families and recipes are named by module path, because they import torch; `entry.py` imports them once the settings have
been checked.
"""

from __future__ import annotations

from dataclasses import dataclass

from .options.caching import CachingOptions
from .options.config import ConfigOptions
from .options.dataset import DatasetOptions
from .options.job import JobOptions
from .options.loss import LossOptions
from .options.model import AttentionOptions, ModelOptions
from .options.network import NetworkOptions
from .options.optimizer import OptimizerOptions, SchedulerOptions
from .options.sampling import SamplingOptions
from .options.saving import MetadataOptions, ResumeOptions, SavingOptions
from .options.tracking import ConsoleOptions, TrackingOptions
from .options.training import TrainingOptions


@dataclass(frozen=True)
class Command:
    """One trainer.

    Args:
        title: what it does, in a few words.
        family: module that holds FAMILY, relative to the package.
        recipe: module that holds run(), relative to the package.
        groups: its option groups, in the order of forms and references.
        bucket_step: pixels that sides of buckets are multiples of, because of how often the model halves a picture.
    """

    title: str
    family: str
    recipe: str
    groups: tuple[type, ...]
    bucket_step: int


COMMANDS = {
    "train_network": Command(
        title="Train a LoRA for Stable Diffusion 1.x and 2.x",
        family=".families.sd",
        recipe=".recipes.lora",
        bucket_step=64,
        groups=(
            ModelOptions,
            DatasetOptions,
            NetworkOptions,
            OptimizerOptions,
            SchedulerOptions,
            TrainingOptions,
            CachingOptions,
            AttentionOptions,
            LossOptions,
            SavingOptions,
            MetadataOptions,
            ResumeOptions,
            SamplingOptions,
            TrackingOptions,
            ConsoleOptions,
            ConfigOptions,
            JobOptions,
        ),
    ),
}
