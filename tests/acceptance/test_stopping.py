"""Asking a run to stop: what was learned is saved, and going on ends as if nothing had happened."""

from __future__ import annotations

import json
import signal
import sys
import time

import pytest
from acceptance.processes import SAVED, Running, check_visible_files, wait_until
from recipes.training import arguments, lasting, same_tensors, train

LENGTH = {"max_train_epochs": 4, "max_data_loader_n_workers": 0}
STOPPED, INTERRUPTED = 20, 130
AT_ONCE_SECONDS = 20


@pytest.fixture(scope="module")
def undisturbed(micro, pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    train(micro, pictures, out, **LENGTH)
    return out / "waves.safetensors"


def stopped_state(out):
    """The only state there is: the run was not asked to save any."""
    states = check_visible_files(out)
    assert len(states) == 1
    return states[0]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "TERM"])
def test_a_signal_saves_ends_with_code_20_and_the_run_can_go_on(micro, pictures, tmp_path, undisturbed, number):
    out = tmp_path / "out"
    with Running(arguments(micro, pictures, out, save_every_n_steps=2, **LENGTH)) as run:
        assert run.wait_for(SAVED), run.text
        run.signal(number)
        assert run.end() == STOPPED, run.text

    state = stopped_state(out)
    assert f"--resume={state}" in run.text
    assert (out / f"{state.name.removesuffix('-state')}.safetensors").exists()
    train(micro, pictures, out, resume=state, **LENGTH)
    assert same_tensors(out / "waves.safetensors", undisturbed)
    assert lasting(out / "waves.safetensors") == lasting(undisturbed)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_second_signal_ends_the_run_at_once(micro, pictures, tmp_path):
    """While a picture is drawn that takes minutes, the first one has to wait."""
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text("sks waves --w 256 --h 256 --s 1000\n")
    words = arguments(micro, pictures, out, sample_prompts=prompts, sample_at_first=True, sample_every_n_steps=100)
    with Running(words) as run:
        assert run.wait_for("will be trained: unet"), run.text
        time.sleep(3)
        run.signal(signal.SIGINT)
        assert run.wait_for("Once more ends the run at once."), run.text
        assert run.process.poll() is None
        run.signal(signal.SIGINT)
        asked = time.monotonic()
        assert run.end() == INTERRUPTED, run.text
        assert time.monotonic() - asked < AT_ONCE_SECONDS

    assert "Traceback" not in run.text
    assert check_visible_files(out) == []


@pytest.mark.parametrize("by", ["control.json", "a file named stop"])
def test_a_job_that_is_asked_to_stop_saves_and_goes_on_when_started_again(micro, pictures, tmp_path, undisturbed, by):
    out, job = tmp_path / "out", tmp_path / "job"
    words = arguments(micro, pictures, out, save_every_n_steps=2, job_dir=job, **LENGTH)
    with Running(words) as run:
        assert run.wait_for(SAVED), run.text
        if by == "control.json":
            (job / "control.new").write_text(json.dumps({"sequence": 1, "attempt": 1, "requests": ["stop"]}))
            (job / "control.new").replace(job / "control.json")
        else:
            (job / "stop").touch()
        assert run.end() == STOPPED, run.text

    result = json.loads((job / "result.json").read_text("utf-8"))
    assert (result["state"], result["code"], result["attempt"]) == ("stopped", STOPPED, 1)
    stopped_state(job / "checkpoints")
    with Running(words) as again:
        assert again.end() == 0, again.text
    result = json.loads((job / "result.json").read_text("utf-8"))
    assert (result["state"], result["attempt"]) == ("completed", 2)
    assert same_tensors(out / "waves.safetensors", undisturbed)


def test_a_running_job_saves_when_it_is_asked(micro, pictures, tmp_path):
    out, job = tmp_path / "out", tmp_path / "job"
    with Running(arguments(micro, pictures, out, job_dir=job, max_train_steps=100_000, max_train_epochs=None)) as run:
        assert run.wait_for("epoch 1 done"), run.text
        (job / "save").touch()
        wait_until(lambda: list(out.glob("waves-step*.safetensors")))
        (job / "stop").touch()
        assert run.end() == STOPPED, run.text
    check_visible_files(out)


def test_a_state_of_the_very_last_update_leads_to_the_same_final_file(micro, pictures, tmp_path):
    """A run may die between its last update and its final file; the epoch it was in counts as completed then."""
    length = {**LENGTH, "max_train_epochs": 2, "save_every_n_epochs": 1}
    train(micro, pictures, tmp_path / "whole", save_every_n_steps=12, save_state=True, **length)

    train(micro, pictures, tmp_path / "late", resume=tmp_path / "whole/waves-step00000012-state", **length)

    whole, late = (tmp_path / name / "waves.safetensors" for name in ("whole", "late"))
    assert same_tensors(whole, late)
    assert lasting(whole) == lasting(late)
    assert lasting(late)["ss_epoch"] == "2"


def test_a_run_made_longer_goes_on_where_it_ended_in_the_middle_of_an_epoch(micro, pictures, tmp_path):
    """Six steps an epoch: the first run ends in its second epoch, the longer one in its third."""
    options = {**LENGTH, "max_train_epochs": None}
    train(micro, pictures, tmp_path / "short", max_train_steps=10, save_state=True, **options)

    train(micro, pictures, tmp_path / "on", max_train_steps=14, resume=tmp_path / "short/waves-state", **options)
    train(micro, pictures, tmp_path / "whole", max_train_steps=14, **options)

    on, whole = (tmp_path / name / "waves.safetensors" for name in ("on", "whole"))
    assert lasting(on) == lasting(whole)
    assert same_tensors(on, whole)
