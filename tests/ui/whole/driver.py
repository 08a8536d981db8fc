"""Using the page with a browser, the same in all gradio lines; what went wrong on it is collected."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Response, Route, expect

ROOT = Path(__file__).parents[3]
# Conditions are strict; a machine that is busy with other tests may take its time.
PATIENCE = 180_000
DESK, PHONE = {"width": 1280, "height": 1000}, {"width": 390, "height": 844}
DEAD_CONNECTION = re.compile(r"net::ERR_(CONNECTION_RESET|CONNECTION_CLOSED|SOCKET_NOT_CONNECTED|EMPTY_RESPONSE)")
STEP = re.compile(r"step ([\d,]+) of ([\d,]+)")


def screenshots() -> Path:
    """Where pictures of the page are kept."""
    folder = Path(os.environ.get("TANREN_SCREENSHOTS") or ROOT / "test-output" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Visit:
    """One browser window with the page in it.

    Args:
        line: of gradio.
        address: of the page.
        name: the pictures' names begin with it.
    """

    def __init__(self, browser: Browser, line: int, address: str, name: str) -> None:
        self.line, self.address, self.name = line, address, name
        self.troubles: list[str] = []
        self._may_fail = self._was_without_server = False
        self._may_be_missing: str | None = None
        self._number = 0
        self.context = browser.new_context(viewport=DESK, locale="en-US")
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.context.route("**/*", self._keep_inside)
        self.page.on("console", lambda said: said.type == "error" and self._hear(said))
        self.page.on("pageerror", lambda error: self._note(f"fault: {error.stack or error}"))
        self.page.on("response", self._judge)

    def _keep_inside(self, route: Route) -> None:
        if urlsplit(route.request.url).hostname in (None, "127.0.0.1"):
            route.continue_()
        else:
            self.troubles.append(f"asked {route.request.url}")
            route.abort()

    def _note(self, text: str) -> None:
        # Connections that died with the program are found dead when they are used again, which may be much later.
        is_old_connection = self._was_without_server and DEAD_CONNECTION.search(text)
        if not self._may_fail and not is_old_connection:
            self.troubles.append(text)

    def _hear(self, said: ConsoleMessage) -> None:
        if not ("status of 404" in said.text and self._is_missing(said.location["url"])):
            self._note(f"console: {said.text}")

    def _judge(self, answer: Response) -> None:
        if answer.status >= 400 and not (answer.status == 404 and self._is_missing(answer.url)):
            self._note(f"{answer.status} {answer.url}")

    def _is_missing(self, address: str) -> bool:
        return self._may_be_missing is not None and self._may_be_missing in unquote(address)

    def deletes(self, name: str) -> None:
        """From now on, a question about what has this name may have been on its way when it was deleted."""
        self._may_be_missing = name

    @contextlib.contextmanager
    def without_server(self) -> Iterator[None]:
        """While the program is dead, requests fail and the browser says so."""
        self._may_fail = self._was_without_server = True
        yield
        self.page.wait_for_timeout(500)
        self._may_fail = False

    # ---- moving about ----

    def open(self, hash: str = "") -> None:
        """Load the page and wait until our part of it is there."""
        self.page.goto(self.address + hash)
        self.wait_for_page()

    def wait_for_page(self) -> None:
        self.page.wait_for_selector("#tanren-tabs", state="attached")
        self.page.wait_for_function("window.tanren && document.querySelector('#tanren-strip').innerText !== undefined")

    def open_tab(self) -> None:
        """Go to Tanren among the WebUI's tabs; alone there is nothing to choose."""
        if self.line != 6:
            self.page.locator("#tabs > .tab-nav > button", has_text="Tanren").click()
        expect(self.page.locator("#tanren-strip")).to_contain_text("trainer ready")
        # The lists of the form are filled in when a browser opens the page.
        expect(self.page.locator("#tanren-preset input").first).not_to_have_value("")

    def inner_tab(self, name: str, title: str) -> None:
        """Go to one of our own tabs; the oldest line gives its buttons no ids."""
        named, nameless = f"#{name}-button", f"#tanren-tabs > .tab-nav > button:has-text('{title}')"
        self.page.locator(f"{named}, {nameless}").first.click()

    # ---- the form ----

    def box(self, field: str) -> Locator:
        return self.page.locator(f"#tanren-field-{field}").locator("textarea, input").first

    def fill(self, field: str, text: str) -> None:
        self.box(field).fill(text)

    def choose(self, selector: str, text: str) -> None:
        """Take an entry of a drop-down list."""
        box = self.page.locator(f"{selector} input").first
        box.click()
        entry = self.page.locator("ul.options li, [role=option]").filter(has_text=text).filter(visible=True).first
        entry.click()
        expect(box).to_have_value(re.compile(re.escape(text)))

    def search(self, name: str) -> None:
        """Find one setting among all."""
        self.page.locator("#tanren-search").locator("textarea, input").first.fill(name)
        expect(self.page.locator("#tanren-found")).to_contain_text(re.compile(r"^[1-9]\d? of"))
        expect(self.box(name)).to_be_visible()
        # gradio's newest line makes the fields of a part when it is unfolded, and hears what is typed a moment later.
        self.page.wait_for_timeout(500)

    @property
    def plan(self) -> Locator:
        return self.page.locator("#tanren-plan").first

    @property
    def start(self) -> Locator:
        return self.page.locator("button#tanren-start, #tanren-start button").first

    # ---- a job ----

    @property
    def job(self) -> Locator:
        return self.page.locator(".tn-job")

    def action(self, name: str) -> Locator:
        return self.job.locator(f"[data-action={name}]")

    def expect_state(self, word: str) -> None:
        expect(self.job.locator(".tn-state").first).to_have_text(re.compile(word))

    def step(self) -> int:
        """The step that the job's page shows; 0 when it shows none."""
        found = STEP.search(self.job.locator(".tn-sentence").inner_text())
        return int(found[1].replace(",", "")) if found else 0

    def points(self) -> int:
        """How many points the loss curve has."""
        return int(self.job.locator(".tn-canvas").first.get_attribute("data-points") or 0)

    def wait_for_step(self, step: int, seconds: float = 2 * PATIENCE / 1000) -> None:
        wait_until(lambda: self.step() >= step, f"step {step}", self.page, seconds)

    def answers_dialog(self) -> None:
        """Press the dialog's main button."""
        self.page.locator("dialog[open] .tn-main, dialog[open] .tn-danger").last.click()
        expect(self.page.locator("dialog[open]")).to_have_count(0)

    # ---- looking ----

    def keep(self, what: str, *, whole: bool = True) -> None:
        """Keep a picture of the page, or only of what is in sight."""
        self._number += 1
        self.page.screenshot(path=screenshots() / f"{self.name}-{self._number:02}-{what}.png", full_page=whole)

    def close(self) -> None:
        self.context.close()


def wait_until(is_so: Callable[[], Any], what: str, page: Page, seconds: float = PATIENCE / 1000) -> None:
    """Look often until something is so."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"waited in vain for {what}"
        page.wait_for_timeout(50)
