"""The base models a form offers, by names that people know, and what each of them is.

The form's text is a name from the list, or a path.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import UserError
from ..formats.base_model import kind_at
from ..formats.checkpoint_kind import CheckpointKind
from ..models.hub import is_hub_id
from ..paths import PathPolicy, asset, resolve_user_path
from .host import Surroundings
from .words import Words

MICRO_SD = "Embedded micro-SD (tiny, for trying things out)"
MICRO_SDXL = "Embedded micro-SDXL (tiny, for trying things out)"
EMBEDDED = {MICRO_SD: "micro-sd.safetensors", MICRO_SDXL: "micro-sdxl.safetensors"}


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
    """The WebUI's list with what it has loaded first, and the embedded models; nothing is loaded by asking."""
    words = Words(surroundings.language())
    chosen = surroundings.checkpoint()
    paths: dict[str, str] = {}
    if chosen is not None:
        paths[chosen.name] = str(chosen.path)
    for name, path in sorted(surroundings.checkpoints().items(), key=lambda entry: entry[0].casefold()):
        paths.setdefault(_free(name, path, paths), str(path))
    vae = str(chosen.vae_path) if chosen is not None and chosen.vae_path else ""
    files = {words(name): asset("micro", file) for name, file in EMBEDDED.items()}
    embedded = {name: str(path) for name, path in files.items() if path.is_file()}
    return BaseModels({**paths, **embedded}, next(iter({**paths, **embedded})), vae, words(MICRO_SD))


def kind_of_base(path: str, policy: PathPolicy) -> CheckpointKind | None:
    """What a base model is; None where its file does not say, is not there, or may not be looked into.

    Args:
        path: of a file or a diffusers folder, or a hub id.
        policy: files elsewhere are not looked into.
    """
    roots = policy.roots if policy.roots is None else (*policy.roots, asset())
    try:
        if not path or (is_hub_id(path) and not Path(path).exists()):
            return None
        found = resolve_user_path(path, "folder" if Path(path).is_dir() else "file", policy=PathPolicy(roots))
        state = found.stat()
        # A folder does not change when a file in it does; its small configs are read anew.
        return kind_at(found) if found.is_dir() else _kind_of_file(found, state.st_mtime_ns, state.st_size)
    except (UserError, OSError):
        # What is wrong with it is told by the check of the form.
        return None


# The form asks at every check, and the header of a full-size model has thousands of entries.
@lru_cache(maxsize=64)
def _kind_of_file(path: Path, changed: int, size: int) -> CheckpointKind | None:
    return kind_at(path)


def _free(name: str, path: Path, taken: dict[str, str]) -> str:
    """The name, or the whole path where another file has that name."""
    return name if taken.get(name, str(path)) == str(path) else str(path)
