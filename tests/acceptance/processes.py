"""A training in a process of its own, followed by what it prints."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import psutil
from recipes.training import start
from safetensors import safe_open
from tanren.folders import faults_of, read_manifest

PATIENCE = 300.0
TRAINING_BEGINS, RESUMED, SAVED = "will be trained: unet", "resumed from", "saved "


class Running:
    """A run that was started; leaves nothing behind when used as a context."""

    def __init__(self, words: list[str], command: str = "train_network", **environment: str) -> None:
        self.process = start(words, command, PYTHONUNBUFFERED="1", **environment)
        self.said: list[str] = []

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()

    def wait_for(self, words: str) -> bool:
        """Read what it says until these words come; False when it ends before."""
        assert self.process.stdout is not None
        # Not by iterating: that reads ahead and keeps what `communicate` should find.
        while line := self.process.stdout.readline():
            self.said.append(line)
            if words in line:
                return True
        return False

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """`kill -9`, of this process alone; its workers must find out by themselves."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.said.append(self.process.communicate()[0])
        _, alive = psutil.wait_procs(family, timeout=PATIENCE)
        assert alive == []

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        try:
            rest, _ = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.said.append(rest)
        return self.process.returncode

    @property
    def text(self) -> str:
        return "".join(self.said)


def wait_until(happened, patience: float = PATIENCE) -> None:
    """Look often until something happened; fails when it does not."""
    until = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)


def check_visible_files(folder: Path) -> list[Path]:
    """Every visible result is whole: weights of finite numbers, states with a true manifest; returns the states."""
    states = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".tn-"):
            continue
        if path.is_dir():
            assert faults_of(path, hashes=True) == []
            states.append(path)
        else:
            with safe_open(path, "pt") as file:
                assert file.metadata()["sshs_model_hash"]
                names = list(file.keys())
                assert all(file.get_tensor(name).isfinite().all() for name in names)
    return states


def step_of(state: Path) -> int:
    """Updates that a state holds, as its manifest says."""
    manifest = read_manifest(state)
    assert manifest is not None
    return manifest.facts["step"]
