"""A thin stand-in for the modules of A1111 and Forge: what they hold, which locks and threads guard it, what is a stub.

Built from what was seen in the running hosts. A "model" is a block of memory with the attributes pages read, so that
giving it back can be measured.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import shutil
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

MODEL_BYTES = 48 * 1024 * 1024
FLAVOURS = ("a1111", "forge")


class FifoLock:
    """The hosts' queue: first come, first served, and without a time limit."""

    def __init__(self) -> None:
        self._lock, self._inner = threading.Lock(), threading.Lock()
        self._waiting: collections.deque[threading.Event] = collections.deque()

    def acquire(self, blocking: bool = True) -> bool:
        with self._inner:
            if self._lock.acquire(False):
                return True
            if not blocking:
                return False
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()
        return self._lock.acquire()

    def release(self) -> None:
        with self._inner:
            if self._waiting:
                self._waiting.popleft().set()
            self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Model:
    """A loaded checkpoint: its memory, and what pages ask of it."""

    def __init__(self, info: Any) -> None:
        # Written to, because memory that was never touched is not really taken.
        self.weights = bytearray(b"\x01") * MODEL_BYTES
        self.sd_checkpoint_info = info
        self.sd_model_checkpoint = self.filename = info.filename
        self.is_sd1, self.is_sd2, self.is_sdxl = True, False, False
        self.sd_model_hash = "0123456789"
        self.lowvram = False
        self.layers = [SimpleNamespace(network_current_names=())]
        self.current_lora_hash = str([])
        self.forge_objects = SimpleNamespace(
            unet=SimpleNamespace(model=SimpleNamespace(lora_loader=SimpleNamespace(loaded_hash=str([])))),
            clip=SimpleNamespace(
                patcher=SimpleNamespace(model=SimpleNamespace(lora_loader=SimpleNamespace(loaded_hash="")))
            ),
        )

    def modules(self) -> list[Any]:
        return self.layers


class CheckpointInfo:
    """An entry of the host's list of checkpoints."""

    def __init__(self, root: Path, path: Path) -> None:
        self.filename = str(path)
        self.name = path.relative_to(root).as_posix()
        self.name_for_extra = path.stem
        self.title = f"{self.name} [0123456789]"


class LoraOnDisk:
    """An entry of the host's list of LoRAs; its alias comes from the file's metadata."""

    def __init__(self, path: Path, alias: str, networks: Any) -> None:
        self.name, self.filename, self.alias, self._networks = path.stem, str(path), alias, networks

    def get_alias(self) -> str:
        return self.name if self.alias.lower() in self._networks.forbidden_network_aliases else self.alias


class Options:
    """`shared.opts`: values, and what was registered with which default."""

    def __init__(self, **data: Any) -> None:
        self.data = data
        self.data_labels: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(name) from None


class StandIn:
    """One stand-in host; `modules` are what it puts into `sys.modules`.

    Args:
        flavour: "a1111" or "forge".
        root: its program and data folder.
        checkpoint: copied into its model folder; None for a host without any model.
    """

    def __init__(self, flavour: str, root: Path, checkpoint: Path | None) -> None:
        self.flavour, self.root = flavour, root
        self.loads: list[str] = []
        self.pictures: list[str] = []
        self.aliases: dict[str, str] = {}
        self.modules: dict[str, ModuleType] = {}
        self.models_dir = root / "models"
        for name in ("Stable-diffusion", "VAE", "Lora", "LyCORIS"):
            (self.models_dir / name).mkdir(parents=True, exist_ok=True)
        self._make_shared(checkpoint)
        self._make_common()
        self._make_a1111() if flavour == "a1111" else self._make_forge()

    def __getitem__(self, name: str) -> Any:
        return self.modules[name]

    @property
    def flags(self) -> Any:
        return self["modules.shared"].cmd_opts

    @property
    def options(self) -> dict[str, Any]:
        return self["modules.shared"].opts.data

    @property
    def lora_dir(self) -> Path:
        return self.models_dir / "Lora"

    def _add(self, name: str, **content: Any) -> ModuleType:
        module = ModuleType(name)
        module.__dict__.update(content)
        self.modules[name] = module
        return module

    def _make_shared(self, checkpoint: Path | None) -> None:
        folder = self.models_dir / "Stable-diffusion"
        if checkpoint is not None:
            shutil.copyfile(checkpoint, folder / "base.safetensors")
        listed = [CheckpointInfo(folder, path) for path in sorted(folder.glob("*.safetensors"))]
        flags = SimpleNamespace(
            **dict.fromkeys(("share", "listen", "server_name", "ngrok", "webui_is_non_local"), None),
            **dict.fromkeys(("enable_insecure_extension_access", "hide_ui_dir_config", "freeze_settings"), False),
            **dict.fromkeys(("ckpt_dir", "vae_dir", "embeddings_dir", "device_id", "gpu_device_id"), None),
            skip_load_model_at_start=False,
            use_cpu=["all"],
            lora_dir=str(self.lora_dir),
        )
        chosen = listed[0].title if listed and self.flavour == "a1111" else listed[0].name if listed else ""
        options = Options(sd_model_checkpoint=chosen, localization="None", sd_vae="Automatic")
        self._add("modules.shared", cmd_opts=flags, opts=options)
        self.infos = {info.title: info for info in listed}
        self.by_alias = {key: info for info in listed for key in (info.title, info.name, info.name_for_extra)}

    def _make_common(self) -> None:
        self._add("modules.paths", models_path=str(self.models_dir), data_path=str(self.root))
        self._add("modules.call_queue", queue_lock=FifoLock())
        self._add("modules.devices", torch_gc=gc.collect)
        self._add("modules.scripts", ScriptRunner=type("ScriptRunner", (), {"before_process": lambda self, p: None}))
        processing = self._add("modules.processing", process_images_inner=lambda p: self.pictures.append(p.prompt))
        processing.__dict__["process_images"] = self._process_images
        page = SimpleNamespace(name="lora", lister=SimpleNamespace(resets=0))
        page.lister.reset = lambda: setattr(page.lister, "resets", page.lister.resets + 1)
        self._add("modules.ui_extra_networks", extra_pages=[SimpleNamespace(name="checkpoints"), page])
        networks = self._add("networks", available_networks={}, forbidden_network_aliases={}, networks_in_memory={})
        networks.__dict__["list_available_networks"] = self._list_loras

    def _process_images(self, p: Any) -> None:
        if p.scripts is not None:
            p.scripts.before_process(p)
        self.load_for_picture()
        self["modules.processing"].process_images_inner(p)

    def _list_loras(self) -> None:
        networks = self["networks"]
        networks.available_networks.clear()
        networks.forbidden_network_aliases.clear()
        seen: set[str] = set()
        for path in sorted(self.lora_dir.rglob("*.safetensors")):
            entry = LoraOnDisk(path, self.aliases.get(path.stem, path.stem), networks)
            networks.available_networks[entry.name] = entry
            if entry.alias in seen:
                networks.forbidden_network_aliases[entry.alias.lower()] = 1
            seen |= {entry.name, entry.alias}

    # ---- A1111 ----

    def _make_a1111(self) -> None:
        data = SimpleNamespace(
            sd_model=None, loaded_sd_models=[], was_loaded_at_least_once=False, lock=threading.Lock()
        )
        sd_models = self._add(
            "modules.sd_models",
            model_data=data,
            checkpoints_list=self.infos,
            checkpoint_aliases=self.by_alias,
            checkpoints_loaded=collections.OrderedDict(),
            load_model=self._load_a1111,
        )
        sd_models.__dict__["reload_model_weights"] = self._reload_a1111
        sd_vae = self._add("modules.sd_vae", vae_dict={}, loaded_vae_file=None, base_vae=None)
        sd_vae.__dict__["resolve_vae"] = lambda _: SimpleNamespace(
            tuple=lambda: (self.options.get("_vae"), "for the test")
        )
        sd_vae.__dict__["reload_vae_weights"] = lambda: self.loads.append("vae")
        sd_vae.__dict__["delete_base_vae"] = lambda: setattr(sd_vae, "base_vae", None)
        sd_vae.__dict__["clear_loaded_vae"] = lambda: setattr(sd_vae, "loaded_vae_file", None)
        self._add("modules.sd_unet", apply_unet=lambda name: self.get_sd_model().lowvram)
        self.hijacked: list[Any] = []
        hijack = SimpleNamespace(undo_hijack=lambda model: self.hijacked.remove(model))
        self._add("modules.sd_hijack", model_hijack=hijack)

    def get_sd_model(self) -> Any:
        """`shared.sd_model`: in A1111 looking at it loads the model, once."""
        data = self["modules.sd_models"].model_data
        if self.flavour == "a1111" and not data.was_loaded_at_least_once and data.sd_model is None:
            with data.lock:
                self["modules.sd_models"].load_model()
        return data.sd_model

    def _load_a1111(self, info: Any = None) -> Any:
        data = self["modules.sd_models"].model_data
        info = info or self.by_alias[self.options["sd_model_checkpoint"]]
        self.loads.append(info.name)
        data.sd_model = Model(info)
        data.loaded_sd_models.insert(0, data.sd_model)
        data.was_loaded_at_least_once = True
        self.hijacked.append(data.sd_model)
        return data.sd_model

    def _reload_a1111(self, sd_model: Any = None) -> Any:
        data = self["modules.sd_models"].model_data
        info = self.by_alias[self.options["sd_model_checkpoint"]]
        if data.sd_model is not None and data.sd_model.sd_model_checkpoint == info.filename:
            return data.sd_model
        return self["modules.sd_models"].load_model(info)

    # ---- Forge ----

    def _make_forge(self) -> None:
        data = SimpleNamespace(sd_model=FakeInitialModel(), forge_loading_parameters={}, forge_hash="")
        sd_models = self._add(
            "modules.sd_models",
            model_data=data,
            checkpoints_list=self.infos,
            checkpoint_aliases=self.by_alias,
            FakeInitialModel=FakeInitialModel,
            # Stubs that answer and do nothing.
            load_model=lambda *_: None,
            reload_model_weights=lambda *_: None,
        )
        sd_models.__dict__["forge_model_reload"] = self._reload_forge
        self.options["forge_additional_modules"] = []
        self.unloads = 0
        memory = self._add("backend.memory_management", soft_empty_cache=gc.collect)
        memory.__dict__["unload_all_models"] = self._unload_forge
        self._add("modules_forge.main_entry", module_list={})
        self.main_thread = MainThread()
        self.modules["modules_forge.main_thread"] = self.main_thread.module
        read = functools.lru_cache(maxsize=5)(lambda path: Path(path).read_bytes())
        self["networks"].__dict__["load_lora_state_dict"] = read

    def _unload_forge(self) -> None:
        assert threading.current_thread() is self.main_thread.thread, "models are moved on Forge's model thread only"
        self.unloads += 1

    def _reload_forge(self) -> Any:
        data = self["modules.sd_models"].model_data
        wanted = str(self.options["sd_model_checkpoint"])
        if data.forge_hash == wanted:
            return data.sd_model, False
        info = self.by_alias[wanted]
        self.loads.append(info.name)
        data.sd_model, data.forge_hash = Model(info), wanted
        return data.sd_model, True

    # ---- what people do ----

    def load_for_picture(self) -> None:
        """What the first lines of `process_images` do."""
        if self.flavour == "a1111":
            self["modules.sd_models"].reload_model_weights()
        else:
            self._reload_forge()

    def generate(self, prompt: str) -> str:
        """A click on Generate: through the queue, in Forge on the model thread; the text below the picture."""
        runner = self["modules.scripts"].ScriptRunner()
        work = functools.partial(
            self["modules.processing"].process_images, SimpleNamespace(prompt=prompt, scripts=runner)
        )
        with self["modules.call_queue"].queue_lock:
            try:
                if self.flavour == "a1111":
                    work()
                else:
                    self.main_thread.run_and_wait_result(work)
                    if self.main_thread.module.last_exception is not None:
                        raise self.main_thread.module.last_exception
            except Exception as error:  # noqa: BLE001 - the hosts show whatever a click raises
                return f"{type(error).__name__}: {error}"
        return ""

    def weak_model(self) -> weakref.ref[Any]:
        """Tells whether the loaded model is still alive, without keeping it so."""
        return weakref.ref(self["modules.sd_models"].model_data.sd_model)

    def close(self) -> None:
        """End its thread."""
        if self.flavour == "forge":
            self.main_thread.close()


class FakeInitialModel:
    """What Forge holds before its first picture: truthy, and without the attributes of a model."""


class MainThread:
    """Forge's thread for models: it swallows what goes wrong and keeps the last of it."""

    def __init__(self) -> None:
        self.module = ModuleType("modules_forge.main_thread")
        self.module.__dict__.update(
            lock=threading.Lock(), last_id=0, waiting_list=[], finished_list=[], last_exception=None
        )
        self.module.__dict__.update(async_run=self.async_run, run_and_wait_result=self.run_and_wait_result)
        self._ends = threading.Event()
        self.thread = threading.Thread(target=self._loop, name="forge-model-thread", daemon=True)
        self.thread.start()

    def async_run(self, work: Callable[..., Any], *args: Any) -> int:
        module: Any = self.module
        with module.lock:
            module.last_id += 1
            module.waiting_list.append(SimpleNamespace(task_id=module.last_id, work=functools.partial(work, *args)))
            return int(module.last_id)

    def run_and_wait_result(self, work: Callable[..., Any], *args: Any) -> Any:
        module: Any = self.module
        task = self.async_run(work, *args)
        while True:
            time.sleep(0.005)
            done = next((one for one in list(module.finished_list) if one.task_id == task), None)
            if done is not None:
                with module.lock:
                    module.finished_list.remove(done)
                return done.result

    def close(self) -> None:
        self._ends.set()
        self.thread.join()

    def _loop(self) -> None:
        module: Any = self.module
        while not self._ends.is_set():
            time.sleep(0.005)
            if not module.waiting_list:
                continue
            with module.lock:
                task = module.waiting_list.pop(0)
            try:
                task.result, module.last_exception = task.work(), None
            except Exception as error:  # noqa: BLE001 - as Forge does
                task.result, module.last_exception = None, error
            with module.lock:
                module.finished_list.append(task)


@contextlib.contextmanager
def running(flavour: str, root: Path, checkpoint: Path | None) -> Iterator[StandIn]:
    """A stand-in host in `sys.modules` for a while; whatever stood there under its names comes back."""
    host = StandIn(flavour, root, checkpoint)
    before = {name: sys.modules.get(name) for name in host.modules}
    sys.modules.update(host.modules)
    try:
        yield host
    finally:
        host.close()
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
