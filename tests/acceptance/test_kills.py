"""Runs that are killed at random moments: what is visible is whole, and going on ends as if nothing had happened."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from acceptance.processes import RESUMED, SAVED, TRAINING_BEGINS, Running, check_visible_files, step_of
from recipes.training import arguments, lasting, same_tensors, train

LENGTH = {"max_train_epochs": 4, "network_dropout": 0.1, "max_data_loader_n_workers": 0}
OFTEN = {"save_every_n_steps": 2, "save_state": True, "save_last_n_steps": 6, "save_last_n_steps_state": 6}
KILLS = [2, pytest.param(30, marks=pytest.mark.proof)]
pytestmark = pytest.mark.rule("flt-01")


@pytest.fixture(scope="module")
def undisturbed(micro, pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    train(micro, pictures, out, **LENGTH)
    return out / "waves.safetensors"


class Killer:
    """Starts runs and kills them, each at a moment that differs by saved files and by fractions of a second.

    The first kill comes late enough for a state to be there.
    """

    def __init__(self, seed: int, most_saves: int) -> None:
        self.random, self.most_saves = random.Random(seed), most_saves
        self.done = self.leftovers = self.resumed = 0

    def start(self, words: list[str], out: Path) -> bool:
        """Start and kill; True when the run had got to its end by itself before."""
        with Running(words) as run:
            assert run.wait_for(TRAINING_BEGINS), run.text
            for _ in range(self.random.randrange(self.most_saves) if self.done else self.most_saves):
                run.wait_for(SAVED)
            time.sleep(self.random.uniform(0, 0.3))
            if run.process.poll() is not None:
                assert run.end() == 0, run.text
                return True
            run.kill()
        self.done += 1
        self.resumed += RESUMED in run.text
        self.leftovers += len(leftovers_of(out))
        return False

    def finish(self, words: list[str]) -> None:
        """Let a run get to its end."""
        with Running(words) as run:
            assert run.end() == 0, run.text
        self.resumed += RESUMED in run.text


def leftovers_of(folder):
    return [path.name for path in folder.rglob(".tn-*") if path.suffix in (".tmp", ".part", ".old")]


def check_same(result, undisturbed):
    assert same_tensors(result, undisturbed)
    assert lasting(result) == lasting(undisturbed)


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
