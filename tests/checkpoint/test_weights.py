import hashlib
import os
import sys

import pytest
import torch
from faults import DISK_ERRORS, count_calls, die_at, leftovers, names_in, refuse_at
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file
from tanren.checkpoint.weights import load_weights, save_weights
from tanren.errors import ModelFileError, NumericError, StorageError
from tanren.formats.safetensors_header import read_header
from tanren.models.foreign_writers import not_finite

posix = pytest.mark.skipif(sys.platform == "win32", reason="fork")
NAME = "lora_unet_mid_block_attentions_0_proj_in"


def tiny(rank=2, fill=1.0):
    return {
        f"{NAME}.lora_up.weight": torch.full((8, rank), fill),
        f"{NAME}.lora_down.weight": torch.arange(rank * 4.0).reshape(rank, 4),
        f"{NAME}.alpha": torch.tensor(1.0),
    }


def big():
    return {"w": torch.arange(400_000, dtype=torch.float32), **tiny()}


def test_the_bytes_are_those_the_safetensors_library_writes(tmp_path):
    path = tmp_path / "cat.safetensors"
    tensors = {**tiny(), "b": torch.ones(3, 3, dtype=torch.bfloat16).T, "i": torch.arange(3), "e": torch.empty(0, 2)}

    save_weights(path, tensors, None, {})

    ours = path.read_bytes()
    metadata = {name: read_header(path).metadata[name] for name in ("sshs_legacy_hash", "sshs_model_hash")}
    theirs = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
    # The library shuffles its metadata; everything else agrees byte for byte.
    assert len(ours) == len(theirs)
    assert ours[ours.index(b"},") :] == theirs[theirs.index(b"},") :]
    with safe_open(path, "pt") as file:
        assert file.metadata() == metadata
        assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in tensors.items())


def test_hashes_are_those_of_sd_scripts(tmp_path):
    """sd-scripts serialises the tensors with the ss_ metadata alone, hashes behind the header, and 64 KiB at 1 MiB."""
    path = tmp_path / "cat.safetensors"
    metadata = {"ss_network_dim": "2", "modelspec.title": "cat"}
    serialised = save(big(), {"ss_network_dim": "2"})
    header = int.from_bytes(serialised[:8], "little") + 8

    save_weights(path, big(), None, metadata)

    assert read_header(path).metadata == {
        **metadata,
        "sshs_model_hash": hashlib.sha256(serialised[header:]).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(serialised[0x100000:0x110000]).hexdigest()[:8],
    }


def test_same_content_same_bytes_whatever_the_order(tmp_path):
    backwards = dict(reversed(tiny().items()))

    save_weights(tmp_path / "a.safetensors", tiny(), None, {"ss_a": "1", "ss_b": "2"})
    save_weights(tmp_path / "b.safetensors", backwards, None, {"ss_b": "2", "ss_a": "1"})

    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt", ".pt"])
def test_every_floating_tensor_is_cast_alpha_included(tmp_path, suffix):
    path = tmp_path / f"cat{suffix}"

    save_weights(path, {**tiny(), "count": torch.tensor(3)}, torch.float16, {"ss_a": "1"})

    loaded = load_weights(path)
    assert {name: tensor.dtype for name, tensor in loaded.items()} == {
        f"{NAME}.lora_up.weight": torch.float16,
        f"{NAME}.lora_down.weight": torch.float16,
        f"{NAME}.alpha": torch.float16,
        "count": torch.int64,
    }
    assert loaded[f"{NAME}.alpha"].shape == ()
    assert torch.equal(loaded[f"{NAME}.lora_down.weight"], tiny()[f"{NAME}.lora_down.weight"].half())


@pytest.mark.rule("flt-06")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_are_not_finite_never_get_the_final_name(tmp_path, value):
    path = tmp_path / "cat.safetensors"
    save_weights(path, tiny(), None, {})
    before = path.read_bytes()

    with pytest.raises(NumericError) as refusal:
        save_weights(path, tiny(fill=value), torch.float16, {})

    assert refusal.value.code == 7
    assert f"such as {NAME}.lora_up.weight" in refusal.value.what
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["cat.nonfinite.safetensors", "cat.safetensors"]
    assert not_finite(load_file(tmp_path / "cat.nonfinite.safetensors")) == [f"{NAME}.lora_up.weight"]


@posix
@pytest.mark.rule("flt-01")
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_process_killed_at_any_call_leaves_complete_weights(tmp_path, suffix):
    calls = len(count_calls(lambda: save_weights(tmp_path / f"counted{suffix}", tiny(), None, {})))
    seen = set()

    for call in range(1, calls + 1):
        path = tmp_path / f"{call}{suffix}"
        save_weights(path, tiny(fill=1.0), None, {})
        die_at(call, lambda path=path: save_weights(path, tiny(fill=2.0), None, {}))
        seen.add(load_weights(path)[f"{NAME}.lora_up.weight"][0, 0].item())

    assert seen == {1.0, 2.0}


@posix
@pytest.mark.rule("flt-02")
@pytest.mark.parametrize("number", DISK_ERRORS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_disk_error_at_any_call_leaves_the_old_weights(tmp_path, number, suffix):
    path = tmp_path / f"cat{suffix}"
    save_weights(path, tiny(fill=1.0), None, {})
    trace = count_calls(lambda: save_weights(path, tiny(fill=1.0), None, {}))

    for call in range(1, trace.index("replace") + 2):
        with pytest.raises(StorageError):
            refuse_at(call, number, lambda: save_weights(path, tiny(fill=2.0), None, {}))
        assert load_weights(path)[f"{NAME}.lora_up.weight"][0, 0].item() == 1.0
        assert leftovers(tmp_path) == []


@pytest.mark.rule("flt-02")
def test_bytes_that_do_not_come_back_as_written_are_a_storage_error(tmp_path, monkeypatch):
    path = tmp_path / "cat.safetensors"
    fsync = os.fsync

    def flip_a_bit(descriptor):
        fsync(descriptor)
        temp = next(tmp_path.glob(".tn-*.tmp"))
        content = bytearray(temp.read_bytes())
        content[-1] ^= 1
        temp.write_bytes(content)

    monkeypatch.setattr("os.fsync", flip_a_bit)
    with pytest.raises(StorageError) as refusal:
        save_weights(path, tiny(), None, {})

    assert "not what was written" in refusal.value.why
    assert names_in(tmp_path) == []


@pytest.mark.rule("mdl-05")
def test_weights_that_are_not_finite_are_not_loaded(tmp_path):
    save_file(tiny(fill=float("nan")), tmp_path / "bad.safetensors")

    with pytest.raises(ModelFileError, match=f"1 of 3 tensors are not finite, such as {NAME}"):
        load_weights(tmp_path / "bad.safetensors")


@pytest.mark.rule("mdl-07")
def test_a_file_that_changes_while_it_is_read_is_not_loaded(tmp_path, monkeypatch):
    path = tmp_path / "cat.safetensors"
    save_weights(path, tiny(), None, {})
    frombuffer = torch.frombuffer

    def other_program_writes(*arguments, **named):
        with path.open("ab") as file:
            file.write(b"more")
        return frombuffer(*arguments, **named)

    monkeypatch.setattr(torch, "frombuffer", other_program_writes)
    with pytest.raises(ModelFileError, match="changed while it was read"):
        load_weights(path)


@pytest.mark.rule("mdl-06")
def test_a_file_of_another_kind_is_not_loaded(tmp_path):
    path = tmp_path / "cat.safetensors"
    path.write_bytes(b"<html>Not found</html>")

    with pytest.raises(ModelFileError, match="a web page"):
        load_weights(path)
