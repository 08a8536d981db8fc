"""Presets by the texts that stand for them in the form's list."""

from __future__ import annotations

from ..errors import UserError
from . import presets
from .context import Context
from .form_groups import BASE_MODEL
from .presets import Preset
from .trainings import Training


class FormPresets:
    """The presets on offer.

    Args:
        context: where the user's lie, and the language of the list.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def names(self, command: str) -> list[str]:
        """Those that can be chosen for a command."""
        kept = presets.presets(self._context.data_dir, command)
        return [self.text_of(preset) for preset in kept if preset.problem is None]

    def called(self, text: str) -> Preset:
        """The preset that a text stands for.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        kept = presets.presets(self._context.data_dir)
        found = next((preset for preset in kept if self.text_of(preset) == text), None)
        return presets.find(self._context.data_dir, found.id if found else text)

    def find(self, text: str) -> Preset | None:
        """The same, or None where it cannot be used."""
        try:
            return self.called(text)
        except UserError:
            return None

    def first(self, training: Training, base_path: str) -> Preset:
        """The preset to begin with: the example of an embedded model, else one by the card of this machine."""
        for preset in presets.presets(self._context.data_dir, training.command):
            if not preset.is_own and preset.options.get(BASE_MODEL) == base_path:
                return preset
        device = self._context.surroundings.device()
        size = device.total if device is not None and device.kind == "gpu" else 0
        return presets.find(self._context.data_dir, training.preset_for(size))

    def text_of(self, preset: Preset) -> str:
        """What stands for a preset in the list; the user's are told apart from ours."""
        words = self._context.words
        return words("{name} (own)", name=preset.name) if preset.is_own else words(preset.name)
