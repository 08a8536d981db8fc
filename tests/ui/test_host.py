"""What the surroundings say about themselves, in both WebUIs and alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from model_files import write_model
from tanren.paths import ANYWHERE
from tanren.ui.host import detect
from tanren.ui.host_standalone import Standalone
from ui.host_stand_in.host_modules import FLAVOURS, running

TRAINER = Path(__file__).parents[2] / "trainer"
VAE_SHAPES = {"decoder.conv_in.weight": (8, 4, 3, 3)}


@pytest.fixture(params=FLAVOURS)
def flavour(request):
    return request.param


@pytest.fixture
def host(flavour, tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running(flavour, tmp_path / "webui", write_model(tmp_path / "base.safetensors")) as stand_in:
        yield stand_in


def test_without_a_webui_the_surroundings_are_standalone(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path))

    surroundings = detect({})

    assert (surroundings.kind, surroundings.title) == ("standalone", "Tanren")
    assert surroundings.checkpoint() is None
    assert surroundings.release("job") is None


def test_the_webui_is_told_by_its_modules(host, flavour):
    assert detect().kind == flavour


def test_reforge_is_told_from_a1111_by_its_memory_management(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running("a1111", tmp_path, None):
        monkeypatch.setitem(sys.modules, "ldm_patched.modules.model_management", object())

        assert detect().title == "reForge"


def test_asking_for_the_checkpoint_loads_nothing(host):
    found = detect().checkpoint()

    assert (found.name, found.is_loaded, found.sentence) == ("base.safetensors", False, "a Stable Diffusion 1 model")
    assert found.path == host.models_dir / "Stable-diffusion" / "base.safetensors"
    assert host.loads == []


def test_a_loaded_checkpoint_is_the_one_in_memory_not_the_selected_one(host):
    surroundings = detect()
    host.load_for_picture()
    host.options["sd_model_checkpoint"] = "another"

    assert surroundings.checkpoint().is_loaded
    assert surroundings.checkpoint().name == "base.safetensors"


def test_a_webui_without_any_model_has_no_checkpoint(flavour, tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running(flavour, tmp_path, None):
        assert detect().checkpoint() is None
        assert detect().checkpoints() == {}


def test_a_selected_checkpoint_that_is_damaged_is_named_without_a_family(host):
    (host.models_dir / "Stable-diffusion" / "base.safetensors").write_bytes(b"broken")

    found = detect().checkpoint()

    assert (found.family, found.sentence) == ("unknown", "")


def test_checkpoints_are_listed_by_their_path_below_the_model_folder(host):
    assert list(detect().checkpoints()) == ["base.safetensors"]


def test_the_vae_beside_a_checkpoint_is_told(host, flavour):
    vae = write_model(host.models_dir / "VAE" / "other.safetensors", VAE_SHAPES)
    encoder = write_model(
        host.models_dir / "VAE" / "t5.safetensors", {"text_model.embeddings.token_embedding.weight": (1,)}
    )
    if flavour == "a1111":
        host.options["_vae"] = str(vae)
        host["modules.sd_vae"].vae_dict["other.safetensors"] = str(vae)
    else:
        host.options["forge_additional_modules"] = [str(encoder), str(vae)]
        host["modules_forge.main_entry"].module_list.update({vae.name: str(vae), encoder.name: str(encoder)})

    surroundings = detect()

    assert surroundings.checkpoint().vae_path == vae
    assert surroundings.vaes() == {"other.safetensors": vae}


def test_the_vae_of_a_loaded_a1111_model_is_the_one_that_was_loaded_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running("a1111", tmp_path / "webui", write_model(tmp_path / "base.safetensors")) as host:
        host.load_for_picture()
        host["modules.sd_vae"].loaded_vae_file = "/models/VAE/loaded.safetensors"
        host.options["_vae"] = "/models/VAE/chosen-later.safetensors"

        assert detect().checkpoint().vae_path == Path("/models/VAE/loaded.safetensors")


def test_the_language_is_the_localization_that_was_chosen(host):
    assert detect().language() == "en"

    host.options["localization"] = "ja_JP"

    assert detect().language() == "ja_JP"


def test_settings_fall_back_to_their_registered_default(host):
    host["modules.shared"].opts.data_labels["tanren_environment"] = type("Info", (), {"default": "/trainer"})
    surroundings = detect()

    assert surroundings.setting("environment") == "/trainer"
    host.options["tanren_environment"] = "/mine"
    assert surroundings.setting("environment") == "/mine"
    assert surroundings.setting("unknown", 3) == 3


def test_on_ones_own_machine_paths_may_lead_anywhere(host):
    assert detect().policy() is ANYWHERE
    assert not detect().is_public


@pytest.mark.parametrize("flag", ["listen", "share", "hide_ui_dir_config", "freeze_settings"])
def test_where_others_come_in_or_paths_are_hidden_only_the_webuis_folders_are_open(host, flag, tmp_path):
    setattr(host.flags, flag, True)

    roots = detect().policy().roots

    assert host.models_dir in roots
    assert tmp_path / "data" in roots


def test_a_listening_webui_is_public_and_read_only_until_its_operator_agrees(host):
    host.flags.listen = True
    assert (detect().is_public, detect().may_write) == (True, False)

    host.flags.enable_insecure_extension_access = True
    assert detect().may_write


def test_without_a_gpu_the_device_is_the_cpu_and_what_the_webui_holds_is_its_memory(host):
    facts = detect().device()

    assert (facts.kind, facts.name) == ("cpu", "CPU")
    assert 0 < facts.held_by_host < facts.total


@pytest.mark.parametrize(("device", "meets"), [(None, True), ("cpu", True), ("cuda:0", False)])
def test_a_webui_on_the_cpu_is_met_by_jobs_on_the_cpu(host, device, meets):
    assert detect().uses_device(device) is meets


def test_the_lora_folder_is_the_flags_or_the_usual_one(host):
    assert detect().lora_dir() == host.lora_dir
    host.flags.lora_dir = None
    assert detect().lora_dir() == host.lora_dir


def test_a_card_is_a_file_of_the_webuis_list(host):
    (host.lora_dir / "more").mkdir()
    (host.lora_dir / "more" / "moon.safetensors").write_bytes(b"x")
    host["networks"].list_available_networks()

    assert detect().lora_path("moon") == host.lora_dir / "more" / "moon.safetensors"
    assert detect().lora_path("sun") is None


def test_only_the_older_webui_reads_the_folder_of_an_extension_that_came_before(host, tmp_path):
    host.flags.lyco_dir_backcompat = str(tmp_path / "LyCORIS")
    older = [tmp_path / "LyCORIS"] if detect().kind == "a1111" else []

    assert detect().lora_dirs() == [host.lora_dir, *older]


def test_importing_the_surroundings_imports_neither_gradio_nor_torch():
    names = ["host", "host_a1111", "host_forge", "host_standalone", "checkpoint_lease", "use_epoch"]
    code = f"import sys; {'; '.join(f'import tanren.ui.{name}' for name in names)}"
    code += "; print({'gradio', 'torch', 'numpy', 'starlette'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=TRAINER)

    assert done.stdout.strip() == "set()"


def test_standalone_lists_the_models_of_the_folder_in_its_settings(tmp_path):
    write_model(tmp_path / "base.safetensors")
    surroundings = Standalone(tmp_path, settings={"models_dir": str(tmp_path)})

    assert surroundings.checkpoints() == {"base.safetensors": tmp_path / "base.safetensors"}
    assert surroundings.lora_dir() is None


def test_standalone_keeps_to_the_folders_that_were_allowed(tmp_path):
    allowed = Standalone(tmp_path / "data", allowed=[tmp_path / "pictures"])

    assert Standalone(tmp_path / "data").policy() is ANYWHERE
    assert allowed.policy().roots == (tmp_path / "data", tmp_path / "pictures")
