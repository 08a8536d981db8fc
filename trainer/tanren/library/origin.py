"""Which program trained a file: from its metadata, and where those are silent from how its tensors are named."""

from __future__ import annotations

from collections.abc import Mapping

from .values import is_said

KOHYA, LYCORIS, TANREN = "kohya sd-scripts", "kohya sd-scripts with LyCORIS", "Tanren"
ONE_TRAINER, AI_TOOLKIT, DIFFUSERS, PEFT = "OneTrainer", "ai-toolkit", "diffusers", "PEFT"
_BY_NAMING = {
    "OneTrainer": ONE_TRAINER,
    "LyCORIS": "LyCORIS",
    "PEFT (diffusers)": "diffusers, PEFT or ai-toolkit",
    "PEFT": PEFT,
    "diffusers": DIFFUSERS,
    "kohya": "a trainer with kohya's names",
    "kohya (LLLite)": KOHYA,
    "kohya (OFT)": KOHYA,
}


def trainer_of(metadata: Mapping[str, str], naming: str) -> str:
    """The program, as people call it; empty when nothing tells.

    Args:
        metadata: texts of the header.
        naming: from `network_kind.naming_of`.
    """
    written_by = metadata.get("modelspec.implementation_version", "")
    if written_by.startswith("tanren"):
        return TANREN
    if any(key.startswith("ot_") for key in metadata):
        return ONE_TRAINER
    software = " ".join(metadata.get(key, "") for key in ("software", "training_info", "format_version"))[:2000].lower()
    if "ai-toolkit" in software or "ostris" in software:
        return AI_TOOLKIT
    if "musubi" in written_by.lower():
        return "musubi-tuner"
    module = metadata.get("ss_network_module", "")
    if module.startswith("lycoris"):
        return LYCORIS
    if "onetrainer" in metadata.get("modelspec.implementation", "").lower():
        return ONE_TRAINER
    if is_said(metadata.get("ss_sd_scripts_commit_hash")) or written_by.startswith("sd-scripts"):
        return KOHYA
    if module.startswith("networks."):
        return KOHYA
    if "lora_adapter_metadata" in metadata:
        return DIFFUSERS
    return _BY_NAMING.get(naming, "")
