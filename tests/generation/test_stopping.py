"""Stopping a run keeps what is finished."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

TRAINER = Path(__file__).parents[2] / "trainer"
PATIENCE = 120


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C cannot be sent to one process there")
def test_ctrl_c_ends_a_run_and_every_picture_that_is_there_is_whole(studio, tmp_path):
    words = ["--prompt=a", "--images_per_prompt=5000", "--W=64", "--H=64", "--steps=4", "--sequential_file_name"]
    line = [sys.executable, str(TRAINER / "sdxl_gen_img.py"), f"--ckpt={studio.model}", f"--outdir={tmp_path}", *words]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, encoding="utf-8") as run:
        assert run.stderr is not None
        until = time.monotonic() + PATIENCE
        while not (tmp_path / "im_000002.png").exists():
            assert run.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        told = run.stderr.read()
        assert run.wait(PATIENCE) == 130

    assert "Interrupted; finished pictures are kept." in told
    pictures = [path for path in tmp_path.iterdir() if path.suffix == ".png"]
    assert 2 <= len(pictures) < 5000
    for path in pictures:
        with Image.open(path) as picture:
            picture.load()
