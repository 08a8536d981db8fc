"""Prompt lists of other programs become prompt files that say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from tanren.errors import UserError
from tanren.formats.leco_prompts import PromptPair, read_leco_prompts
from tanren.formats.leco_yaml import Converted, convert_leco_yaml

LECO = """
- target: "van gogh"
  positive: "van gogh"
  unconditional: ""
  neutral: ""
  action: "erase"
  guidance_scale: 1.0
  resolution: 512
  dynamic_resolution: true
  batch_size: 2
- target: 画風
  action: enhance
  strange: 3
"""
TOOLKIT = """
job: train
config:
  name: age
  process:
    - type: slider
      network: {type: lora, linear: 8}
      slider:
        resolutions:
          - [512, 512]
          - [768, 512]
        batch_full_slide: true
        targets:
          - target_class: "person"
            positive: "old person"
            negative: "young person"
            multiplier: 1.0
            weight: 1.0
            shuffle: true
"""
CONCEPT = """
config:
  process:
    - type: concept_slider
      slider:
        guidance_strength: 3.0
        anchor_class: ""
        positive_prompt: "smiling"
        negative_prompt: "frowning"
        target_class: "person"
"""


def converted(folder: Path, text: str) -> tuple[Converted, tuple[PromptPair, ...]]:
    old, new = folder / "old.yaml", folder / "new.toml"
    old.write_text(text, "utf-8")
    result = convert_leco_yaml(old)
    new.write_text(result.text, "utf-8")
    return result, read_leco_prompts(new).pairs


def test_a_leco_list_says_the_same_as_toml(tmp_path):
    result, (first, second) = converted(tmp_path, LECO)
    assert (first.target, first.batch_size, first.dynamic_resolution) == ("van gogh", 2, True)
    assert (second.target, second.action) == ("画風", "enhance")
    assert result.notes == ("[1].strange: left out, it has no counterpart.",)
    assert result.text.startswith('[[prompts]]\ntarget = "van gogh"\n')


def test_a_slider_of_ai_toolkit_becomes_targets(tmp_path):
    result, pairs = converted(tmp_path, TOOLKIT)
    assert len(pairs) == 8
    assert {pair.resolution_hw for pair in pairs} == {(512, 512), (768, 512)}
    assert (pairs[0].positive, pairs[0].unconditional) == ("young person", "old person")
    assert result.notes == (
        "process[0].slider.batch_full_slide: left out, it has no counterpart.",
        "process[0].slider.targets[0].shuffle: left out, it has no counterpart.",
    )


def test_a_concept_slider_of_ai_toolkit_becomes_a_target(tmp_path):
    result, pairs = converted(tmp_path, CONCEPT)
    assert [(pair.target, pair.positive, pair.unconditional) for pair in pairs][:2] == [
        ("person", "frowning", "smiling"),
        ("person", "smiling", "frowning"),
    ]
    assert [note.split(":")[0] for note in result.notes] == [
        "process[0].slider.guidance_strength",
        "process[0].slider.anchor_class",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "This is not valid YAML"),
        ("a: 1", "neither a list of LECO prompts nor a slider of ai-toolkit"),
        ("", "neither a list of LECO prompts nor a slider of ai-toolkit"),
        ("- 5", "neither a list of LECO prompts nor a slider of ai-toolkit"),
        ("!!python/object/apply:os.system ['true']", "This is not valid YAML"),
        ("[" * 3000, "This is not valid YAML"),
        ("a: .inf", "a finite number is needed"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    with pytest.raises(UserError) as caught:
        converted(tmp_path, text)
    assert message in str(caught.value)
