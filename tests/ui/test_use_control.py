"""A control network lands where the WebUI's ControlNet looks for its models, alone and without a prompt."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from tanren.errors import ModelFileError, UsageError
from tanren.formats.safetensors_header import header_bytes, lay_out
from tanren.ui.host import detect
from tanren.ui.host_standalone import Standalone
from tanren.ui.use_control import use_control
from ui.host_stand_in.host_modules import FLAVOURS, running

KEY = "lllite_unet_middle_block_1_transformer_blocks_0_attn1_to_q.down.0.weight"
# The module and the function with which ControlNet reads its folders again.
LISTS = {
    "a1111": ("scripts.global_state", "update_cn_models"),
    "forge": ("lib_controlnet.global_state", "update_cn_models"),
}


def write_file(path, name=KEY):
    path.write_bytes(header_bytes({}, lay_out([(name, "F16", (4, 8))])) + bytes(64))
    return path


@pytest.fixture(params=FLAVOURS)
def flavour(request):
    return request.param


@pytest.fixture
def host(flavour, tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running(flavour, tmp_path / "webui", None) as stand_in:
        yield stand_in


@pytest.fixture
def epoch(tmp_path):
    return write_file(tmp_path / "lines-000004.safetensors")


@pytest.fixture
def controlnet(flavour, monkeypatch):
    """ControlNet as it is installed there; counts how often it reads its folders again."""
    name, function = LISTS[flavour]
    module, reads = ModuleType(name), []
    setattr(module, function, lambda: reads.append(1))
    monkeypatch.setitem(sys.modules, name, module)
    return reads


def test_the_file_alone_lies_in_the_usual_folder_and_the_list_is_read_again(host, epoch, controlnet):
    used = use_control(detect(), epoch, name="lines")

    folder = host.models_dir / "ControlNet"
    assert (used.path, used.is_listed, len(controlnet)) == (folder / "lines.safetensors", True, 1)
    assert used.path.read_bytes() == epoch.read_bytes()
    assert [path.name for path in folder.iterdir()] == ["lines.safetensors"]
    assert list(host.lora_dir.iterdir()) == []


def test_without_controlnet_the_file_is_copied_and_nobody_lists_it(host, epoch):
    assert not use_control(detect(), epoch).is_listed


def test_a_name_that_is_taken_gets_a_number_and_the_same_file_does_not(host, epoch, tmp_path):
    first = use_control(detect(), epoch, name="lines")
    again = use_control(detect(), epoch, name="lines")
    other = use_control(detect(), write_file(tmp_path / "other.safetensors", f"{KEY}.x"), name="lines")

    assert (first.was_there, again.was_there, other.name) == (False, True, "lines-2")


def test_the_folder_of_the_settings_wins_when_it_is_there(host, tmp_path):
    named, flag = tmp_path / "of settings", tmp_path / "of flag"
    host.options["control_net_models_path"], host.flags.controlnet_dir = str(named), str(flag)

    assert detect().control_dir() == host.models_dir / "ControlNet"
    flag.mkdir()
    assert detect().control_dir() == flag
    named.mkdir()
    assert detect().control_dir() == named


def test_forge_says_where_its_own_are(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running("forge", tmp_path / "webui", None):
        module = ModuleType("modules_forge.shared")
        module.controlnet_dir = str(tmp_path / "elsewhere")
        monkeypatch.setitem(sys.modules, "modules_forge.shared", module)

        assert detect().control_dir() == tmp_path / "elsewhere"


def test_who_keeps_them_with_the_extension_goes_on_doing_so(host, flavour):
    folder = host.root / "extensions" / "sd-webui-controlnet" / "models"
    folder.mkdir(parents=True)

    assert detect().control_dir() == host.models_dir / "ControlNet"
    (folder / "canny.safetensors").write_bytes(b"")
    assert detect().control_dir() == folder
    (host.models_dir / "ControlNet").mkdir()
    (host.models_dir / "ControlNet" / "depth.pth").write_bytes(b"")
    assert detect().control_dir() == host.models_dir / "ControlNet"


def test_alone_a_folder_has_to_be_named(epoch, tmp_path):
    around = Standalone(tmp_path / "data")

    with pytest.raises(UsageError, match="Where control networks are used is not known"):
        use_control(around, epoch)
    used = use_control(around, epoch, folder=tmp_path / "mine")
    assert (used.path, used.is_listed) == (tmp_path / "mine" / "lines-000004.safetensors", False)


def test_other_files_are_refused(tmp_path):
    lora = write_file(tmp_path / "moon.safetensors", "lora_unet_mid_block.lora_down.weight")

    with pytest.raises(ModelFileError, match="is no ControlNet-LLLite"):
        use_control(Standalone(tmp_path / "data"), lora, folder=tmp_path / "mine")
    with pytest.raises(ModelFileError, match="is not there any more"):
        use_control(Standalone(tmp_path / "data"), tmp_path / "gone.safetensors", folder=tmp_path / "mine")
