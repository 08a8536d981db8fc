"""Tiny wheels, and a package index that hands them out at the speed a test wants."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CHUNK_BYTES = 64 * 1024


def write_wheel(folder: Path, name: str, version: str, size: int = 0) -> Path:
    """A wheel of one module with a `version`, and `size` bytes that cannot be packed smaller."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{module}/__init__.py", f"version = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
        if size:
            wheel.writestr(f"{module}/weights.bin", bytes(size))
    return path


class Index:
    """A package index on this machine.

    Args:
        folder: of wheels.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.halfway = threading.Event()  # A wheel has been sent in part.
        self.goes_on = threading.Event()  # The rest may follow.
        self.goes_on.set()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        """For PIP_INDEX_URL."""
        return f"http://127.0.0.1:{self.server.server_port}/simple/"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """A list of wheels, or one of them."""
        parts = [part for part in request.path.split("/") if part]
        if parts[0] == "simple":
            names = sorted(path.name for path in self.folder.glob(f"{parts[1].replace('-', '_')}-*.whl"))
            content = "".join(f'<a href="/files/{name}">{name}</a>' for name in names).encode()
        else:
            content = (self.folder / parts[1]).read_bytes()
        request.send_response(200 if content else 404)
        request.send_header("Content-Type", "text/html" if parts[0] == "simple" else "application/zip")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        for start in range(0, len(content), CHUNK_BYTES):
            request.wfile.write(content[start : start + CHUNK_BYTES])
            if len(content) > 2 * CHUNK_BYTES and start >= len(content) // 2 and not self.goes_on.is_set():
                self.halfway.set()
                self.goes_on.wait(60)


@contextmanager
def serving(folder: Path) -> Iterator[Index]:
    """An index of the wheels in a folder, for a while."""
    index = Index(folder)
    thread = threading.Thread(target=index.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        index.goes_on.set()
        index.server.shutdown()
        index.server.server_close()
