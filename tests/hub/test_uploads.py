"""A run that saves, as the uploads hear it: waiting or not, stopped or not, with a hub that works or fails."""

import time

import pytest
from hub.hub_server import CUT, HANG, TOKEN
from tanren.commands import COMMANDS
from tanren.errors import NumericError, StoppedOnRequest
from tanren.events import Report
from tanren.folders import durable_folder
from tanren.hub import outbox as outbox_module
from tanren.hub import uploads as uploads_module
from tanren.hub.request import Limits
from tanren.hub.uploads import uploading
from tanren.options.parse import parse


class Saving:
    """Stands for a training: saves files and states, and keeps what was told."""

    def __init__(self, folder):
        self.folder, self.events = folder, []
        self.requests, self.lasting = set(), True
        self.report = Report([self.events.append], asked=self.asked)
        self.step = 0

    def asked(self):
        """Ctrl-C is asked again and again, the request of a page once."""
        asked = set(self.requests)
        if not self.lasting:
            self.requests.clear()
        return asked

    def run(self, *argv, **surroundings):
        words = ["--huggingface_repo_id=mika/moon", *argv]
        settings = parse("train_network", COMMANDS["train_network"].groups, words).settings
        return uploading(settings, self.report, **surroundings)

    def save(self, name):
        path = self.folder / name
        path.write_bytes(f"weights of step {self.step}".encode())
        self.report.tell("saved", file=str(path), step=self.step, epoch=0)
        return path

    def save_state(self, name):
        path = self.folder / name
        durable_folder(path, lambda part: (part / "training.pt").write_bytes(b"optimizer"))
        self.report.tell("saved_state", file=str(path), step=self.step, epoch=0)

    def go_on(self):
        self.step += 1
        self.report.tell("step", step=self.step)

    def told(self, kind):
        return [event["text"] for event in self.events if event["kind"] == kind]


@pytest.fixture
def saving(tmp_path):
    (tmp_path / "out").mkdir()
    return Saving(tmp_path / "out")


@pytest.fixture
def impatient(monkeypatch):
    """A hub that is silent is waited for some seconds instead of minutes."""
    monkeypatch.setattr(outbox_module, "SILENCE_SECONDS", 5.0)
    monkeypatch.setattr(uploads_module, "CHECK_LIMITS", Limits(5.0, 5.0))


def test_the_run_waits_for_each_upload(hub, saving):
    with saving.run():
        for name in ("moon-000001.safetensors", "moon.safetensors"):
            saving.go_on()
            saving.save(name)
            assert list(hub.repo().files)[-1] == name

    assert saving.told("warning") == []
    assert saving.told("note") == [
        f"results are uploaded to {hub.url}/mika/moon",
        "uploading moon-000001.safetensors to mika/moon",
        f"uploaded {hub.url}/mika/moon/blob/main/moon-000001.safetensors",
        "uploading moon.safetensors to mika/moon",
        f"uploaded {hub.url}/mika/moon/blob/main/moon.safetensors",
    ]
    assert {(event["done"], event["total"]) for event in saving.events if event["kind"] == "phase"} >= {(100, 100)}


@pytest.mark.option("async_upload")
def test_in_the_background_the_run_goes_on_and_the_end_waits_for_all_in_their_order(hub, saving):
    hub.before_put = hub.let_go.wait
    with saving.run("--async_upload"):
        for number in range(3):
            saving.go_on()
            saving.save(f"moon-{number}.safetensors")
        assert hub.repo().files == {}
        assert saving.step == 3
        hub.let_go.set()

    assert list(hub.repo().files.items()) == [
        (f"moon-{number}.safetensors", f"weights of step {number + 1}".encode()) for number in range(3)
    ]
    assert saving.told("warning") == []


@pytest.mark.option("save_state_to_huggingface")
@pytest.mark.parametrize("option", [[], ["--save_state_to_huggingface"]], ids=["not asked", "asked"])
def test_states_are_uploaded_when_that_is_asked_for(hub, saving, option):
    with saving.run(*option):
        saving.save("moon.safetensors")
        saving.save_state("moon-state")

    states = {"moon-state/training.pt", "moon-state/manifest.json"} if option else set()
    assert set(hub.repo().files) == {"moon.safetensors", *states}


@pytest.mark.option("huggingface_token")
def test_the_token_of_the_settings_is_the_one_that_is_used(hub, saving, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of-somebody-else")
    with saving.run(f"--huggingface_token={TOKEN}"):
        saving.save("moon.safetensors")

    assert list(hub.repo().files) == ["moon.safetensors"]
    assert hub.tokens == {TOKEN}


@pytest.mark.rule("flt-11")
def test_without_a_token_nothing_is_asked_and_the_end_says_how_to_upload_later(hub, saving, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with saving.run("--huggingface_path_in_repo=loras"):
        path = saving.save("moon.safetensors")

    assert hub.steps == []
    (warning,) = saving.told("warning")
    assert warning.startswith("1 result was not uploaded and is safe on this machine. No token was found.")
    assert warning.splitlines()[-1].strip() == f"hf upload mika/moon {path} loras/moon.safetensors --private"


@pytest.mark.rule("flt-11")
def test_a_refused_upload_is_told_with_its_reason_and_the_run_goes_on(hub, saving):
    hub.faults |= {"access": 403, "preupload": 403}
    with saving.run():
        saving.save("moon-000001.safetensors")
        saving.save("moon.safetensors")

    first, one, other, last = saving.told("warning")
    assert first.startswith("--huggingface_repo_id: The token may not write there, HTTP 403.")
    assert first.endswith("The run goes on; every result stays on this machine, and its upload is tried all the same.")
    assert one.startswith("moon-000001.safetensors was not uploaded, the run goes on. The token may not write there")
    assert other.startswith("moon.safetensors was not uploaded, the run goes on.")
    assert last.startswith("2 results were not uploaded and are safe on this machine. To upload later:\n  hf upload ")


@pytest.mark.rule("flt-11")
def test_what_failed_in_the_run_is_tried_again_at_its_end(hub, saving):
    with saving.run("--async_upload"):
        hub.faults["commit"] = 500
        saving.save("moon-000001.safetensors")
        while not saving.told("warning"):
            time.sleep(0.05)
            saving.go_on()
        hub.faults.clear()
        saving.save("moon.safetensors")

    assert set(hub.repo().files) == {"moon-000001.safetensors", "moon.safetensors"}
    (warning,) = saving.told("warning")
    assert "The hub has trouble of its own, HTTP 500." in warning


@pytest.mark.rule("flt-11")
def test_a_silent_hub_holds_the_training_up_once_only(hub, saving, impatient, monkeypatch):
    with saving.run():
        hub.faults["preupload"] = HANG
        saving.save("moon-000001.safetensors")
        hub.faults.clear()
        monkeypatch.setattr(outbox_module, "SILENCE_SECONDS", 60.0)
        hub.before_put = hub.let_go.wait
        saving.save("moon-000002.safetensors")
        assert hub.repo().files == {}
        hub.let_go.set()

    assert "Further results are uploaded in the background" in " ".join(saving.told("note"))
    assert set(hub.repo().files) == {"moon-000001.safetensors", "moon-000002.safetensors"}


@pytest.mark.rule("flt-11")
def test_a_hub_that_stays_silent_ends_the_waiting_at_the_end(hub, saving, impatient):
    with saving.run("--async_upload"):
        hub.faults["preupload"] = HANG
        for number in range(5):
            saving.save(f"moon-{number}.safetensors")
        began = time.monotonic()

    assert time.monotonic() - began < 20
    assert saving.told("warning")[-1].startswith("5 results were not uploaded and are safe on this machine.")
    assert hub.repo().files == {}


@pytest.mark.rule("flt-11")
def test_a_request_to_stop_ends_the_waiting_for_uploads(hub, saving):
    with saving.run("--async_upload"):
        hub.faults["preupload"] = HANG
        saving.save("moon.safetensors")

        def stop_once_it_waits(event):
            if event["kind"] == "phase" and event["name"] == "upload":
                saving.requests.add("stop")

        saving.report.add_sink(stop_once_it_waits)
        began = time.monotonic()

    assert time.monotonic() - began < 10
    assert saving.told("warning")[-1].startswith("1 result was not uploaded")


@pytest.mark.rule("flt-11")
def test_a_key_that_ends_the_waiting_leaves_the_run_as_it_ended(hub, saving, monkeypatch):
    hub.faults["preupload"] = HANG

    def interrupted(self, limit):
        raise KeyboardInterrupt

    monkeypatch.setattr(uploads_module.Uploads, "_await_the_rest", interrupted)
    with saving.run("--async_upload"):
        saving.save("moon.safetensors")

    assert saving.told("note")[-1] == "The uploads are given up."
    assert saving.told("warning")[-1].startswith("1 result was not uploaded")


def test_what_a_stopped_run_saved_is_uploaded_before_it_ends(hub, saving):
    with pytest.raises(StoppedOnRequest), saving.run("--save_state_to_huggingface"):
        saving.requests.add("stop")
        saving.save("moon-step00000001.safetensors")
        saving.save_state("moon-step00000001-state")
        raise StoppedOnRequest("Stopped at step 1.")

    assert "moon-step00000001.safetensors" in hub.repo().files
    assert "moon-step00000001-state/training.pt" in hub.repo().files


@pytest.mark.rule("flt-11")
def test_a_job_that_was_stopped_ends_within_the_grace_that_it_is_given(hub, saving, monkeypatch, tmp_path):
    monkeypatch.setattr(uploads_module, "SECONDS_AFTER_A_STOP", 1.0)
    with saving.run("--async_upload", f"--job_dir={tmp_path}"):
        hub.faults["preupload"] = HANG
        saving.save("moon.safetensors")
        saving.requests, saving.lasting = {"stop"}, False
        began = time.monotonic()

    assert time.monotonic() - began < 10
    assert saving.told("warning")[-1].startswith("1 result was not uploaded")


@pytest.mark.rule("flt-11")
def test_the_reason_why_a_run_failed_is_not_hidden_by_a_failing_upload(hub, saving, impatient):
    with pytest.raises(NumericError), saving.run("--async_upload"):
        hub.faults["preupload"] = CUT
        saving.save("moon.safetensors")
        raise NumericError(what="The loss is not a number.")

    assert saving.told("warning")[-1].startswith("1 result was not uploaded")


def test_of_several_processes_none_waits_for_the_upload_of_the_first(hub, saving):
    hub.before_put = hub.let_go.wait
    with saving.run(processes=2):
        saving.save("moon.safetensors")
        assert hub.repo().files == {}
        hub.let_go.set()

    assert list(hub.repo().files) == ["moon.safetensors"]
