"""The page beside a real job folder: what a trainer writes there, as the queue's own view reads it."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from playwright.sync_api import expect
from tanren.errors import OutOfMemory
from tanren.events import Report
from tanren.files import append_line, write_json
from tanren.jobs import view
from tanren.jobs.folder import LOCK, LOG, RESULT, RUNNER, Runner, read_object
from tanren.jobs.shelf import Shelf
from tanren.jobs.sink import JobSink
from tanren.locks import Lock
from ui.page.serving import World, picture

pytestmark = pytest.mark.browser
NAME = "三日月 <b>crescent</b>"


class Shelved(World):
    """A world of one real folder."""

    def summary(self, job):
        return view.summary(job)

    def detail(self, job, since):
        return view.detail(job, since)

    def log(self, job, since):
        return view.log_text(job, since)

    def sample(self, job, file):
        return view.sample_path(job, file).read_bytes()

    def act(self, job, action):
        {"stop": job.ask_stop, "save": job.save_now}[action]()


@pytest.fixture
def job(tmp_path):
    options = {"train_data_dir": str(tmp_path), "network_dim": 16, "sample_prompts": "prompts.txt"}
    job = Shelf(tmp_path).submit("train_network", options, name=NAME, request_id="one")
    write_json(job.folder / RUNNER, asdict(Runner(attempt=1, nonce="n")))
    return job


@pytest.fixture
def world(job):
    return Shelved(jobs={job.id: job})


@pytest.fixture
def report(job):
    """A trainer's own way to tell; it holds the job's lock as a trainer does."""
    with Lock(job.folder / LOCK).acquire(what="job"):
        sink = JobSink(job.folder, 1)
        sink.start()
        yield Report([sink])
        sink.stop()


def step(report, number, loss=0.5):
    rates = {"unet": 1e-4, "textencoder": 5e-5}
    report.tell("step", step=number, epoch=1, loss=loss, average=loss, lr=rates, seconds=0.2, memory=10**9)


def test_a_training_is_followed_from_loading_to_its_samples_and_files(open_page, report, job, tmp_path):
    page = open_page()
    with report.phase("cache latents", 11) as phase:
        phase.advance(11)
        expect(page.locator(".tn-sentence")).to_have_text("Caching latents 11/11")
    expect(page.locator("h2")).to_have_text(NAME)
    report.tell("phase", name="train", done=0, total=20, epochs=2)
    for number in range(1, 13):
        step(report, number, loss=1 / number)
    expect(page.locator(".tn-sentence")).to_contain_text("step 12 of 20 · epoch 1 of 2")
    expect(page.locator(".tn-canvas").first).to_have_attribute("data-points", "12")
    expect(page.locator(".tn-legend").nth(1).locator("button")).to_have_text(["textencoder", "unet"])

    sample = job.folder / "samples" / "moon_000012_00_42.png"
    sample.parent.mkdir(exist_ok=True)
    sample.write_bytes(picture("a"))
    report.tell("sample", file=str(sample), prompt="a crescent", seed=42, index=0, step=12)
    weights = tmp_path / "moon.safetensors"
    weights.write_bytes(b"x" * 2000)
    report.tell("saved", file=str(weights), step=12, epoch=1)

    expect(page.locator(".tn-step")).to_contain_text("step 12")
    page.wait_for_function("document.querySelector('.tn-picture').naturalWidth === 192")
    expect(page.locator(".tn-files tbody tr")).to_contain_text("moon.safetensors")


def test_stop_and_keep_reaches_the_trainer(open_page, report, job):
    page = open_page()
    step(report, 1)
    page.locator("[data-action=stop]").click()

    expect(page.locator(".tn-title .tn-state")).to_have_text("stopping")
    assert read_object(job.folder / "control.json")["requests"] == ["stop"]


def test_what_ended_a_training_is_shown_with_its_fix(open_page, report, job, world):
    page = open_page()
    step(report, 1)
    expect(page.locator(".tn-title .tn-state")).to_have_text("running")
    problem = OutOfMemory(what="The GPU's memory was not enough.", why="Batch 8.", fix="Use batch 1.")
    result = {"attempt": 1, "code": 6, "state": "failed", "reason": problem.what, "problem": problem.as_dict()}
    write_json(job.folder / RESULT, result)

    expect(page.locator(".tn-title .tn-state")).to_have_text("failed")
    expect(page.locator(".tn-problem")).to_contain_text("What to do: Use batch 1.")


def test_log_and_settings_of_the_folder(open_page, report, job):
    append_line(job.folder / LOG, "first\rsteps: 1%\rsteps: 2%\n<script>window.hit=1</script>")
    page = open_page()
    expect(page.locator("h2")).to_have_text(NAME)
    for summary in page.locator(".tn-job .tn-folded > summary").all():
        summary.click()

    expect(page.locator("pre").first).to_contain_text("steps: 2%\n<script>window.hit=1</script>")
    expect(page.locator("pre").first).not_to_contain_text("steps: 1%")
    expect(page.locator(".tn-settings dt").nth(2)).to_have_text("network_dim changed")
    assert page.locator(".tn-settings dt").count() > 100
