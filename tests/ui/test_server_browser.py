"""The standalone page in a browser: without a network, behind a proxy, with a token."""

from __future__ import annotations

import contextlib
import http.client
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

pytest.importorskip("gradio", minversion="6")
pytest.importorskip("playwright")

from ui.serving import serve

pytestmark = pytest.mark.browser
TOKEN = "canary-0123456789abcdef"
OF_ONE_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")


@contextlib.contextmanager
def visit(browser, address):
    """The page, and what went wrong on it: requests to other machines, refused ones, messages."""
    context = browser.new_context()
    page = context.new_page()
    page.troubles = []

    def watch(route):
        name = urlsplit(route.request.url).hostname
        if name in (None, "127.0.0.1"):
            route.continue_()
        else:
            page.troubles.append(f"asked {route.request.url}")
            route.abort()

    context.route("**/*", watch)
    page.on("response", lambda answer: answer.status >= 400 and page.troubles.append(f"{answer.status} {answer.url}"))
    page.on("console", lambda said: said.type == "error" and page.troubles.append(said.text))
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    try:
        page.goto(address, timeout=120_000)
        page.wait_for_selector("#tanren-tabs", timeout=120_000)
        # Our script has loaded, and our routes answer it.
        page.wait_for_function("window.tanren && document.querySelector('#tanren-strip').innerText", timeout=120_000)
        yield page
    finally:
        context.close()


class Proxy(BaseHTTPRequestHandler):
    """A web server that shows the page below a path of its own, as people set up nginx."""

    protocol_version = "HTTP/1.1"
    path_in_front, takes_off, port = "/tools", True, 0

    def do_GET(self):
        self.pass_on(None)

    def do_POST(self):
        self.pass_on(self.rfile.read(int(self.headers.get("content-length", 0))))

    def pass_on(self, body):
        path = self.path.removeprefix(self.path_in_front) if self.takes_off else self.path
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request(self.command, path or "/", body=body, headers=dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in OF_ONE_HOP:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(content)

    def log_message(self, *_): ...


@contextlib.contextmanager
def proxy(port, *, takes_off):
    handler = type("Chosen", (Proxy,), {"port": port, "takes_off": takes_off})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/tools"
    finally:
        server.shutdown()
        server.server_close()


def test_the_page_is_whole_without_a_network(browser, tmp_path):
    with serve(tmp_path / "data") as running, visit(browser, running.address) as page:
        assert page.title() == "Tanren"
        assert page.evaluate("getComputedStyle(document.querySelector('#tanren-strip')).display") != ""
        page.get_by_role("tab", name="Training jobs").click()
        page.wait_for_selector("#tanren-live .tanren-sheet, #tanren-live .tn-nothing, #tanren-live *", timeout=60_000)
        page.wait_for_timeout(1500)
        assert page.troubles == []
        # A page that is still open holds a connection; it must not hold the program.
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 0


@pytest.mark.parametrize("takes_off", [True, False], ids=["path taken off", "path left"])
def test_the_page_works_below_the_path_of_a_proxy(browser, tmp_path, takes_off):
    with serve(tmp_path / "data", "--root-path=/tools") as running, proxy(running.port, takes_off=takes_off) as address:
        for place in (address, address + "/"):
            with visit(browser, place) as page:
                page.wait_for_timeout(1500)
                assert page.troubles == []


def test_the_token_is_taken_from_the_address_and_kept_nowhere_a_page_can_read(browser, tmp_path):
    with serve(tmp_path / "data", "--listen", "127.0.0.1", TANREN_TOKEN=TOKEN) as running:
        with visit(browser, f"{running.address}?token={TOKEN}") as page:
            assert page.url == running.address
            page.wait_for_timeout(1000)
            kept = page.evaluate("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})")
            assert TOKEN not in page.content() + kept
            assert page.troubles == []
        context = browser.new_context()
        page = context.new_page()
        page.goto(running.address)
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Open").click()
        page.wait_for_selector("#tanren-tabs", timeout=120_000)
        context.close()
