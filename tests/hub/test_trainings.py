"""Whole trainings that upload to, and go on from, a hub on this machine."""

import json
from pathlib import Path

import pytest
from hub.hub_server import TOKEN
from recipes.training import arguments, lasting, metadata, same_tensors, train
from tanren.commands import COMMANDS
from tanren.entry import main
from tanren.events import Report
from tanren.hub.states import with_state_here
from tanren.jobs.folder import read_spec
from tanren.options.parse import parse
from tanren.options.saving import ResumeOptions

QUICK = {"max_train_steps": 2, "max_train_epochs": None, "network_train_unet_only": True}
RESUME, USAGE = 8, 2


@pytest.fixture(scope="module")
def plain(model, data, tmp_path_factory):
    """The result of the same training without a hub."""
    out = tmp_path_factory.mktemp("plain")
    train(model, data, out, **QUICK)
    return out / "waves.safetensors"


@pytest.mark.option("huggingface_repo_id", "huggingface_path_in_repo")
def test_every_saved_file_is_uploaded_as_it_lies_on_the_disk(model, data, tmp_path, hub, plain):
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
    assert same_tensors(tmp_path / "waves.safetensors", plain)


@pytest.mark.option("save_state_to_huggingface", "async_upload", "resume_from_huggingface")
def test_a_run_goes_on_from_a_state_on_the_hub_as_if_it_had_not_stopped(model, data, tmp_path, hub, plain, monkeypatch):
    options = {"huggingface_repo_id": "mika/moon", "huggingface_repo_type": "dataset", "async_upload": True}
    train(
        *(model, data, tmp_path / "first"),
        **{**QUICK, **options, "max_train_steps": 1},
        save_state=True,
        save_state_to_huggingface=True,
        huggingface_path_in_repo="runs",
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    on_the_hub = {path: data for path, data in hub.repo(kind="dataset").files.items() if "-state/" in path}
    here = {f"runs/waves-state/{path.name}": path.read_bytes() for path in (tmp_path / "first/waves-state").iterdir()}
    assert on_the_hub == here

    train(
        *(model, data, tmp_path / "second"),
        **QUICK,
        resume="mika/moon/runs/waves-state:main:dataset",
        resume_from_huggingface=True,
    )
    assert same_tensors(tmp_path / "second" / "waves.safetensors", plain)
    assert lasting(tmp_path / "second" / "waves.safetensors") == lasting(plain)


@pytest.mark.rule("flt-11")
@pytest.mark.option("resume_from_huggingface")
def test_a_state_that_came_once_is_found_again_without_the_network(hub, monkeypatch):
    hub.make("mika/sun", {"runs/sun-state/manifest.json": b"{}", "runs/other-state/manifest.json": b"other"})
    words = ["--resume=mika/sun/runs/sun-state", "--resume_from_huggingface"]
    settings = parse("train_network", COMMANDS["train_network"].groups, words).settings

    folder = Path(with_state_here(settings, Report())[ResumeOptions].resume)
    assert (folder / "manifest.json").read_bytes() == b"{}"
    assert not (folder.parent / "other-state").exists()

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert with_state_here(settings, Report())[ResumeOptions].resume == str(folder)


@pytest.mark.rule("flt-11")
def test_a_hub_that_refuses_everything_changes_nothing_about_the_run(model, data, tmp_path, hub, plain, capfd):
    hub.faults |= {"whoami": 500, "create": 403, "preupload": 403}
    words = arguments(model, data, tmp_path, **QUICK, huggingface_repo_id="mika/moon")

    assert main("train_network", words) == 0

    assert same_tensors(tmp_path / "waves.safetensors", plain)
    assert lasting(tmp_path / "waves.safetensors") == lasting(plain)
    shown = capfd.readouterr().err
    assert "1 result was not uploaded and is safe on this machine." in shown
    assert f"hf upload mika/moon {tmp_path / 'waves.safetensors'} waves.safetensors --private" in shown


@pytest.mark.option("huggingface_token")
def test_the_token_is_written_nowhere(model, data, tmp_path, hub, monkeypatch, capfd):
    token = "hf_0123456789abcdefghij-typed"
    monkeypatch.delenv("HF_TOKEN")
    hub.writers.add(token)
    options = {"huggingface_repo_id": "mika/moon", "huggingface_token": token}
    job, out = tmp_path / "job", tmp_path / "out"

    # The job's files, and those of a tracker that is sent the settings.
    words = arguments(model, data, out, **QUICK, **options, job_dir=job, logging_dir=job / "log", log_config=True)
    assert main("train_network", words) == 0
    assert main("train_network", [*words, "--output_config", f"--config_file={tmp_path / 'kept'}"]) == 0

    assert hub.tokens == {token}
    spec = read_spec(job)
    assert spec is not None
    assert spec.options["huggingface_repo_id"] == "mika/moon"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"spec.json", "events.jsonl", "log.txt", "result.json", "kept.toml", "waves.safetensors"} <= {
        path.name for path in files
    }
    assert [path for path in files if token.encode() in path.read_bytes()] == []
    assert token not in json.dumps(metadata(out / "waves.safetensors"))
    shown = capfd.readouterr()
    assert token not in shown.out + shown.err
    assert (
        "--huggingface_token can be read by others on this machine, as all command lines can; use HF_TOKEN" in shown.err
    )


@pytest.mark.option("resume_from_huggingface")
@pytest.mark.parametrize(
    ("resume", "code", "message"),
    [
        ("mika/moon/waves-state", RESUME, "The state waves-state of mika/moon cannot be had from the hub."),
        ("mika/sun/there:v2", RESUME, "The state there of mika/sun at v2 cannot be had from the hub."),
        ("mika/sun/waves-state", RESUME, "There is no waves-state in it."),
        ("waves-state", USAGE, "'waves-state' does not name a state on the hub."),
    ],
    ids=["no repository", "no revision", "no folder", "no place"],
)
def test_a_state_that_is_not_there_is_told_before_the_model_is_loaded(
    model, data, tmp_path, hub, capfd, resume, code, message
):
    hub.make("mika/sun", {"there/manifest.json": b"{}"})
    words = arguments(model, data, tmp_path / "out", **QUICK, resume=resume, resume_from_huggingface=True)

    assert main("train_network", words) == code

    shown = capfd.readouterr().err
    assert message in shown
    assert "loading" not in shown
    assert "Traceback" not in shown
