"""Surroundings without a WebUI: this machine, the data folder, and folders that were allowed at the start."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..paths import ANYWHERE, PathPolicy, data_folder
from .access import Access, standalone_access
from .device_facts import DeviceWatch
from .generation_gate import Gate
from .host import DeviceFacts, HostCheckpoint, Kind, Released
from .words import ENGLISH

LOOPBACK = "127.0.0.1"
MODEL_ENDINGS = (".safetensors", ".ckpt")


class Standalone:
    """The program of its own: no model is held, nothing has to be put aside.

    Args:
        data_dir: where runs, caches and presets live; None for the usual place.
        access: who can reach the server; None for this machine only.
        allowed: folders that paths may lead to beside the home and data folders, when others can reach it.
        language: chosen at the start; the page may choose another.
        settings: values of the settings page by name, without `tanren_`.
    """

    kind: Kind = "standalone"
    title = "Tanren"

    def __init__(
        self,
        data_dir: Path | None = None,
        access: Access | None = None,
        *,
        allowed: Iterable[Path] = (),
        language: str = ENGLISH,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.data_dir = data_dir or data_folder()
        self.access = access or standalone_access(LOOPBACK, has_token=False, environ=os.environ)
        self.gate = Gate()
        self._allowed, self._language = tuple(allowed), language
        self._settings = dict(settings or {})
        self._watch = DeviceWatch()

    @property
    def is_public(self) -> bool:
        """Others than the person at this machine may reach the page."""
        return self.access.is_public

    @property
    def may_write(self) -> bool:
        """Jobs may be started and files written."""
        return self.access.may_write

    def language(self) -> str:
        """What was chosen at the start."""
        return self._language

    def setting(self, name: str, default: Any = None) -> Any:
        """A value that was given at the start."""
        return self._settings.get(name, default)

    def policy(self) -> PathPolicy:
        """Anywhere for the person at this machine; the allowed folders when some were named or others are let in."""
        if not self._allowed and not self.is_public:
            return ANYWHERE
        roots = (self.data_dir, *self._allowed) if self._allowed else (self.data_dir, Path.home())
        return PathPolicy(roots=tuple(Path(root).absolute() for root in roots))

    def checkpoint(self) -> HostCheckpoint | None:
        """There is no WebUI, so none is loaded."""
        return None

    def checkpoints(self) -> dict[str, Path]:
        """Model files in the folder that the settings name."""
        return self._listed("models_dir")

    def vaes(self) -> dict[str, Path]:
        """VAE files in the folder that the settings name."""
        return self._listed("vae_dir")

    def lora_dir(self) -> Path | None:
        """The folder that the settings name for finished LoRAs."""
        folder = self.setting("lora_dir")
        return Path(folder).expanduser().absolute() if folder else None

    def lora_dirs(self) -> list[Path]:
        """That one folder."""
        folder = self.lora_dir()
        return [folder] if folder is not None else []

    def lora_path(self, name: str) -> Path | None:
        """No WebUI lists them."""
        return None

    def device(self) -> DeviceFacts | None:
        """The first NVIDIA GPU, else the CPU."""
        return self._watch.facts()

    def uses_device(self, device: str | None) -> bool:
        """No WebUI shares the device."""
        return False

    def is_generating(self) -> bool:
        """Nothing else is made here."""
        return False

    def release(self, job_id: str) -> Released | None:
        """Nothing is held."""
        return None

    def restore(self) -> bool:
        """Nothing was put aside."""
        return False

    def refresh_loras(self, path: Path) -> None:
        """Nobody keeps a list."""

    def control_dir(self) -> Path | None:
        """Nobody says; the user names a folder."""
        return None

    def read_controls_again(self) -> bool:
        """Nobody keeps a list."""
        return False

    def lora_alias(self, path: Path) -> str:
        """WebUIs know a LoRA by the name of its file."""
        return path.stem

    def _listed(self, setting: str) -> dict[str, Path]:
        folder = self.setting(setting)
        if not folder:
            return {}
        root = Path(folder).expanduser().absolute()
        found = sorted(path for path in root.rglob("*") if path.suffix.lower() in MODEL_ENDINGS and path.is_file())
        return {path.relative_to(root).as_posix(): path for path in found}
