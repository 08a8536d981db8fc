"""What must be the same when a run goes on, and what may differ.

Settings that only say where files go, what is shown, or how long the run is may change. Pictures and base model are
compared by content, so folders may move. Of versions only the first number counts. Without torch, so that settings and
pictures are compared before a model is loaded.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from .. import __version__
from ..errors import ResumeError
from ..options.config import ConfigOptions
from ..options.distributed import DistributedOptions
from ..options.hub import HubOptions
from ..options.job import JobOptions
from ..options.sampling import SamplingOptions
from ..options.saving import COMPARED_FACTS, MetadataOptions, ResumeOptions, SavingOptions
from ..options.spec import Settings, options_of
from ..options.tracking import ConsoleOptions, TrackingOptions

FREE_GROUPS = (
    SavingOptions,
    MetadataOptions,
    ResumeOptions,
    HubOptions,
    SamplingOptions,
    TrackingOptions,
    ConsoleOptions,
    ConfigOptions,
    JobOptions,
    DistributedOptions,
)
FREE_OPTIONS = frozenset(
    (
        # Compared by content: `data` and `base_model`.
        *("pretrained_model_name_or_path", "vae", "dataset_config", "train_data_dir", "reg_data_dir", "in_json"),
        "conditioning_data_dir",
        # How long the run is; the schedule of learning rates is that of the new length.
        *("max_train_steps", "max_train_epochs"),
        # How fast, not what.
        *("max_data_loader_n_workers", "persistent_data_loader_workers", "lowram", "highvram", "vae_batch_size"),
        *("disable_mmap_load_safetensors", "tokenizer_cache_dir", "cache_latents_to_disk", "skip_cache_check"),
        *("cache_text_encoder_outputs_to_disk", "validate_every_n_steps", "validate_every_n_epochs"),
        *("cpu_offload_checkpointing", "max_validation_steps", "debug_dataset", "cache_info"),
    )
)
ABSENT = "nothing"


@dataclass(frozen=True)
class Fingerprint:
    """Everything that decides what the next update computes.

    Args:
        settings: options by name, as JSON has them; the free ones are left out.
        data: of pictures, captions, repeats and buckets.
        base_model, vae: hashes of the files, or names of the hub.
        processes: that train together.
        device: "cpu" or "cuda".
        precision: what computes.
        versions: of the program, Python and torch.
    """

    settings: dict[str, Any]
    data: str
    base_model: str
    vae: str
    processes: int
    device: str
    precision: str
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was; `name` is what `--allow_changes` takes."""

    name: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"{self.name}: {self.before} before, {self.now} now"


def fingerprint_of(
    settings: Settings,
    *,
    data: str,
    base_model: str,
    vae: str,
    processes: int,
    device: str,
    precision: str,
    torch_version: str,
) -> Fingerprint:
    """The fingerprint of a run about to start."""
    versions = {"tanren": __version__, "python": sys.version.split()[0], "torch": torch_version}
    return Fingerprint(_decisive(settings), data, base_model, vae, processes, device, precision, versions)


def with_known_parts(before: Fingerprint, settings: Settings, *, data: str, processes: int) -> Fingerprint:
    """What is known of a run before its model is loaded; the rest as the state has it."""
    return replace(before, settings=_decisive(settings), data=data, processes=processes)


def differences(before: Fingerprint, now: Fingerprint) -> list[Difference]:
    """What changed between the run that saved a state and the one that would go on from it."""
    found = [
        Difference(name, _shown(before.settings, name), _shown(now.settings, name))
        for name in sorted({*before.settings, *now.settings})
        if _value(before.settings, name) != _value(now.settings, name)
    ]
    for name in COMPARED_FACTS:
        old, new = str(getattr(before, name)), str(getattr(now, name))
        if old != new:
            found.append(Difference(name, old[:16] or ABSENT, new[:16] or ABSENT))
    for name in sorted({*before.versions, *now.versions}):
        old, new = before.versions.get(name, ABSENT), now.versions.get(name, ABSENT)
        if old.split(".")[0] != new.split(".")[0]:
            found.append(Difference(name, old, new))
    return found


def accept_or_refuse(found: Iterable[Difference], allowed: Iterable[str], where: str) -> list[Difference]:
    """The differences that `--allow_changes` accepts.

    Args:
        found: all of them.
        allowed: names the user gave.
        where: the state, for the message.

    Raises:
        ResumeError: others are left.
    """
    accepted = set(allowed)
    found = list(found)
    refused = [one for one in found if one.name not in accepted]
    if refused:
        raise ResumeError(
            where=where,
            what=f"This run is not the one that saved this state; {_count(len(refused))} changed.",
            why="; ".join(str(one) for one in refused),
            fix=f"Set them back, or accept what they do: --allow_changes {' '.join(one.name for one in refused)}",
        )
    return found


def _count(number: int) -> str:
    return "1 thing" if number == 1 else f"{number} things"


def _decisive(settings: Settings) -> dict[str, Any]:
    values = {
        option.name: getattr(group, option.name)
        for group in settings.groups()
        if not isinstance(group, FREE_GROUPS)
        for option in options_of(type(group))
        if option.name not in FREE_OPTIONS and not option.text.secret
    }
    content: dict[str, Any] = json.loads(json.dumps(values))
    return content


def _value(settings: dict[str, Any], name: str) -> Any:
    # A setting that one of the two versions does not know counts as one that is not set, a flag that is off too.
    return settings.get(name) or None


def _shown(settings: dict[str, Any], name: str) -> str:
    return json.dumps(settings.get(name), ensure_ascii=False)
