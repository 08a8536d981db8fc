"""Forge: a model is read at the first picture, by one thread, and a truthy stand-in of Forge's own is there before."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import BusyError, ModelFileError
from ..formats.base_model import kind_at
from .host import Kind, host_module, required_module
from .host_webui import WebUI

TASK_SECONDS = 600.0
STALE = "tanren"


class Forge(WebUI):
    """The surroundings inside Forge."""

    kind: Kind = "forge"
    title = "Forge"

    def vaes(self) -> dict[str, Path]:
        """VAEs that are listed, by name; Forge lists text encoders among them."""
        listed = getattr(host_module("modules_forge.main_entry"), "module_list", {})
        return {str(name): Path(path) for name, path in dict(listed).items() if self._is_vae(Path(path))}

    @property
    def _sd_models(self) -> Any:
        return required_module("modules.sd_models")

    def _loaded_model(self) -> Any:
        model = self._sd_models.model_data.sd_model
        return model if hasattr(model, "sd_checkpoint_info") else None

    def _vae_of(self, model: Any, checkpoint: Path) -> Path | None:
        chosen = [Path(path) for path in self._option("forge_additional_modules") or []]
        return next((path for path in chosen if self._is_vae(path)), None)

    def _is_vae(self, path: Path) -> bool:
        """Told by the header; for other kinds of files, by the folder Forge reads VAEs from."""
        try:
            kind = kind_at(path)
        except ModelFileError:
            return False
        if kind is not None:
            return kind.family == "vae"
        models = Path(required_module("modules.paths").models_path)
        folders = [models / "VAE", *(Path(folder) for folder in [self.flag("vae_dir")] if folder)]
        return any(folder.absolute() in path.absolute().parents for folder in folders)

    def _put_aside(self) -> None:
        """Free VRAM and main memory, on the thread that Forge works with models on."""
        self._on_model_thread(self._unload)

    def _unload(self) -> None:
        data, memory = self._sd_models.model_data, required_module("backend.memory_management")
        data.sd_model = self._sd_models.FakeInitialModel()
        # Otherwise Forge takes the model for still loaded.
        data.forge_hash = ""
        memory.unload_all_models()
        gc.collect()
        memory.soft_empty_cache()
        data.tanren_put_aside = True

    def _keep_from_loading(self) -> None:
        """Forge reads no model before a picture is asked for, and those are refused."""

    def _bring_back(self) -> bool:
        data = self._sd_models.model_data
        if not getattr(data, "tanren_put_aside", False):
            return False
        data.tanren_put_aside = False
        self._on_model_thread(self._sd_models.forge_model_reload)
        return True

    def _on_model_thread(self, work: Callable[[], Any]) -> None:
        """Run on Forge's model thread and wait; Forge itself would swallow what goes wrong there."""
        thread = required_module("modules_forge.main_thread")
        outcome: Future[None] = Future()

        def noted() -> None:
            with _HandedTo(outcome):
                work()

        task = thread.async_run(noted)
        try:
            outcome.result(timeout=TASK_SECONDS)
        except NoAnswer as error:
            what = "Forge's model thread does not answer."
            raise BusyError(where=self.title, what=what, fix="Restart Forge.") from error
        finally:
            _collect(thread, task)

    def _forget_lora(self, path: Path) -> None:
        """Three places hold on to a LoRA file of the same path; all of them have to forget it."""
        read = getattr(host_module("networks"), "load_lora_state_dict", None)
        if read is not None and hasattr(read, "cache_clear"):
            read.cache_clear()
        model = self._loaded_model()
        if model is None or path.stem not in str(getattr(model, "current_lora_hash", "")):
            return
        model.current_lora_hash = str([])
        parts = model.forge_objects
        for holder in (parts.unet.model, parts.clip.patcher.model):
            loader = getattr(holder, "lora_loader", None)
            if loader is not None:
                loader.loaded_hash = STALE

    def _gpu_index(self) -> int | None:
        # Forge turns --gpu-device-id into CUDA_VISIBLE_DEVICES, of which there is then only one.
        return 0


class _HandedTo:
    """Gives the outcome of its block, whatever it is, to whoever waits for it in another thread."""

    def __init__(self, outcome: Future[None]) -> None:
        self._outcome = outcome

    def __enter__(self) -> None:
        self._outcome.set_running_or_notify_cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            self._outcome.set_result(None)
        else:
            self._outcome.set_exception(error)
        return True


def _collect(thread: Any, task: int) -> None:
    """Take our task off Forge's lists: results wait there for whoever asked, and a task nobody began is withdrawn."""
    for _ in range(200):
        with thread.lock:
            for waiting in (thread.waiting_list, thread.finished_list):
                mine = [one for one in waiting if one.task_id == task]
                for one in mine:
                    waiting.remove(one)
                if mine:
                    return
        time.sleep(0.01)
