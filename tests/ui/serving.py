"""Starting the standalone program for tests, as a user starts it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 180
ADDRESS = re.compile(r"Tanren: (http://\S+/)")


@dataclass
class Served:
    """A running program.

    Args:
        said: lines it has printed so far.
    """

    process: subprocess.Popen
    address: str
    said: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.address.split(":")[2].split("/")[0])

    def ask(self, path, method="GET", body=None, **headers):
        """Status, headers and text of an answer; redirects are not followed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body=body, headers=named)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode("utf-8", "replace")


@contextlib.contextmanager
def serve(data_dir: Path, *words: str, **environment: str) -> Iterator[Served]:
    """Run `ui` on a free port without a browser, until the block ends."""
    command = [sys.executable, "-m", "tanren.ui.server", "--headless", "--data-dir", str(data_dir), *words]
    if not any(word.startswith("--port") for word in words):
        command.append("--port=0")
    given = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "trainer"),
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        **environment,
    }
    process = subprocess.Popen(
        command, env=given, cwd=data_dir.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    served = Served(process, "")
    reader = threading.Thread(target=lambda: served.said.extend(iter(process.stdout.readline, "")), daemon=True)
    reader.start()
    try:
        until = time.monotonic() + SECONDS
        while not served.address:
            found = ADDRESS.search("".join(served.said))
            served.address = found[1] if found else ""
            ended = process.poll() is not None or time.monotonic() > until
            assert served.address or not ended, "".join(served.said)
            time.sleep(0.05)
        yield served
    finally:
        process.kill()
        process.wait()
        reader.join(10)
        process.stdout.close()
