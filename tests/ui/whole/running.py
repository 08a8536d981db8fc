"""The page in each gradio line, started as users start it: alone, or as a tab of a WebUI; killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from gradio_pythons import python_of
from tanren.jobs.folder import NONCE_VARIABLE, read_object

ROOT = Path(__file__).parents[3]
WEB_PAGE = ROOT / "tests" / "ui" / "host_stand_in" / "web_page.py"
MICRO_SD = ROOT / "trainer" / "tanren" / "assets" / "micro" / "micro-sd.safetensors"
FLAVOURS = {3: "a1111", 4: "forge"}
ADDRESS = re.compile(r"(?:Tanren:|Running on) (http://\S+/)")
STEP_EVENT = re.compile(rb'"kind": "step".*?"step": (\d+)')
PATIENCE = 240.0


@dataclass
class Surroundings:
    """A program that shows the page.

    Args:
        line: of gradio; 6 is the standalone program, 3 and 4 are WebUIs.
        root: its folder.
        said: what it printed, in all its lives.
    """

    line: int
    root: Path
    port: int = 0
    process: subprocess.Popen[str] | None = None
    said: list[str] = field(default_factory=list)

    @property
    def is_webui(self) -> bool:
        return self.line in FLAVOURS

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def data_dir(self) -> Path:
        return self.root / "tanren data"

    @property
    def lora_dir(self) -> Path:
        return self.root / "models" / "Lora"

    def prepare(self) -> None:
        """Make its folders: a model to train on, and for a WebUI the extension."""
        self.lora_dir.mkdir(parents=True)
        models = self.root / "models" / "Stable-diffusion"
        models.mkdir()
        shutil.copyfile(MICRO_SD, models / "base.safetensors")
        if self.is_webui:
            (self.root / "extensions").mkdir()
            (self.root / "extensions" / "tanren").symlink_to(ROOT)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self) -> None:
        """Start it and wait until it answers."""
        environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", **self.mark}
        if self.is_webui:
            # A WebUI knows nothing of our packages.
            environment.pop("PYTHONPATH", None)
        else:
            environment["PYTHONPATH"] = str(ROOT / "trainer")
        self.process = subprocess.Popen(
            self._words(),
            env=environment,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        said = self.process.stdout
        assert said is not None
        before = len(self.said)
        threading.Thread(target=lambda: self.said.extend(iter(said.readline, "")), daemon=True).start()
        until = time.monotonic() + PATIENCE
        while not (found := ADDRESS.search("".join(self.said[before:]))):
            assert self.process.poll() is None and time.monotonic() < until, "".join(self.said)
            time.sleep(0.05)
        assert found[1] == self.address, "".join(self.said)

    def _words(self) -> list[str]:
        if not self.is_webui:
            folders = [f"--models-dir={self.root / 'models' / 'Stable-diffusion'}", f"--lora-dir={self.lora_dir}"]
            flags = ["--headless", f"--port={self.port}", f"--data-dir={self.data_dir}", "--language=en", *folders]
            return [sys.executable, "-m", "tanren", "ui", *flags]
        flags = {"tanren_data_dir": str(self.data_dir), "tanren_venv": sys.prefix}
        wish = {"flavour": FLAVOURS[self.line], "root": str(self.root), "port": self.port, "flags": flags}
        return [python_of(self.line), str(WEB_PAGE), json.dumps(wish)]

    def kill(self) -> None:
        """`kill -9` of the program alone, as the system does when memory is short."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)

    @property
    def mark(self) -> dict[str, str]:
        """A variable that every descendant inherits, however it was started."""
        return {"TANREN_TEST_ROOT": str(self.root)}

    def left_over(self) -> list[str]:
        """Processes of this program, and trainers that it ever started, which still live."""
        found = []
        nonces = [json.loads(path.read_text("utf-8"))["nonce"] for path in self.data_dir.rglob("runner.json")]
        for process in psutil.process_iter():
            try:
                variables = process.environ()
                ours = variables.get("TANREN_TEST_ROOT") == str(self.root) or variables.get(NONCE_VARIABLE) in nonces
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{process.pid}: {' '.join(process.cmdline())}")
            except psutil.Error:
                continue
        return found

    def end_everything(self) -> None:
        """For tests that failed half-way: kill whatever carries the mark."""
        for text in self.left_over():
            try:
                psutil.Process(int(text.partition(":")[0])).kill()
            except psutil.NoSuchProcess:
                continue
        if self.process is not None:
            self.process.wait(60)

    @contextlib.contextmanager
    def not_faster_than(self, seconds: float, *, slower_after: int) -> Iterator[None]:
        """Give each step this long at least, so that a quick machine is not done before it was watched.

        Args:
            seconds: per step.
            slower_after: steps after this one are given ten times as long, for machines on which watching is slow.
        """
        ends = threading.Event()
        brake = threading.Thread(target=self._hold_back, args=(seconds, slower_after, ends), daemon=True)
        brake.start()
        try:
            yield
        finally:
            ends.set()
            brake.join()

    def _hold_back(self, seconds: float, slower_after: int, ends: threading.Event) -> None:
        if not hasattr(signal, "SIGSTOP"):
            return
        before, began = 0, time.monotonic()
        while not ends.wait(0.02):
            step, pid = self._newest_step(), self._trainer()
            if step <= before or pid is None:
                continue
            pause = seconds if step <= slower_after else 10 * seconds
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                ends.wait(max(0.0, began + (step - before) * pause - time.monotonic()))
                os.kill(pid, signal.SIGCONT)
            before, began = step, time.monotonic()

    def _newest_step(self) -> int:
        """As the trainer wrote it a moment ago; `progress.json` is a second behind."""
        found = sorted((self.data_dir / "runs").glob("*/events.jsonl"))
        steps = STEP_EVENT.findall(found[-1].read_bytes()[-4000:]) if found else []
        return int(steps[-1]) if steps else 0

    def _trainer(self) -> int | None:
        found = sorted((self.data_dir / "runs").glob("*/runner.json"))
        return read_object(found[-1]).get("pid") if found else None

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs as the program tells them."""
        with urllib.request.urlopen(self.address + "tanren/api/jobs", timeout=60) as answer:
            return json.load(answer)["jobs"]
