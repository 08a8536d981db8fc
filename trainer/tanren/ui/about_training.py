"""Sentences beside the base model and the preset: which training is meant, and what a preset is for."""

from __future__ import annotations

from ..formats.checkpoint_kind import CheckpointKind
from .html import Html, join, render
from .presets import Preset
from .trainings import CONCEPT, CONTROL, Training, training_for
from .words import Text, Words, text

MODEL = (
    '<p class="tanren-about" role="status">{sentence} <span class="tanren-command" translate="no">{command}</span></p>'
)
PRESET = '<p class="tanren-about">{sentences}</p>'


def about_model(training: Training, kind: CheckpointKind | None, words: Words) -> Html:
    """Which training the base model leads to.

    Args:
        training: that is meant.
        kind: of the base model; None where its file does not say.
        words: of the page's language.
    """
    return render(MODEL, sentence=words(_because(training, kind)), command=training.command)


def _because(training: Training, kind: CheckpointKind | None) -> Text:
    model = text(training.model)
    if kind is None:
        if training.goal == CONCEPT:
            return text("This changes a concept in {model}.", model=model)
        if training.goal == CONTROL:
            return text("This trains a control network for {model}.", model=model)
        return text("This trains a LoRA for {model}.", model=model)
    said = text(kind.sentence)
    if training.goal == CONTROL:
        if training_for(kind.family, CONTROL) is None:
            return text(
                "Control networks of this kind are for {model}, but the base model is {kind}.", model=model, kind=said
            )
        return text("This trains a control network for {model}: the base model is {kind}.", model=model, kind=said)
    if training_for(kind.family) is None:
        return text("This would train a LoRA for {model}, but the base model is {kind}.", model=model, kind=said)
    if training.goal == CONCEPT:
        return text("This changes a concept in {model}: the base model is {kind}.", model=model, kind=said)
    return text("This trains a LoRA for {model}: the base model is {kind}.", model=model, kind=said)


def about_preset(preset: Preset | None, words: Words) -> Html:
    """What the chosen preset is for and what it needs; None says that no preset is chosen."""
    if preset is None:
        sentence = words("No preset is chosen: what stands in the fields is trained.")
        return render(PRESET, sentences=sentence)
    told = (preset.description, preset.audience, preset.requires)
    return render(PRESET, sentences=join(render("<span>{text}</span> ", text=words(one)) for one in told if one))
