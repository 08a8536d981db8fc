import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub.hub_server import HubServer
from onnx_models import write_first_colour, write_tagger
from tool_runs import of_kind, pictures

TRAINER = Path(__file__).parents[2] / "trainer"


@pytest.fixture
def hub(tmp_path):
    """A hub that has a tagger, and files that nobody needs for tagging."""
    with HubServer() as server:
        tagger = write_tagger(tmp_path / "published")
        files = {path.name: path.read_bytes() for path in tagger.iterdir()}
        server.make("mika/tagger", {**files, "model.h5": b"x" * 1000, "README.md": b"hello"})
        plane = write_first_colour(tmp_path / "isnet.onnx").read_bytes()
        server.make("mika/cutter", {"isnet.onnx": plane, "large.onnx": b"x" * 1000})
        yield server


def tag(hub, folder, *words):
    return run_tool(hub, folder, "tag", *words)


def run_tool(hub, folder, tool, *words):
    """A process of its own, as the hub's library reads its address once."""
    environment = {**os.environ, **hub.environment(folder.parent / "hf home"), "PYTHONPATH": str(TRAINER)}
    # Runs without a network, in this same process, leave that wish behind.
    environment |= {"TANREN_DATA": str(folder.parent / "data"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "tanren.picture_models", tool, str(folder), "--events", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_a_hub_model_is_fetched_when_that_is_asked_for_and_is_there_without_a_network_afterwards(hub, tmp_path):
    folder = pictures(tmp_path / "pictures", "blue.png")
    code, events = tag(hub, folder, "--model", "mika/tagger")
    assert (code, hub.steps) == (4, [])
    assert of_kind(events, "problem")[0]["fix"].startswith("Add --download to fetch it once;")

    code, events = tag(hub, folder, "--model", "mika/tagger", "--download")
    assert code == 0, of_kind(events, "problem")
    assert (folder / "blue.txt").read_text() == "blue sky, >_<\n"
    fetched = {path.name for path in (tmp_path / "hf home").rglob("*") if path.is_symlink()}
    assert fetched == {"model.onnx", "selected_tags.csv"}

    hub.steps.clear()
    code, events = tag(hub, folder, "--model", "mika/tagger", "--mode=replace", "--exclude=>_<")
    assert (code, hub.steps) == (0, [])
    assert (folder / "blue.txt").read_text() == "blue sky\n"

    code, events = tag(hub, folder, "--model", "mika/nothing", "--download")
    assert code == 4
    assert of_kind(events, "problem")[0]["what"] == "The hub model mika/nothing cannot be fetched."


def test_one_file_of_a_repository_can_be_named(hub, tmp_path):
    folder, out = pictures(tmp_path / "pictures", "red.png"), str(tmp_path / "out")
    name = "--model=mika/cutter/isnet.onnx"
    code, events = run_tool(hub, folder, "mask", out, name)
    assert (code, hub.steps) == (2, [])
    assert of_kind(events, "problem")[0]["what"] == "There is no file or folder mika/cutter/isnet.onnx."

    code, events = run_tool(hub, folder, "mask", out, name, "--download")
    assert code == 0, of_kind(events, "problem")
    assert (tmp_path / "out" / "red.png").is_file()
    assert {path.name for path in (tmp_path / "hf home").rglob("*") if path.is_symlink()} == {"isnet.onnx"}

    code, events = run_tool(hub, folder, "mask", str(tmp_path / "again"), name)
    assert (code, (tmp_path / "again" / "red.png").is_file()) == (0, True)
