"""SDXL runs with latents and text cached on disk, killed and resumed: they end as the undisturbed run does."""

from __future__ import annotations

import json

import pytest
from acceptance.killing import Killer, check_same, leftovers_of
from acceptance.processes import check_visible_files, step_of
from recipes import training
from tanren.entry import main

COMMAND = "sdxl_train_network"
# Batches of one picture: the states after steps 2, 4 and 6 all lie inside an epoch.
PICTURES = 5
RUN = {
    "max_train_epochs": None,
    "max_train_steps": 7,
    "train_batch_size": 1,
    "network_dim": 2,
    "network_dropout": 0.1,
    "network_train_unet_only": True,
    "cache_latents_to_disk": True,
    "cache_text_encoder_outputs_to_disk": True,
    "shuffle_caption": None,
    "max_data_loader_n_workers": 0,
}
OFTEN = {"save_every_n_steps": 2, "save_state": True}
KILLS = [1, pytest.param(12, marks=pytest.mark.proof)]
pytestmark = pytest.mark.rule("flt-01")


@pytest.fixture(scope="module", params=["shallow sdxl", pytest.param("sdxl", marks=pytest.mark.proof)])
def model(request, tmp_path_factory):
    return training.base_model(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("学習") / "my pictures"
    training.ordinary_pictures(folder / "1_sks waves", PICTURES)
    return folder


@pytest.fixture(scope="module")
def undisturbed(model, data, tmp_path_factory):
    """With a cache of its own: the killed runs have to make theirs."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert main(COMMAND, training.arguments(model, data, out, **RUN, data_dir=out / "tanren data")) == 0
    return out / "waves.safetensors"


@pytest.mark.option("resume", "save_state", "cache_latents_to_disk", "cache_text_encoder_outputs_to_disk")
@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_run_goes_on_in_the_middle_of_an_epoch(model, data, tmp_path, undisturbed, kills):
    killer = Killer(5, most_saves=2, command=COMMAND)
    inside_an_epoch = 0
    while killer.done < kills:
        out = tmp_path / f"out after {killer.done} kills"
        out.mkdir()
        states, ended = [], False
        while not ended:
            more = {"resume": states[-1]} if states else {}
            inside_an_epoch += bool(states) and step_of(states[-1]) % PICTURES > 0
            words = training.arguments(model, data, out, **RUN, **OFTEN, **more)
            if killer.done < kills:
                ended = killer.start(words, out)
            else:
                killer.finish(words)
                ended = True
            states = sorted(check_visible_files(out), key=step_of)
        check_same(out / "waves.safetensors", undisturbed)
        assert leftovers_of(out) == []
    assert killer.resumed > 0
    assert inside_an_epoch > 0
    print(f"{killer.done} kills, {killer.resumed} starts resumed, {inside_an_epoch} of them inside an epoch")


@pytest.mark.proof
def test_a_killed_job_goes_on_by_itself(model, data, tmp_path, undisturbed):
    killer = Killer(6, most_saves=2, command=COMMAND)
    out, job = tmp_path / "out", tmp_path / "job"
    words = training.arguments(model, data, out, **RUN, save_every_n_steps=2, job_dir=job)
    ended = False
    while not ended:
        ended = killer.start(words, job) if killer.done < 5 else killer.finish(words) is None
        ended = ended or (job / "result.json").exists()

    check_same(out / "waves.safetensors", undisturbed)
    assert json.loads((job / "result.json").read_text("utf-8"))["state"] == "completed"
    assert killer.resumed > 0
