"""What A1111 and Forge have in common: flags, settings, folders, lists, the queue, and the lists of LoRAs."""

from __future__ import annotations

import contextlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import BusyError, ModelFileError
from ..formats.base_model import kind_at
from ..hardware import nvidia_gpus
from ..jobs.devices import CPU, VISIBLE
from ..paths import ANYWHERE, PathPolicy, data_folder
from .access import Access, host_access
from .device_facts import DeviceWatch, cuda_of_host, give_back_to_system, has_gpu_in_host, process_memory
from .generation_gate import Gate, guard_pictures
from .host import DeviceFacts, HostCheckpoint, Kind, Released, host_module, required_module
from .host_controls import control_folder, read_controls_again
from .words import ENGLISH, Text, Words

SETTING_PREFIX = "tanren_"
QUEUE_SECONDS = 2.0
NOTHING_CHOSEN = ("", "None", "none")


class WebUI(ABC):
    """Surroundings inside a WebUI."""

    kind: Kind = "a1111"
    title = "AUTOMATIC1111"

    def __init__(self) -> None:
        self._families: dict[tuple[Path, int, int], tuple[str, str]] = {}
        self._watch = DeviceWatch(self._gpu_number())
        self._releasing = threading.Lock()
        self.gate = Gate(self._translate)
        self._install_gate()

    # ---- who, where ----

    @property
    def data_dir(self) -> Path:
        """Where runs, caches and presets live."""
        return data_folder(self.flag("tanren_data_dir"))

    @property
    def access(self) -> Access:
        """Who can reach the page; the flags are read anew, so that the answer never lags behind."""
        return host_access(self._flags, os.environ)

    @property
    def is_public(self) -> bool:
        """Others than the person at this machine may reach the page."""
        return self.access.is_public

    @property
    def may_write(self) -> bool:
        """Jobs may be started and files written."""
        return self.access.may_write

    def flag(self, name: str, default: Any = None) -> Any:
        """A flag of the WebUI's command line."""
        return getattr(self._flags, name, default)

    def setting(self, name: str, default: Any = None) -> Any:
        """A value from the settings page, by its name without `tanren_`."""
        return self._option(SETTING_PREFIX + name, default)

    def language(self) -> str:
        """The localization file the user chose, such as "ja_JP"; "en" without one."""
        chosen = self._option("localization", "None")
        return ENGLISH if chosen in NOTHING_CHOSEN else str(chosen)

    def policy(self) -> PathPolicy:
        """Anywhere on one's own machine; the WebUI's folders where others use it or the operator hides paths."""
        if not self.is_public and not self.flag("hide_ui_dir_config") and not self.flag("freeze_settings"):
            return ANYWHERE
        return PathPolicy(roots=tuple(self.roots()))

    def roots(self) -> list[Path]:
        """Our data folder, the WebUI's model folders, and what `--tanren-allow-dir` adds."""
        paths = required_module("modules.paths")
        flags = ("ckpt_dir", "vae_dir", "lora_dir", "embeddings_dir")
        named = [self.data_dir, paths.models_path, *(self.flag(name) for name in flags)]
        named += self.flag("tanren_allow_dir") or []
        return list(dict.fromkeys(Path(folder).absolute() for folder in named if folder))

    # ---- models ----

    def checkpoint(self) -> HostCheckpoint | None:
        """The loaded base model, else the selected one; looking never loads it."""
        model = self._loaded_model()
        info = getattr(model, "sd_checkpoint_info", None) or self._selected_info()
        if info is None:
            return None
        path = Path(info.filename)
        family, sentence = self._family(path)
        return HostCheckpoint(path, str(info.name), self._vae_of(model, path), family, sentence, model is not None)

    def checkpoints(self) -> dict[str, Path]:
        """Base models that are listed, by their path below the model folder."""
        listed = required_module("modules.sd_models").checkpoints_list
        return {str(info.name): Path(info.filename) for info in list(listed.values())}

    @abstractmethod
    def vaes(self) -> dict[str, Path]:
        """VAEs that are listed, by name."""

    def lora_dir(self) -> Path | None:
        """The folder the WebUI reads LoRAs from."""
        folder = self.flag("lora_dir")
        if folder:
            return Path(folder).absolute()
        paths = host_module("modules.paths")
        return Path(paths.models_path, "Lora").absolute() if paths is not None else None

    def lora_dirs(self) -> list[Path]:
        """All folders the WebUI reads LoRAs from."""
        folder = self.lora_dir()
        return [folder] if folder is not None else []

    def lora_path(self, name: str) -> Path | None:
        """The file of the LoRA that the WebUI lists under this name."""
        listed = getattr(host_module("networks"), "available_networks", {}).get(name)
        return None if listed is None else Path(listed.filename).absolute()

    # ---- memory ----

    def device(self) -> DeviceFacts | None:
        """The GPU the WebUI computes on, or the CPU."""
        return self._watch.facts(wants_gpu=not self._is_on_cpu())

    def uses_device(self, device: str | None) -> bool:
        """True when a job on this device meets the WebUI's model there, or both use main memory."""
        if device is None:
            return True
        if device == CPU:
            # Where no driver names a GPU, "cpu" is all that jobs know; the WebUI's torch may know better.
            return self._is_on_cpu() or not nvidia_gpus()
        return not self._is_on_cpu() and device == f"cuda:{self._gpu_number()}"

    def is_generating(self) -> bool:
        """True while somebody holds the WebUI's queue."""
        with self._queue(seconds=0) as is_ours:
            return not is_ours

    def release(self, job_id: str) -> Released | None:
        """Put the WebUI's model aside for a job and measure what that gave back; None when it holds none.

        Raises:
            BusyError: the WebUI is making a picture.
        """
        with self._releasing, self._queue(seconds=QUEUE_SECONDS) as is_ours:
            if not is_ours:
                raise busy(self.title)
            name = self._name_of_loaded()
            if name is None:
                self._keep_from_loading()
                return None
            before = self._measured()
            self._put_aside()
            give_back_to_system()
            after = self._measured()
            self._watch.forget()
            return Released(name, "ram" if cuda_of_host() is None else "gpu", before, after)

    def restore(self) -> bool:
        """Bring the model back; pictures that are asked for meanwhile wait for it in the queue."""
        with self._releasing, self._queue(seconds=None):
            # Loading passes the gate, too.
            self.gate.open()
            was_away = self._bring_back()
        self._watch.forget()
        return was_away

    @abstractmethod
    def _loaded_model(self) -> Any:
        """The model in memory, or None; never loads one."""

    @abstractmethod
    def _vae_of(self, model: Any, checkpoint: Path) -> Path | None:
        """The VAE file used beside this checkpoint."""

    @abstractmethod
    def _put_aside(self) -> None:
        """Free the model's memory; the queue is ours."""

    @abstractmethod
    def _keep_from_loading(self) -> None:
        """See to it that looking at a page loads no model while a job runs."""

    @abstractmethod
    def _bring_back(self) -> bool:
        """Load what was put aside; the queue is ours."""

    @abstractmethod
    def _forget_lora(self, path: Path) -> None:
        """Drop weights kept under this file's name or path."""

    @abstractmethod
    def _gpu_index(self) -> int | None:
        """Which of the GPUs it sees the WebUI was told to use."""

    def _install_gate(self) -> None:
        guard_pictures(self.gate, required_module("modules.scripts"), required_module("modules.processing"))

    # ---- LoRAs ----

    def refresh_loras(self, path: Path) -> None:
        """List LoRA files anew and forget weights and side data that were kept for this one."""
        self._forget_lora(path)
        networks = host_module("networks")
        if networks is not None:
            networks.list_available_networks()
        pages = getattr(host_module("modules.ui_extra_networks"), "extra_pages", [])
        for page in pages:
            if str(getattr(page, "name", "")).lower() == "lora":
                # Its list of files is read at most once; a new preview or description would not be seen.
                lister = getattr(page, "lister", None)
                if lister is not None:
                    lister.reset()

    def control_dir(self) -> Path | None:
        """The folder ControlNet reads its models from."""
        return control_folder((self._option("control_net_models_path"), self.flag("controlnet_dir")))

    def read_controls_again(self) -> bool:
        """Make ControlNet list its models anew; False where there is none."""
        return read_controls_again()

    def lora_alias(self, path: Path) -> str:
        """The name the WebUI's own card would put into a prompt."""
        networks = host_module("networks")
        listed = getattr(networks, "available_networks", {}).get(path.stem)
        if listed is None or Path(listed.filename) != path:
            return path.stem
        return str(listed.get_alias())

    # ---- small questions ----

    @property
    def _flags(self) -> Any:
        return getattr(host_module("modules.shared"), "cmd_opts", None)

    def _option(self, name: str, default: Any = None) -> Any:
        options = getattr(host_module("modules.shared"), "opts", None)
        data = getattr(options, "data", {})
        if name in data:
            return data[name]
        label = getattr(options, "data_labels", {}).get(name)
        return default if label is None else getattr(label, "default", default)

    def _translate(self, sentence: Text) -> str:
        return Words(self.language())(sentence)

    def _is_on_cpu(self) -> bool:
        used = self.flag("use_cpu") or []
        return "all" in used or bool(self.flag("always_cpu")) or not has_gpu_in_host()

    def _gpu_number(self) -> int:
        """The WebUI's GPU as the driver counts them; CUDA_VISIBLE_DEVICES gives programs a count of their own."""
        index = self._gpu_index() or 0
        visible = [word.strip() for word in os.environ.get(VISIBLE, "").split(",")]
        return int(visible[index]) if index < len(visible) and visible[index].isdigit() else index

    def _selected_info(self) -> Any:
        sd_models = required_module("modules.sd_models")
        chosen = sd_models.checkpoint_aliases.get(self._option("sd_model_checkpoint"))
        # Asking the WebUI itself prints, or raises, when there is no model at all.
        return chosen or next(iter(list(sd_models.checkpoints_list.values())), None)

    def _name_of_loaded(self) -> str | None:
        model = self._loaded_model()
        if model is None:
            return None
        info = getattr(model, "sd_checkpoint_info", None)
        return str(getattr(info, "name_for_extra", "") or "model")

    def _family(self, path: Path) -> tuple[str, str]:
        """Family and sentence from the file's header, kept per file as it is now."""
        try:
            status = path.stat()
        except OSError:
            return "unknown", ""
        key = (path, status.st_mtime_ns, status.st_size)
        if key not in self._families:
            try:
                kind = kind_at(path)
            except ModelFileError:
                kind = None
            self._families[key] = ("unknown", "") if kind is None else (kind.family, kind.sentence)
        return self._families[key]

    def _measured(self) -> int:
        cuda = cuda_of_host()
        return int(cuda.mem_get_info()[0]) if cuda is not None else process_memory()

    @contextlib.contextmanager
    def _queue(self, seconds: float | None) -> Iterator[bool]:
        """Hold the WebUI's queue, in which pictures are made one after the other; yields whether we got it.

        Args:
            seconds: to try; None waits for as long as it takes.
        """
        lock = required_module("modules.call_queue").queue_lock
        is_ours = _acquire(partial(lock.acquire, False), lock.acquire, seconds)
        try:
            yield is_ours
        finally:
            if is_ours:
                lock.release()


def busy(title: str) -> BusyError:
    """The WebUI is at work, so a job has to wait a moment."""
    return BusyError(
        where=title,
        what="The WebUI is making a picture.",
        why="A training on the same device would leave too little memory for both.",
        fix="The training starts by itself when the picture is done.",
    )


def _acquire(attempt: Callable[[], bool], wait: Callable[[], bool], seconds: float | None) -> bool:
    """Take a lock that knows no time limit, within one."""
    if seconds is None:
        return bool(wait())
    pause = threading.Event()
    for _ in range(int(seconds / 0.05) + 1):
        if attempt():
            return True
        if seconds:
            pause.wait(0.05)
    return False
