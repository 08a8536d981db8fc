"""Runs that are killed at random moments: what is visible is whole, and going on ends as if nothing had happened."""

from __future__ import annotations

import json

import pytest
from acceptance.killing import Killer, check_same, leftovers_of
from acceptance.processes import check_visible_files, step_of
from recipes.training import arguments, train

LENGTH = {"max_train_epochs": 4, "network_dropout": 0.1, "max_data_loader_n_workers": 0}
OFTEN = {"save_every_n_steps": 2, "save_state": True, "save_last_n_steps": 6, "save_last_n_steps_state": 6}
KILLS = [2, pytest.param(30, marks=pytest.mark.proof)]
pytestmark = pytest.mark.rule("flt-01")


@pytest.fixture(scope="module")
def undisturbed(micro, pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    train(micro, pictures, out, **LENGTH)
    return out / "waves.safetensors"


@pytest.mark.parametrize("kills", KILLS)
def test_a_run_killed_again_and_again_ends_as_the_undisturbed_one(micro, pictures, tmp_path, undisturbed, kills):
    """Each start resumes the newest state; a run that got to its end is begun anew until enough were killed."""
    killer = Killer(11, most_saves=4)
    while killer.done < kills:
        out = tmp_path / f"out after {killer.done} kills"
        out.mkdir()
        states, ended = [], False
        while not ended:
            more = {"resume": states[-1]} if states else {}
            words = arguments(micro, pictures, out, **LENGTH, **OFTEN, **more)
            if killer.done < kills:
                ended = killer.start(words, out)
            else:
                killer.finish(words)
                ended = True
            states = sorted(check_visible_files(out), key=step_of)
        check_same(out / "waves.safetensors", undisturbed)
        # Each start swept what the kill before it had left.
        assert leftovers_of(out) == []
    assert killer.resumed > 0
    print(f"{killer.done} kills, {killer.resumed} starts resumed, {killer.leftovers} unfinished files were left")


@pytest.mark.parametrize("kills", KILLS)
def test_a_job_killed_again_and_again_goes_on_by_itself(micro, pictures, tmp_path, undisturbed, kills):
    """The same command each time: the job finds the states that its attempts left."""
    killer = Killer(12, most_saves=8)
    while killer.done < kills:
        out, job = tmp_path / f"out after {killer.done} kills", tmp_path / f"job after {killer.done} kills"
        # Workers of a killed trainer must end with it.
        options = {**LENGTH, "save_every_n_steps": 2, "job_dir": job, "max_data_loader_n_workers": 1}
        words, ended, attempts = arguments(micro, pictures, out, **options), False, 0
        while not ended:
            attempts += 1
            if killer.done < kills:
                ended = killer.start(words, job)
            else:
                killer.finish(words)
                ended = True
            check_visible_files(out)
            check_visible_files(job / "checkpoints") if (job / "checkpoints").exists() else []
            # The result is the last thing that is written: a kill after it changes nothing any more.
            assert (job / "result.json").exists() or not ended
            ended = (job / "result.json").exists()
        check_same(out / "waves.safetensors", undisturbed)
        assert leftovers_of(out) == leftovers_of(job) == []
        result = json.loads((job / "result.json").read_text("utf-8"))
        assert (result["state"], result["attempt"]) == ("completed", attempts)
    assert killer.resumed > 0
    print(f"{killer.done} kills, {killer.resumed} starts resumed, {killer.leftovers} unfinished files were left")
