"""Under which base model each host files a LoRA, what it calls it, and whether it fits a checkpoint.

The rules are those of the hosts' own code: AUTOMATIC1111 takes any file with metadata that says nothing else for SD1,
Forge looks at ModelSpec first, and the user's word beside the file (`sd version` in `<name>.json`) wins in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..formats.checkpoint_kind import TITLES as CHECKPOINTS
from ..formats.lora_card import UNKNOWN
from ..formats.network_family import TITLES as FAMILIES
from .values import is_said

A1111, FORGE = "AUTOMATIC1111", "Forge"
FILED_AS = "{host} files it under {word}, but it is {family}."
_BFL = "https://github.com/black-forest-labs/flux"
_WORDS = {
    A1111: (UNKNOWN, "SD1", "SD2", "SDXL"),
    FORGE: (UNKNOWN, "SD1", "SD2", "SDXL", "Flux"),
}
_OF_FAMILY = {"sd1": "SD1", "sd2": "SD2", "sdxl": "SDXL", "flux": "Flux"}


@dataclass(frozen=True)
class Filed:
    """How one host files a LoRA.

    Args:
        host: its name.
        version: its word for the base model.
        is_right: False where that word is not the family of the tensors.
    """

    host: str
    version: str
    is_right: bool


@dataclass(frozen=True)
class Fit:
    """Whether a network works with a checkpoint.

    Args:
        answer: True, False, or None when nobody can say.
        sentence: for people.
    """

    answer: bool | None
    sentence: str


def filed_by_hosts(metadata: Mapping[str, str], sidecar: Mapping[str, Any], family: str) -> tuple[Filed, ...]:
    """What AUTOMATIC1111 and Forge take the file for.

    Args:
        metadata: texts of the header.
        sidecar: the host's user metadata, `<name>.json`.
        family: what the tensors say.
    """
    found = []
    for host, read in ((A1111, _a1111), (FORGE, _forge)):
        chosen = sidecar.get("sd version")
        word = chosen if isinstance(chosen, str) and chosen in _WORDS[host] else read(metadata)
        wanted = _OF_FAMILY.get(family)
        found.append(Filed(host, word, wanted is None or word in (wanted, UNKNOWN)))
    return tuple(found)


def alias_of(metadata: Mapping[str, str], stem: str) -> str:
    """The name a host puts into the prompt: `ss_output_name`, else the file's name without its ending."""
    return metadata.get("ss_output_name") or stem


def is_hidden(filed: Filed, checkpoint_family: str) -> bool:
    """True when the host leaves the card out while such a checkpoint is loaded."""
    loaded = _OF_FAMILY.get(checkpoint_family)
    return loaded is not None and filed.version not in (UNKNOWN, loaded)


def fit(family: str, checkpoint_family: str) -> Fit:
    """Whether a network of this family works with a checkpoint of that kind."""
    ours, theirs = FAMILIES.get(family, family), CHECKPOINTS.get(checkpoint_family, checkpoint_family)
    if family == UNKNOWN.lower() or checkpoint_family in ("", "unknown"):
        return Fit(None, "What it was made for cannot be told.")
    if family == checkpoint_family:
        return Fit(True, f"Made for {ours}: it fits {theirs}.")
    if {family, checkpoint_family} == {"flux", "chroma"}:
        return Fit(None, f"Made for {ours}, the checkpoint is {theirs}: related, it may work in part.")
    return Fit(False, f"Made for {ours}: it cannot work with {theirs}, whose layers have other sizes.")


def _a1111(metadata: Mapping[str, str]) -> str:
    if metadata.get("ss_base_model_version", "").startswith("sdxl_"):
        return "SDXL"
    if metadata.get("ss_v2") == "True":
        return "SD2"
    return "SD1" if metadata else UNKNOWN


def _forge(metadata: Mapping[str, str]) -> str:
    architecture = metadata.get("modelspec.architecture", "")
    if metadata.get("modelspec.implementation") == _BFL or architecture == "flux-1-dev/lora":
        return "Flux"
    base = metadata.get("ss_base_model_version", "")
    if architecture == "stable-diffusion-xl-v1-base/lora" or base.startswith("sdxl_"):
        return "SDXL"
    if is_said(metadata.get("ss_v2")) and metadata["ss_v2"] == "True":
        return "SD2"
    return "SD1" if architecture == "stable-diffusion-v1/lora" else UNKNOWN
