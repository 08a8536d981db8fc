"""What the surroundings of the page offer: a WebUI with its model, lists and folders, or nothing but this machine.

Everything that differs between AUTOMATIC1111, Forge, reForge and the standalone program is asked here. The WebUI's
modules are found among those already imported and never imported by us, so that asking cannot start anything.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol

from ..paths import PathPolicy
from .access import Access
from .generation_gate import Gate

Kind = Literal["standalone", "a1111", "forge"]
# In the data folder while a WebUI's model is put aside for a job.
LEASE_MARKER = "host-lease.json"


@dataclass(frozen=True)
class HostCheckpoint:
    """The base model of the WebUI.

    Args:
        path: its file.
        name: as the WebUI lists it.
        vae_path: the VAE the WebUI uses instead of the one in the file; None for the one in the file.
        family: key of `formats.checkpoint_kind.TITLES`; "unknown" when the file does not tell.
        sentence: what it is, for people: "a Stable Diffusion 1 model".
        is_loaded: False when it is only selected.
    """

    path: Path
    name: str
    vae_path: Path | None = None
    family: str = "unknown"
    sentence: str = ""
    is_loaded: bool = False


@dataclass(frozen=True)
class DeviceFacts:
    """What is computed on, for the strip above the page; sizes in bytes, 0 where the machine does not say.

    Args:
        kind: "gpu" or "cpu"; for a CPU the sizes are those of main memory.
        held_by_host: what the WebUI's process holds of it.
    """

    kind: Literal["gpu", "cpu"]
    name: str
    total: int
    free: int
    held_by_host: int = 0


@dataclass(frozen=True)
class Released:
    """What putting the WebUI's model aside gave back.

    Args:
        model: its name.
        kind: which memory was measured.
        before, after: free bytes of the GPU, or bytes the WebUI's process holds of main memory.
    """

    model: str
    kind: Literal["gpu", "ram"]
    before: int
    after: int

    @property
    def freed(self) -> int:
        """Bytes that are free now and were not before."""
        gained = self.after - self.before if self.kind == "gpu" else self.before - self.after
        return max(0, gained)

    def as_dict(self) -> dict[str, Any]:
        """For JSON files and answers."""
        return {
            "model": self.model,
            "kind": self.kind,
            "before": self.before,
            "after": self.after,
            "freed": self.freed,
        }


class Surroundings(Protocol):
    """What every kind of surroundings answers; nothing here loads a model."""

    @property
    def kind(self) -> Kind:
        """Which interface the WebUI has; reForge answers "a1111"."""

    @property
    def title(self) -> str:
        """Name of the WebUI for people: "Forge"; "Tanren" alone when standalone."""

    @property
    def data_dir(self) -> Path:
        """Where runs, caches and presets live."""

    @property
    def access(self) -> Access:
        """Who can reach the page, and whether they may change things."""

    @property
    def is_public(self) -> bool:
        """Others than the person at this machine may reach the page."""

    @property
    def may_write(self) -> bool:
        """Jobs may be started and files written."""

    @property
    def gate(self) -> Gate:
        """Stands between the WebUI and its making of pictures."""

    def language(self) -> str:
        """What the user chose, as the WebUI names it; "en" when nothing was chosen."""

    def setting(self, name: str, default: Any = None) -> Any:
        """A value from the settings page, by its name without `tanren_`."""

    def policy(self) -> PathPolicy:
        """Where paths may lead."""

    def checkpoint(self) -> HostCheckpoint | None:
        """The loaded base model, else the selected one, else None."""

    def checkpoints(self) -> dict[str, Path]:
        """Base models that are listed, by name."""

    def vaes(self) -> dict[str, Path]:
        """VAEs that are listed, by name."""

    def lora_dir(self) -> Path | None:
        """Where LoRAs are put for use; None when nobody said."""

    def lora_dirs(self) -> list[Path]:
        """All folders LoRAs are read from."""

    def lora_path(self, name: str) -> Path | None:
        """The file of the LoRA that is listed under this name; None where nothing is listed."""

    def device(self) -> DeviceFacts | None:
        """What is computed on."""

    def uses_device(self, device: str | None) -> bool:
        """True when a job on this device (as in its envelope; None for the usual one) meets the WebUI's model there."""

    def is_generating(self) -> bool:
        """True while the WebUI makes a picture or does other work in its queue."""

    def release(self, job_id: str) -> Released | None:
        """Put the WebUI's model aside for a job; None when it holds none.

        Raises:
            BusyError: the WebUI is at work.
        """

    def restore(self) -> bool:
        """Bring the model back that was put aside; False when there was none to bring back."""

    def refresh_loras(self, path: Path) -> None:
        """Make the WebUI see a LoRA file that was just written, and forget what it kept under its name."""

    def control_dir(self) -> Path | None:
        """The folder the WebUI's ControlNet reads its models from."""

    def read_controls_again(self) -> bool:
        """Make the WebUI's ControlNet list its models anew; False where there is none."""

    def lora_alias(self, path: Path) -> str:
        """What stands for a LoRA file in a prompt."""


def host_module(name: str) -> ModuleType | None:
    """A module of the WebUI, if it is imported already."""
    return sys.modules.get(name)


def required_module(name: str) -> Any:
    """A module that every WebUI of this kind has.

    Raises:
        RuntimeError: it is not imported; we were mistaken about the surroundings.
    """
    module = host_module(name)
    if module is None:
        raise RuntimeError(f"the WebUI has no module {name}")
    return module


def detect(modules: Mapping[str, Any] | None = None) -> Surroundings:
    """The surroundings this process runs in, told by the modules that are imported.

    Args:
        modules: instead of `sys.modules`.
    """
    known = sys.modules if modules is None else modules
    if not hasattr(known.get("modules.shared"), "cmd_opts"):
        from .host_standalone import Standalone

        return Standalone()
    if "modules_forge.main_thread" in known:
        from .host_forge import Forge

        return Forge()
    from .host_a1111 import A1111, ReForge

    is_reforge = "ldm_patched.modules.model_management" in known
    return ReForge() if is_reforge else A1111()
