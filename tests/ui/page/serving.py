"""A small server that speaks the routes of the page, with jobs that the test changes while the page looks."""

from __future__ import annotations

import contextlib
import html
import io
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image, ImageDraw

ROOT = Path(__file__).parents[3]
# What gradio's own themes say, in short; without it the style's fallbacks are seen.
THEME = """
body { margin: 0; padding: 16px; font-family: system-ui, sans-serif; background: var(--background-fill-primary);
  color: var(--body-text-color); --body-text-color: #1f2937; --body-text-color-subdued: #6b7280;
  --background-fill-primary: #fff; --background-fill-secondary: #f9fafb; --border-color-primary: #e5e7eb;
  --color-accent: #f97316; --button-primary-background-fill: #f97316; --button-primary-text-color: #fff;
  --button-secondary-background-fill: #f3f4f6; --button-secondary-text-color: #374151; }
body.dark { --body-text-color: #f3f4f6; --body-text-color-subdued: #9ca3af; --background-fill-primary: #0b0f19;
  --background-fill-secondary: #111827; --border-color-primary: #374151; --button-secondary-background-fill: #374151;
  --button-secondary-text-color: #f3f4f6; --input-background-fill: #1f2937; }
.prose * { color: var(--body-text-color); }
"""


@dataclass
class World:
    """What the server tells; tests change it, the page sees it."""

    jobs: dict[str, dict] = field(default_factory=dict)
    state: dict = field(default_factory=dict)
    words: dict = field(default_factory=dict)
    environment: dict = field(default_factory=lambda: {"state": "missing", "why": "it was not made yet"})
    body: str = '<div id="tanren-strip"></div><div id="tanren-live"></div>'
    asked: list[tuple[str, str, dict | None]] = field(default_factory=list)
    most_at_once: int = 0
    refusal: dict | None = None
    trash: dict[str, dict] = field(default_factory=dict)
    cached: int = 0
    used: dict = field(default_factory=dict)
    delay: float = 0.0
    connections: list[socket.socket] = field(default_factory=list)

    def __post_init__(self):
        self.state = {
            "version": "0.1",
            "language": "en",
            "surroundings": "a1111",
            "is_public": False,
            "may_write": True,
            "why_not": "",
            "device": {"kind": "gpu", "name": "NVIDIA GeForce RTX 3070", "total": 8_589_000_000, "free": 3_900_000_000}
            | {"held_by_host": 3_900_000_000},
            "checkpoint": {"name": "animefull-v2.safetensors", "sentence": "a Stable Diffusion 1 model"}
            | {"is_loaded": True},
            "environment": {"state": "ready", "why": "", "busy": False},
            "queue": {"is_paused": False},
        } | self.state

    def posted(self, ending):
        """Bodies that were posted to routes with this ending."""
        return [body for method, path, body in list(self.asked) if method == "POST" and path.endswith(ending)]

    def gets_posted(self, ending, seconds=60.0):
        """As `posted`, once there is something: a page sends a moment after its dialog is gone."""
        until = time.monotonic() + seconds
        while not self.posted(ending):
            assert time.monotonic() < until, f"nothing was posted to …{ending}"
            time.sleep(0.02)
        return self.posted(ending)

    def summary(self, job):
        hidden = ("points", "samples", "files", "warnings", "problem", "settings", "command_line", "log")
        return {name: value for name, value in job.items() if name not in hidden}

    def detail(self, job, since):
        points = job["points"]
        part = {name: values[since:] for name, values in points.items() if name != "lr"}
        part["lr"] = {name: values[since:] for name, values in points.get("lr", {}).items()}
        told = {name: value for name, value in job.items() if name != "log"}
        return told | {"points": part, "next": len(points["step"]), "more": False}

    def log(self, job, since):
        text = job.get("log", "")
        return {"text": text[since:], "unfinished": job.get("unfinished", ""), "next": len(text), "more": False}

    def sample(self, job, file):
        return None if "gone" in file else picture(file)

    def act(self, job, action):
        """What an action does; here, nothing."""


class PageServer:
    """Serves one world on a free port; can be stopped and started again there."""

    def __init__(self, world):
        self.world, self.port, self._server = world, 0, None

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}/"

    def start(self):
        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler(self.world))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        for connection in self.world.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.world.connections.clear()


def handler(world):
    guard, busy = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            super().setup()
            world.connections.append(self.connection)

        def log_message(self, *_):
            pass

        def do_GET(self):
            self.handled(None)

        def do_POST(self):
            self.handled(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def handled(self, body):
            url = urlsplit(self.path)
            path = unquote(url.path).lstrip("/")
            is_api = path.startswith("tanren/api/") and "/sample/" not in path
            with guard:
                busy[0] += is_api and body is None
                world.most_at_once = max(world.most_at_once, busy[0])
                world.asked.append((self.command, path, body))
            try:
                if is_api and world.delay:
                    time.sleep(world.delay)
                answer(self, world, path, parse_qs(url.query), body)
            finally:
                with guard:
                    busy[0] -= is_api and body is None

        def send(self, content, media_type="application/json", status=200):
            if media_type == "application/json":
                content = json.dumps(content)
            content = content if isinstance(content, bytes) else content.encode()
            self.send_response(status)
            self.send_header("content-type", media_type)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


def answer(request, world, path, query, body):
    parts = path.split("/")
    if path == "":
        request.send(page(world, query), "text/html; charset=utf-8")
    elif path == "favicon.ico":
        request.send(b"", "image/x-icon")
    elif path == "style.css":
        request.send((ROOT / "style.css").read_bytes(), "text/css")
    elif path == "tanren.js":
        scripts = sorted((ROOT / "javascript").glob("tanren*.js"))
        request.send(b";\n".join(script.read_bytes() for script in scripts), "text/javascript")
    elif parts[2:] == ["state"]:
        request.send(world.state)
    elif parts[2:] == ["words"]:
        request.send({"language": world.state["language"], "words": world.words})
    elif parts[2] == "environment":
        request.send(world.environment if body is None else {"ok": True, "environment": world.environment})
    elif parts[2:] == ["queue", "start"]:
        world.state["queue"] = {"is_paused": False}
        request.send({"ok": True, "queue": world.state["queue"]})
    elif parts[2:] == ["jobs"]:
        request.send({"jobs": [world.summary(job) for job in world.jobs.values()], "deleted": len(world.trash)})
    elif parts[2] in ("trash", "cache"):
        answer_about_storage(request, world, parts[2:], body)
    elif parts[2:] == ["data", "picture"] and query["path"] == ["/gone.png"]:
        request.send({"problem": {"what": "It is not there."}}, status=404)
    elif parts[2:] == ["data", "picture"]:
        request.send(picture("control"), "image/png")
    elif parts[3] not in world.jobs:
        problem = {"code": 2, "where": parts[3], "what": "There is no such job.", "why": "", "fix": ""}
        request.send({"problem": problem}, status=404)
    else:
        answer_about(request, world, world.jobs[parts[3]], parts[4:], query, body)


def answer_about_storage(request, world, rest, body):
    if body is not None and world.refusal:
        request.send({"problem": world.refusal}, status=409)
    elif rest == ["trash"]:
        request.send({"jobs": list(world.trash.values())})
    elif rest[0] == "trash":
        del world.trash[rest[1]]
        request.send({"ok": True, "left": None})
    else:
        world.cached = world.cached if body is None else 0
        request.send({"bytes": world.cached})


def answer_about(request, world, job, rest, query, body):
    since = int(query.get("since", ["0"])[0])
    if body is not None and world.refusal:
        request.send({"problem": world.refusal}, status=409)
    elif body is not None and rest == ["use"]:
        request.send({"path": f"/lora/{body['name']}.safetensors", "name": body["name"]} | world.used)
    elif body is not None and rest == ["try"]:
        request.send({"prompt": "<lora:moon:0.8> crescent"})
    elif body is not None:
        world.act(job, rest[0])
        request.send({"ok": True, "job": world.summary(job)})
    elif not rest:
        request.send(world.detail(job, since))
    elif rest == ["log"]:
        request.send(world.log(job, since))
    elif (content := world.sample(job, rest[1])) is not None:
        request.send(content, "image/png")
    else:
        request.send({"problem": {"what": "There is no such sample."}}, status=404)


def page(world, query):
    classes = html.escape(query.get("class", [""])[0])
    return (
        f'<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Page</title><style>{THEME}</style>"
        f'<link rel="stylesheet" href="style.css"><script src="tanren.js"></script></head>'
        f'<body class="{classes}"><div class="prose">{world.body}</div></body></html>'
    )


def picture(name, size=192):
    """A picture whose look follows from its name."""
    number = sum(map(ord, name))
    image = Image.new("RGB", (size, size), (30 + number % 60, 40 + number % 90, 90 + number % 120))
    pen = ImageDraw.Draw(image)
    shift = number % 40
    pen.ellipse((40 + shift, 40, 130 + shift, 130), fill=(250, 220, 120))
    pen.ellipse((65 + shift, 30, 155 + shift, 120), fill=(30 + number % 60, 40 + number % 90, 90 + number % 120))
    pen.rectangle((0, 150, size, size), fill=(40, 90, 60))
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()
