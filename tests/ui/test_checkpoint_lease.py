"""The WebUI's model is put aside for a job and comes back, whatever happens in between."""

from __future__ import annotations

import json
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from model_files import write_model
from tanren.errors import BusyError
from tanren.jobs.shelf import Shelf
from tanren.ui.answers import Desk, job_detail
from tanren.ui.checkpoint_lease import CheckpointLease, being_trained, hold_early, released_for
from tanren.ui.generation_gate import ANNOUNCED_SECONDS, Gate
from tanren.ui.guard import Guard
from tanren.ui.host import LEASE_MARKER, detect
from tanren.ui.words import text
from ui.host_stand_in.host_modules import FLAVOURS, MODEL_BYTES, running

REFUSED = (
    "Tanren: the training moon is using this device. Pictures can be made again when it ends, or when you pause it in "
    "the Tanren tab."
)


@pytest.fixture(params=FLAVOURS)
def flavour(request):
    return request.param


@pytest.fixture
def host(flavour, tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running(flavour, tmp_path / "webui", write_model(tmp_path / "base.safetensors")) as stand_in:
        yield stand_in


@pytest.fixture
def surroundings(host):
    return detect()


@pytest.fixture
def job(tmp_path):
    return Shelf(tmp_path / "data").submit("train_network", {}, name="moon", request_id="1")


@pytest.fixture
def lease(surroundings):
    return CheckpointLease(surroundings, delay=0.05)


def until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_the_model_is_given_back_and_what_that_freed_is_measured(host, lease, job):
    host.load_for_picture()
    model = host.weak_model()

    lease.before_start(job)

    assert model() is None
    freed = released_for(job.folder)
    assert (freed["model"], freed["kind"]) == ("base", "ram")
    assert freed["freed"] > MODEL_BYTES * 0.8
    assert lease.holder == job.id


def test_the_page_of_the_job_is_told_what_was_freed(host, lease, surroundings, job, tmp_path):
    desk = Desk(surroundings, Shelf(tmp_path / "data"), Guard(surroundings.access))
    assert job_detail(desk, job.id, 0)["released"] is None
    host.load_for_picture()

    lease.before_start(job)

    assert job_detail(desk, job.id, 0)["released"]["model"] == "base"


def test_the_model_comes_back_when_the_job_has_ended(host, lease, surroundings, job):
    host.load_for_picture()
    lease.before_start(job)

    lease.after_end(job)
    until(lambda: lease.holder == "")

    assert host.loads == ["base.safetensors", "base.safetensors"]
    assert surroundings.checkpoint().is_loaded
    assert host.generate("a moon") == ""


def test_while_the_model_is_away_the_checkpoint_is_still_the_default(host, lease, surroundings, job):
    host.load_for_picture()
    lease.before_start(job)

    assert surroundings.checkpoint().name == "base.safetensors"
    assert not surroundings.checkpoint().is_loaded


def test_the_page_of_a1111_finds_the_kind_of_the_model_that_is_away(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running("a1111", tmp_path / "webui", write_model(tmp_path / "base.safetensors")) as host:
        surroundings = detect()
        host.load_for_picture()
        surroundings.release("job")

        away = host.get_sd_model()

        assert (away.is_sd1, away.is_sdxl, away.sd_checkpoint_info.name) == (True, False, "base.safetensors")
        assert away.to("cuda") is away
        assert host.loads == ["base.safetensors"]


def test_a_webui_that_had_loaded_nothing_is_not_made_to_load_while_a_job_runs(host, lease, job):
    lease.before_start(job)

    host.get_sd_model()

    assert host.loads == []
    assert released_for(job.folder) == {}


def test_making_pictures_is_refused_politely_while_a_job_runs(host, lease, job):
    host.load_for_picture()
    lease.before_start(job)

    assert host.generate("a moon") == REFUSED
    assert host.pictures == []
    assert host.loads == ["base.safetensors"]


def test_a_script_that_makes_pictures_on_its_own_is_refused_too(host, lease, job):
    lease.before_start(job)

    with pytest.raises(Exception, match="is using this device") as refused:
        host["modules.processing"].process_images_inner(SimpleNamespace(prompt="a moon"))

    assert (refused.value.status_code, type(refused.value).__name__) == (503, "Tanren")


def test_the_refusal_comes_in_the_users_language():
    gate = Gate(lambda sentence: "学習中です: " + sentence.values["name"])

    gate.close("job", being_trained("moon"))

    assert gate.why == "学習中です: moon"


def test_another_checkpoint_that_is_chosen_meanwhile_is_loaded_after_the_job(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    folder = tmp_path / "webui" / "models" / "Stable-diffusion"
    folder.mkdir(parents=True)
    write_model(folder / "other.safetensors")
    with running("a1111", tmp_path / "webui", write_model(tmp_path / "base.safetensors")) as host:
        surroundings = detect()
        host.load_for_picture()
        surroundings.gate.close("job", being_trained("moon"))
        surroundings.release("job")
        host.options["sd_model_checkpoint"] = "other.safetensors"

        host["modules.sd_models"].reload_model_weights()
        assert host.loads == ["base.safetensors"]

        surroundings.restore()
        assert host.loads == ["base.safetensors", "other.safetensors"]


def test_a_start_waits_while_the_webui_makes_a_picture_and_says_why(host, lease, surroundings, job):
    host.load_for_picture()
    queue = host["modules.call_queue"].queue_lock
    with queue:
        with pytest.raises(BusyError) as waits:
            lease.before_start(job)
        assert surroundings.is_generating()
        assert str(waits.value) == (
            f"{surroundings.title}: The WebUI is making a picture.\n"
            "  A training on the same device would leave too little memory for both.\n"
            "  The training starts by itself when the picture is done."
        )

    lease.before_start(job)

    assert lease.holder == job.id


def test_a_webui_that_makes_pictures_without_end_comes_to_rest_for_a_waiting_job(host, lease, job):
    host.load_for_picture()
    queue = host["modules.call_queue"].queue_lock
    with queue, pytest.raises(BusyError):
        lease.before_start(job)

    assert "is about to start on this device" in host.generate("the next of many")


def test_an_announced_job_that_is_withdrawn_leaves_the_webui_usable():
    now = [0.0]
    gate = Gate(clock=lambda: now[0])
    gate.announce("job", text("soon"))
    assert gate.is_closed

    now[0] = ANNOUNCED_SECONDS

    assert not gate.is_closed


def test_a_job_on_another_device_leaves_the_webui_alone(host, lease, tmp_path):
    host.load_for_picture()
    elsewhere = Shelf(tmp_path / "data").submit("train_network", {}, name="moon", request_id="2", device="cuda:1")

    lease.before_start(elsewhere)

    assert host.generate("a moon") == ""
    assert lease.holder == ""


def test_between_two_jobs_of_a_queue_the_model_is_not_loaded(host, lease, job, tmp_path):
    host.load_for_picture()
    following = Shelf(tmp_path / "data").submit("train_network", {}, name="sun", request_id="2")
    lease._delay = 30
    lease.before_start(job)

    lease.after_end(job)
    lease.before_start(following)

    assert host.loads == ["base.safetensors"]
    assert lease.holder == following.id
    assert "the training sun is using" in host.generate("a sun")


def test_a_model_that_cannot_come_back_leaves_the_webui_usable(host, flavour, lease, surroundings, job, caplog):
    host.load_for_picture()
    lease.before_start(job)
    sd_models = host["modules.sd_models"]
    name = "load_model" if flavour == "a1111" else "forge_model_reload"

    def fail(*_):
        raise OSError("the disk is gone")

    sd_models.__dict__[name] = fail
    assert not lease.restore()

    assert "could not be loaded again: the disk is gone" in caplog.text
    assert not surroundings.gate.is_closed
    assert lease.holder == ""


@pytest.mark.rule("flt-07")
def test_a_webui_that_died_puts_its_model_aside_again_when_it_starts_while_the_job_runs(flavour, job, tmp_path):
    checkpoint = write_model(tmp_path / "base.safetensors")
    with running(flavour, tmp_path / "first", checkpoint) as first:
        first.load_for_picture()
        CheckpointLease(detect()).before_start(job)

    with running(flavour, tmp_path / "second", checkpoint) as second:
        lease = CheckpointLease(detect(), delay=0.05)
        lease.adopt([job])
        second.get_sd_model()
        assert second.loads == []
        assert second.generate("a moon") == REFUSED

        lease.after_end(job)
        until(lambda: lease.holder == "")
        assert second.generate("a moon") == ""


@pytest.mark.rule("flt-07")
def test_a_webui_that_died_finds_nothing_to_do_when_no_job_runs(host, lease, job, tmp_path):
    host.load_for_picture()
    lease.before_start(job)
    surroundings = detect()

    CheckpointLease(surroundings).adopt([])

    assert not (tmp_path / "data" / LEASE_MARKER).exists()


@pytest.mark.rule("flt-07")
def test_a_job_that_ended_while_the_webui_was_down_leaves_nothing_to_hold_early(host, lease, job, tmp_path):
    lease.before_start(job)
    surroundings = detect()

    hold_early(surroundings)

    assert not surroundings.gate.is_closed
    assert not (tmp_path / "data" / LEASE_MARKER).exists()


@pytest.mark.rule("flt-07")
def test_reloading_the_page_keeps_the_model_away_and_the_gate_closed(host, lease, job):
    host.load_for_picture()
    lease.before_start(job)
    measured = json.loads(lease._marker.read_text())["released"]

    again = CheckpointLease(detect(), delay=0.05)
    again.adopt([job])

    assert host.generate("a moon") == REFUSED
    assert json.loads(again._marker.read_text())["released"] == measured
    again.restore()
    assert host.generate("a moon") == ""
    assert host.loads == ["base.safetensors", "base.safetensors"]


def test_a_model_that_is_being_loaded_at_the_start_is_waited_for(tmp_path, monkeypatch, job):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running("a1111", tmp_path / "webui", write_model(tmp_path / "base.safetensors")) as host:
        lease = CheckpointLease(detect())
        loading = host["modules.sd_models"].model_data.lock
        loading.acquire()
        monkeypatch.setattr("tanren.ui.host_a1111.LOADING_SECONDS", 0.05)

        lease.adopt([job])
        assert host.generate("a moon") == REFUSED
        loading.release()

        until(lambda: lease.holder == job.id)


def test_forge_models_are_moved_on_its_own_thread_and_its_lists_are_left_clean(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running("forge", tmp_path / "webui", write_model(tmp_path / "base.safetensors")) as host:
        host.load_for_picture()

        detect().release("job")

        assert host.unloads == 1
        assert host.main_thread.module.finished_list == []


def test_what_goes_wrong_on_forges_thread_is_not_swallowed(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    with running("forge", tmp_path / "webui", write_model(tmp_path / "base.safetensors")) as host:
        host.load_for_picture()
        host["backend.memory_management"].__dict__["unload_all_models"] = lambda: 1 / 0

        with pytest.raises(ZeroDivisionError):
            detect().release("job")


def test_reforge_gives_back_through_its_own_memory_management(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    calls = []
    memory = SimpleNamespace(
        unload_all_models=lambda: calls.append("unload"), soft_empty_cache=lambda: calls.append("empty")
    )
    with running("a1111", tmp_path / "webui", write_model(tmp_path / "base.safetensors")) as host:
        monkeypatch.setitem(sys.modules, "ldm_patched.modules.model_management", memory)
        surroundings = detect()
        host.load_for_picture()
        host.hijacked.clear()

        assert surroundings.release("job").model == "base"
        assert calls == ["unload", "empty"]
        assert surroundings.restore()


def test_no_thread_is_left_behind(host, lease, job):
    host.load_for_picture()
    lease.before_start(job)
    lease.after_end(job)
    until(lambda: lease.holder == "")
    until(lambda: not [one for one in threading.enumerate() if one.name.startswith("tanren-")])
