import errno

import pytest
import torch
from faults import names_in
from safetensors.torch import save_file
from tanren.errors import ModelFileError, NumericError, StorageError
from tanren.formats.safetensors_header import read_header
from tanren.models.foreign_writers import publish


def tiny(fill=1.0):
    return {"a.lora_up.weight": torch.full((4, 2), fill), "a.alpha": torch.tensor(1.0)}


def test_another_programs_writer_is_published_like_ours(tmp_path):
    path = tmp_path / "cat.safetensors"

    publish(path, lambda made: save_file(tiny(), made, {"ss_network_module": "lycoris.kohya"}))

    assert read_header(path).metadata == {"ss_network_module": "lycoris.kohya"}
    assert names_in(tmp_path) == ["cat.safetensors"]


@pytest.mark.rule("flt-06")
def test_what_another_programs_writer_breaks_is_not_published(tmp_path):
    path = tmp_path / "cat.safetensors"
    save_file(tiny(), path)
    before = path.read_bytes()

    with pytest.raises(NumericError):
        publish(path, lambda made: save_file(tiny(fill=float("inf")), made))
    with pytest.raises(ModelFileError):
        publish(path, lambda made: made.write_bytes(b"half"))

    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["cat.nonfinite.safetensors", "cat.safetensors"]


@pytest.mark.rule("flt-02")
def test_a_full_disk_is_told_in_the_same_words_as_for_our_own_files(tmp_path):
    def write(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="The disk is full"):
        publish(tmp_path / "cat.safetensors", write)
    assert names_in(tmp_path) == []
