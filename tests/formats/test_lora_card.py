"""The WebUIs' word for a LoRA's base model."""

from __future__ import annotations

import pytest
from tanren.formats.lora_card import sd_version


@pytest.mark.parametrize(
    ("metadata", "word"),
    [
        ({"modelspec.architecture": "stable-diffusion-v1/lora"}, "SD1"),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v/lora"}, "SD2"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora", "ss_v2": "False"}, "SDXL"),
        ({"modelspec.architecture": "flux-1-dev/lora", "ss_v2": "False"}, "Flux"),
        ({"ss_base_model_version": "sdxl_base_v1-0", "ss_v2": "False"}, "SDXL"),
        ({"ss_base_model_version": "sd_v1", "ss_v2": "False"}, "SD1"),
        ({"ss_base_model_version": "sd_v2_v", "ss_v2": "True"}, "SD2"),
        ({"ss_v2": "True"}, "SD2"),
        ({"ss_v2": "False"}, "SD1"),
        ({"ss_network_dim": "4"}, "Unknown"),
        ({}, "Unknown"),
    ],
)
def test_the_word_comes_from_the_architecture_then_from_older_keys(metadata, word):
    assert sd_version(metadata) == word
