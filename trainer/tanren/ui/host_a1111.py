"""AUTOMATIC1111 and reForge: the model lives in `sd_models.model_data`; a mere look at `shared.sd_model` loads it.

While the model is away a small stand-in takes its place, because many pages read its kind (the LoRA list, the token
counter, file names) and would fail with nothing there. It says what the model was and holds no weights.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import BusyError
from .generation_gate import guard_loading
from .host import Kind, host_module, required_module
from .host_webui import NOTHING_CHOSEN, WebUI

KINDS = ("is_sd1", "is_sd2", "is_sdxl", "is_ssd", "is_sd3", "is_xl")
TOLD = (*KINDS, "sd_checkpoint_info", "sd_model_hash", "sd_model_checkpoint", "parameterization", "cond_stage_key")
LOADING_SECONDS = 2.0
STAND_IN = "is_put_aside_by_tanren"
STALE = (("tanren", 0, 0, 0),)


class PutAside:
    """Stands where the model was: what it was, without weights.

    Args:
        told: attributes of the model that other code reads.
        vae_path: the VAE file it used.
        comes_back: whether it is loaded again after the job.
    """

    is_put_aside_by_tanren = True
    lowvram = False
    sd_model_hash = ""
    cond_stage_key = "txt"
    parameterization = "eps"

    def __init__(self, told: Mapping[str, Any], vae_path: str | None, *, comes_back: bool) -> None:
        self.__dict__.update(dict.fromkeys(KINDS, False))
        self.__dict__.update(told)
        self.vae_path, self.comes_back = vae_path, comes_back
        self.network_layer_mapping: dict[str, Any] = {}

    def to(self, *_: Any, **__: Any) -> PutAside:
        """There is nothing to move."""
        return self


class A1111(WebUI):
    """The surroundings inside AUTOMATIC1111."""

    kind: Kind = "a1111"
    title = "AUTOMATIC1111"

    def vaes(self) -> dict[str, Path]:
        """VAEs that are listed, by name."""
        listed = getattr(host_module("modules.sd_vae"), "vae_dict", {})
        return {str(name): Path(path) for name, path in dict(listed).items()}

    def lora_dirs(self) -> list[Path]:
        """All folders the WebUI reads LoRAs from; this one still knows that of an extension which came before."""
        older = self.flag("lyco_dir_backcompat")
        return [*super().lora_dirs(), *([Path(older).absolute()] if older else [])]

    def _install_gate(self) -> None:
        super()._install_gate()
        guard_loading(self.gate, required_module("modules.sd_models"), "reload_model_weights")
        guard_loading(self.gate, required_module("modules.sd_vae"), "reload_vae_weights")

    @property
    def _data(self) -> Any:
        return required_module("modules.sd_models").model_data

    def _loaded_model(self) -> Any:
        return None if self._away() is not None else getattr(self._data, "sd_model", None)

    def _vae_of(self, model: Any, checkpoint: Path) -> Path | None:
        sd_vae = host_module("modules.sd_vae")
        away = self._away()
        if away is not None:
            return Path(away.vae_path) if away.vae_path else None
        if model is not None:
            loaded = getattr(sd_vae, "loaded_vae_file", None)
            return Path(loaded) if loaded else None
        path, _ = sd_vae.resolve_vae(str(checkpoint)).tuple() if sd_vae is not None else (None, "")
        return Path(path) if path and str(path) not in NOTHING_CHOSEN else None

    def _away(self) -> Any:
        """The stand-in while the model is put aside, also one that an earlier load of this code made."""
        model = getattr(self._data, "sd_model", None)
        return model if getattr(model, STAND_IN, False) else None

    def _put_aside(self) -> None:
        """Free VRAM and main memory; A1111's own unloading only moves the weights into main memory."""
        self._wait_for_loading()
        data, model = self._data, self._loaded_model()
        vae = getattr(host_module("modules.sd_vae"), "loaded_vae_file", None)
        told = {name: getattr(model, name) for name in TOLD if hasattr(model, name)}
        self._take_apart(model)
        data.loaded_sd_models.clear()
        data.sd_model = PutAside(told, str(vae) if vae else None, comes_back=True)
        # What `shared.sd_model` asks before it loads anything.
        data.was_loaded_at_least_once = True
        del model
        self._free()

    def _take_apart(self, model: Any) -> None:
        """Undo what A1111 has hung onto the model, so that nothing else keeps it alive."""
        required_module("modules.sd_unet").apply_unet("None")
        required_module("modules.sd_hijack").model_hijack.undo_hijack(model)
        sd_vae = host_module("modules.sd_vae")
        for name in ("delete_base_vae", "clear_loaded_vae"):
            forget = getattr(sd_vae, name, None)
            if forget is not None:
                forget()
        required_module("modules.sd_models").checkpoints_loaded.clear()

    def _free(self) -> None:
        gc.collect()
        required_module("modules.devices").torch_gc()

    def _keep_from_loading(self) -> None:
        data = self._data
        if getattr(data, "sd_model", None) is not None or not hasattr(data, "was_loaded_at_least_once"):
            return
        self._wait_for_loading()
        info = self._selected_info()
        told = {"sd_checkpoint_info": info, "sd_model_checkpoint": getattr(info, "filename", "")}
        if info is not None:
            family, _ = self._family(Path(info.filename))
            told |= {"is_sd1": family == "sd1", "is_sd2": family == "sd2", "is_sdxl": family.startswith("sdxl")}
        wanted = not self.flag("skip_load_model_at_start") and not data.was_loaded_at_least_once
        data.sd_model = PutAside(told, None, comes_back=wanted)
        data.was_loaded_at_least_once = True

    def _wait_for_loading(self) -> None:
        """Refuse while the WebUI reads its model at its start, outside of its queue."""
        lock = getattr(self._data, "lock", None)
        if lock is None:
            return
        if not lock.acquire(timeout=LOADING_SECONDS):
            raise BusyError(
                where=self.title,
                what="The WebUI is loading its model.",
                fix="The training starts by itself when that is done.",
            )
        lock.release()

    def _bring_back(self) -> bool:
        data = self._data
        away = self._away()
        was_put_off = self.gate.take_put_off()
        if away is None:
            return False
        data.sd_model = None
        if not away.comes_back and not was_put_off:
            data.was_loaded_at_least_once = False
            return False
        required_module("modules.sd_models").reload_model_weights()
        return True

    def _forget_lora(self, path: Path) -> None:
        """A1111 keeps a file's weights by name, and on each layer what it was merged with last."""
        networks = host_module("networks")
        kept = getattr(networks, "networks_in_memory", {})
        if kept.pop(path.stem, None) is None:
            return
        model = self._loaded_model()
        for layer in model.modules() if hasattr(model, "modules") else ():
            if getattr(layer, "network_current_names", ()):
                layer.network_current_names = STALE

    def _gpu_index(self) -> int | None:
        number = str(self.flag("device_id") or "")
        return int(number) if number.isdigit() else None


class ReForge(A1111):
    """reForge: A1111's page and model data, Forge's older memory management (read, not run)."""

    title = "reForge"

    def _take_apart(self, model: Any) -> None:
        memory = required_module("ldm_patched.modules.model_management")
        memory.unload_all_models()
        required_module("modules.sd_models").checkpoints_loaded.clear()

    def _free(self) -> None:
        gc.collect()
        required_module("ldm_patched.modules.model_management").soft_empty_cache()

    def _forget_lora(self, path: Path) -> None:
        networks = host_module("networks")
        kept = getattr(networks, "load_lora_state_dict", None)
        if kept is not None and hasattr(kept, "cache_clear"):
            kept.cache_clear()
        model = self._loaded_model()
        if model is not None and hasattr(model, "current_lora_hash"):
            model.current_lora_hash = str([])

    def _gpu_index(self) -> int | None:
        return 0 if self.flag("gpu_device_id") is not None else super()._gpu_index()
