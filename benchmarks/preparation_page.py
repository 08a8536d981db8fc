"""The tab of pictures and captions with many pictures: `python benchmarks/preparation_page.py 10000`.

Makes that many small pictures, serves the page as the browser tests do and drives it with Chromium (`CHROMIUM` names
it). First pictures drawn, without and with the index; the server's memory; frames while the gallery is scrolled; one
caption saved; the same tag added to all captions, shown and done. Pictures are found by name, headers and captions read
from the disk; what the first look takes depends on it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from playwright.sync_api import Page, sync_playwright
from scan import make_pictures

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
PATIENCE = 1_200_000  # Milliseconds.
FRAMES = int(os.environ.get("BENCHMARK_FRAMES", "300"))
OPENED = """() => window.tanren && tanren.openDataTab
    && (tanren.openDataTab(), document.querySelector("#tanren-data-look"))"""
DRAWN = "document.querySelectorAll('.tn-cell-picture').length > 5"
PROGRESS = "document.querySelector('.tn-data-overview [role=status]')"
STILL = {"read": f"!{PROGRESS}.getClientRects().length", "listed": f"!/^Reading/.test({PROGRESS}.textContent)"}
# Larger folders are not looked into until the end, which takes milliseconds a picture.
MOST_READ = 20_000
# A step of three quarters of a row each frame: faster than a hand turns a wheel.
SCROLL = """(frames) => new Promise((resolve) => {
    const grid = document.querySelector(".tn-grid");
    const times = [];
    let before = performance.now(), empty = 0;
    const step = (now) => {
        times.push(now - before);
        before = now;
        empty += grid.querySelectorAll(".tn-cell:empty").length > 0;
        grid.scrollTop += 170;
        if (times.length < frames) requestAnimationFrame(step);
        else resolve({ times: times.slice(1), empty, cells: grid.querySelectorAll(".tn-cell").length });
    };
    requestAnimationFrame(step);
})"""


@contextlib.contextmanager
def served(data: Path) -> Iterator[tuple[str, int]]:
    """Address and process of the page."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "trainer"), "PYTHONUTF8": "1"}
    command = [sys.executable, str(ROOT / "tests" / "ui" / "whole_page.py"), str(data)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = next(line.strip() for line in iter(process.stdout.readline, "") if line.startswith("http"))
        threading.Thread(target=process.stdout.read, daemon=True).start()
        try:
            yield address, process.pid
        finally:
            process.kill()


def megabytes(process: int) -> float:
    """What the server holds in memory."""
    for line in Path(f"/proc/{process}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def look(page: Page, folder: Path) -> float:
    """Seconds from the press to the first pictures."""
    page.locator("#tanren-data-folder").fill(str(folder))
    start = time.perf_counter()
    page.locator("#tanren-data-look").click()
    page.wait_for_function(DRAWN, polling="raf")
    return time.perf_counter() - start


def wait_until(page: Page, what: str) -> float:
    """Seconds until all headers and captions are known ("listed"), or all pictures were looked into ("read")."""
    start = time.perf_counter()
    page.wait_for_function(STILL[what], timeout=PATIENCE)
    return time.perf_counter() - start


def scroll(page: Page, what: str) -> None:
    """Scroll and say how long the frames took."""
    told = page.evaluate(SCROLL, FRAMES)
    times = sorted(told["times"])
    print(
        f"scrolling, {what}: {len(times)} frames, median {times[len(times) // 2]:.0f} ms, 95 % below"
        f" {times[len(times) * 95 // 100]:.0f} ms, longest {times[-1]:.0f} ms; {told['cells']} cells in the page,"
        f" {told['empty']} frames with cells still empty"
    )


def edit_one(page: Page) -> None:
    """Change the first caption and go to the next picture."""
    page.evaluate("document.querySelector('.tn-grid').scrollTop = 0")
    page.locator(".tn-cell[id=tn-cell-0]").click()
    text = page.locator(".tn-caption-text")
    page.wait_for_function("document.querySelector('.tn-caption-text').value !== ''")
    times = []
    for number in range(5):
        shown = text.input_value()
        text.fill(f"{shown}, changed {number}")
        start = time.perf_counter()
        text.press("PageDown")
        page.wait_for_function(
            "(shown) => document.querySelector('.tn-caption-text').value !== shown", arg=f"{shown}, changed {number}"
        )
        times.append(time.perf_counter() - start)
    print(f"one caption saved and the next picture open: {sorted(times)[2]:.3f} s (longest {max(times):.3f})")
    text.press("Escape")


def edit_all(page: Page) -> None:
    """Add a tag to all captions: the look at what would change, then the change."""
    page.locator("[data-tool=add]").click()
    form = page.locator("[data-form=add]")
    form.locator("[name=tags]").fill("benchmark")
    start = time.perf_counter()
    page.get_by_role("button", name="Show what would change").click()
    page.locator(".tn-tool-outcome strong").wait_for(timeout=PATIENCE)
    shown = time.perf_counter() - start
    start = time.perf_counter()
    form.locator("button[type=submit]").click()
    page.locator(".tn-tool-work", has_text="were written").wait_for(timeout=PATIENCE)
    done = time.perf_counter() - start
    start = time.perf_counter()
    page.locator("#tanren-data-undo").click()
    page.locator("#tanren-data-history li[data-state=undone]").first.wait_for(timeout=PATIENCE)
    undone = time.perf_counter() - start
    print(f"all captions: shown after {shown:.2f} s, written after {done:.2f} s, undone after {undone:.2f} s")


def main(count: int) -> None:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        folder, data = Path(name) / "pictures", Path(name) / "data"
        folder.mkdir()
        make_pictures(folder, count)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        print(f"{count} pictures, load {load:.1f}")
        for what in ("without index", "with index"):
            with served(data) as (address, process):
                page = browser.new_page(viewport={"width": 1280, "height": 1000})
                page.set_default_timeout(PATIENCE)
                page.goto(address)
                page.wait_for_function(OPENED)
                page.evaluate("tanren.know().then(() => true)")
                # gradio's own first requests are not what is measured.
                page.wait_for_timeout(3000)
                before = megabytes(process)
                first = look(page, folder)
                if what == "without index":
                    scroll(page, "while pictures are being read")
                listed = first + wait_until(page, "listed")
                print(f"{what}: first pictures {first:.2f} s, all listed {listed:.1f} s")
                if count <= MOST_READ:
                    print(f"all looked into {listed + wait_until(page, 'read'):.1f} s")
                held = megabytes(process) - before
                print(f"the server holds {held:.0f} MB more, {held * 2**20 / count:.0f} bytes a picture")
                if what == "with index":
                    scroll(page, "all known")
                    edit_one(page)
                    if count <= MOST_READ:
                        edit_all(page)
                page.close()
        browser.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
