"""Whole trainings that upload to, and go on from, a hub on this machine."""

import pytest
from hub.hub_server import TOKEN
from recipes.training import train

QUICK = {"max_train_steps": 2, "max_train_epochs": None, "network_train_unet_only": True}


@pytest.mark.option("huggingface_repo_id", "huggingface_path_in_repo")
def test_every_saved_file_is_uploaded_as_it_lies_on_the_disk(model, data, tmp_path, hub):
    train(
        *(model, data, tmp_path),
        **QUICK,
        save_every_n_steps=1,
        huggingface_repo_id="mika/moon",
        huggingface_path_in_repo="/loras/waves/",
    )

    names = ("waves-step00000001.safetensors", "waves-step00000002.safetensors", "waves.safetensors")
    assert hub.repo().files == {f"loras/waves/{name}": (tmp_path / name).read_bytes() for name in names}
    assert hub.repo().messages == [f"Upload {name}" for name in names]
    assert hub.tokens == {TOKEN}
