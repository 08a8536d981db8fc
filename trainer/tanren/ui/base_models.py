"""The base models a form offers, by names that people know; the form's text is a name from the list or a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..paths import asset
from .host import Surroundings
from .words import Words

MICRO_SD = "Embedded micro-SD (tiny, for trying things out)"


@dataclass(frozen=True)
class BaseModels:
    """What can be chosen.

    Args:
        paths: by the text that stands in the list, in its order.
        proposed: the text to begin with.
        vae: the VAE that goes with the proposed one; empty for its own.
        embedded: the text of the embedded model, in the language of the page.
    """

    paths: dict[str, str]
    proposed: str
    vae: str = ""
    embedded: str = MICRO_SD

    def path(self, text: str) -> str:
        """The path a text means: that of a listed name, else the text itself."""
        return self.paths.get(text.strip(), text)

    def text(self, path: str) -> str:
        """The name of a path, or the path itself where the list does not have it."""
        return next((name for name, known in self.paths.items() if known == path), path)


def base_models(surroundings: Surroundings) -> BaseModels:
    """The WebUI's list with what it has loaded first, and the embedded model; nothing is loaded by asking."""
    micro, embedded = str(asset("micro", "micro-sd.safetensors")), Words(surroundings.language())(MICRO_SD)
    chosen = surroundings.checkpoint()
    paths: dict[str, str] = {}
    if chosen is not None:
        paths[chosen.name] = str(chosen.path)
    for name, path in sorted(surroundings.checkpoints().items(), key=lambda entry: entry[0].casefold()):
        paths.setdefault(_free(name, path, paths), str(path))
    vae = str(chosen.vae_path) if chosen is not None and chosen.vae_path else ""
    return BaseModels({**paths, embedded: micro}, next(iter(paths), embedded), vae, embedded)


def _free(name: str, path: Path, taken: dict[str, str]) -> str:
    """The name, or the whole path where another file has that name."""
    return name if taken.get(name, str(path)) == str(path) else str(path)
