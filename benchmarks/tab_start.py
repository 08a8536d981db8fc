"""What the tab adds to the start of a WebUI: importing and building it, beyond gradio, and running install.py.

    python benchmarks/tab_start.py                      with the gradio of this interpreter
    python benchmarks/tab_start.py --python PYTHON …    with those of others, such as the WebUIs'
    python benchmarks/tab_start.py --json

Each run is a fresh process: a stand-in WebUI imports gradio and what it needs itself, and builds a page of its own;
then the clock runs while our script is loaded and asked for its settings, and its tab is built. The first run
compiles the code, so it is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAND_IN = ROOT / "tests" / "ui" / "host_stand_in"
LIMIT_SECONDS = 0.5
ONE_RUN = """
import sys, time
sys.path.insert(0, {stand_in!r})
import gradio as gr
from pathlib import Path
from extension_host import ExtensionHost

with gr.Blocks(analytics_enabled=False) as page:
    for kind in (gr.Textbox, gr.Number, gr.Checkbox, gr.Dropdown, gr.Button, gr.HTML, gr.Tabs, gr.Row, gr.File):
        kind()
    gr.Accordion("")
host = ExtensionHost({flavour!r}, Path({root!r}), {{"tanren_data_dir": {root!r} + "/data"}}, {{}})
started, used = time.perf_counter(), time.process_time()
host.load()
loaded = time.perf_counter()
made = host.callbacks["ui_tabs"][0]()
built, spent = time.perf_counter(), time.process_time() - used
host.stand_in.close()
assert made and not host.errors, host.errors
print(gr.__version__, loaded - started, built - loaded, spent)
"""


def main() -> int:
    """Measure and print; the exit code is 1 when the median of the processor's time is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="*", default=[sys.executable], help="interpreters with a gradio")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "extensions").mkdir()
        Path(folder, "extensions", "tanren").symlink_to(ROOT)
        rows = [measure(python, folder, chosen.runs) for python in chosen.python]
    install = install_seconds(chosen.runs)
    if chosen.json:
        print(json.dumps({"tabs": rows, "install": install}))
    else:
        for row in rows:
            print(
                f"gradio {row['gradio']:<8} load {row['load']:.3f} s, build {row['build']:.3f} s, together "
                f"{row['seconds']:.3f} s ({row['least']:.3f} to {row['most']:.3f}; of the processor {row['cpu']:.3f})"
            )
        print(f"install.py beyond starting Python: {install:.3f} s")
    return int(any(row["cpu"] > LIMIT_SECONDS for row in rows))


def measure(python: str, root: str, runs: int) -> dict[str, float | str]:
    """Medians of several fresh processes."""
    code = ONE_RUN.format(stand_in=str(STAND_IN), root=root, flavour="a1111")
    version, samples, cache = "", [], str(Path(root, "compiled"))
    for _ in range(runs + 1):
        environment = {
            **os.environ,
            "GRADIO_ANALYTICS_ENABLED": "False",
            "PYTHONPATH": "",
            "PYTHONPYCACHEPREFIX": cache,
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        done = subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{python}: {done.stderr}")
        version, *numbers = done.stdout.splitlines()[-1].split()
        samples.append([float(number) for number in numbers])
    load, build, cpu = (statistics.median(column) for column in zip(*samples[1:], strict=True))
    together = sorted(load + build for load, build, _ in samples[1:])
    both = statistics.median(together)
    spread = {"least": together[0], "most": together[-1]}
    return {"gradio": version, "load": load, "build": build, "seconds": both, "cpu": cpu, **spread}


def install_seconds(runs: int) -> float:
    """What install.py takes longer than a Python that does nothing."""
    medians = []
    for words in (["-c", ""], [str(ROOT / "install.py")]):
        times = []
        for _ in range(runs):
            started = time.perf_counter()
            subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
            times.append(time.perf_counter() - started)
        medians.append(statistics.median(times))
    return medians[1] - medians[0]


if __name__ == "__main__":
    sys.exit(main())
