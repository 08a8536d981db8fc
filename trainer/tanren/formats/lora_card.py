"""Which base model a LoRA belongs to, in the words of the WebUIs' cards: SD1, SD2, SDXL, SD3, Flux or Unknown.

ModelSpec's architecture says it best; sd-scripts' own keys say it for older files. A file without either is not guessed
at here, because a wrong word hides the card.
"""

from __future__ import annotations

from collections.abc import Mapping

UNKNOWN = "Unknown"
ARCHITECTURES = {
    "stable-diffusion-v1": "SD1",
    "stable-diffusion-v2": "SD2",
    "stable-diffusion-xl": "SDXL",
    "stable-diffusion-3": "SD3",
    "flux-1": "Flux",
}
BASE_VERSIONS = {
    "sdxl": "SDXL",
    "sd_v1": "SD1",
    "sd_v2": "SD2",
    "sd_1": "SD1",
    "sd_2": "SD2",
    "sd3": "SD3",
    "flux": "Flux",
}


def sd_version(metadata: Mapping[str, str]) -> str:
    """The word for these metadata.

    Args:
        metadata: texts of the file's header.
    """
    architecture = metadata.get("modelspec.architecture", "")
    for beginning, word in ARCHITECTURES.items():
        if architecture.startswith(beginning):
            return word
    base = metadata.get("ss_base_model_version", "")
    for beginning, word in BASE_VERSIONS.items():
        if base.startswith(beginning):
            return word
    if metadata.get("ss_v2") == "True":
        return "SD2"
    return "SD1" if metadata.get("ss_v2") == "False" else UNKNOWN
