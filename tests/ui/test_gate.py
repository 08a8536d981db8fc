"""The door of the standalone server: names, foreign pages, the token, and the path of a proxy."""

from __future__ import annotations

import pytest

# The gate stands in front of the standalone page only, which has a current web server.
pytest.importorskip("starlette", minversion="0.40")
pytest.importorskip("httpx")

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from tanren.ui.access import Access
from tanren.ui.gate import Gate
from tanren.ui.guard import Guard
from tanren.ui.login import TokenLogin

TOKEN = "0123456789abcdef"
VISIT = {"accept": "text/html", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def echo(request):
    return JSONResponse({"path": request.url.path, "root": request.scope.get("root_path", "")})


async def chat(websocket):
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def page(token="", access=None, root_path="", host="127.0.0.1:7870", scheme="http"):
    every = ["GET", "POST"]
    inner = [Route("/{rest:path}", echo, methods=every), WebSocketRoute("/chat", chat)]
    app = Starlette(
        routes=[
            WebSocketRoute("/chat", chat),
            Mount("/tanren", routes=inner),
            Route("/{rest:path}", echo, methods=every),
        ]
    )
    gate = Gate(app, Guard(access or Access(is_public=False)), TokenLogin(token) if token else None, root_path)
    client = TestClient(gate, base_url=f"{scheme}://{host}")
    client.follow_redirects = False
    return client


def test_the_page_is_handed_on_with_headers_that_protect_it():
    answer = page().get("/a", headers=VISIT)
    assert answer.json()["path"] == "/a"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_foreign_name_gets_a_page_that_says_what_to_do():
    answer = page(host="evil.example").get("/", headers=VISIT)
    assert answer.status_code == 403
    assert "evil.example" in answer.text
    assert "Open it as 127.0.0.1 or localhost" in answer.text


def test_a_hostile_name_is_shown_to_nobody():
    answer = page().get("/", headers={**VISIT, "host": "<script>alert(1)</script>"})
    assert answer.status_code == 403
    assert "<script>" not in answer.text


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/upload", "/tanren/api/queue/start"])
def test_foreign_pages_reach_none_of_gradios_routes_either(path):
    answer = page().post(path, headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    assert answer.json()["problem"]["what"] == "The request came from another page (evil.example)."


def test_a_link_from_another_page_may_be_followed():
    assert page().get("/", headers={**VISIT, "sec-fetch-site": "cross-site"}).status_code == 200
    pictured = {"sec-fetch-mode": "no-cors", "sec-fetch-site": "cross-site"}
    assert page().get("/tanren/api/jobs/x/sample/a.png", headers=pictured).status_code == 403


def test_web_sockets_of_foreign_pages_are_closed():
    with page().websocket_connect("ws://127.0.0.1:7870/chat") as socket:
        assert socket.receive_text() == "hello"
    with (
        pytest.raises(WebSocketDisconnect),
        page().websocket_connect("ws://127.0.0.1:7870/chat", headers={"origin": "http://evil.example"}),
    ):
        pass


@pytest.mark.parametrize("path", ["/gradio_api/file=https://example.org/x", "/gradio_api/file=http:/10.0.0.1/x"])
def test_addresses_of_others_are_not_fetched(path):
    assert page().get(path).status_code == 403


# The token


def test_without_the_token_a_visitor_is_asked_for_it():
    answer = page(TOKEN).get("/", headers=VISIT)
    assert answer.status_code == 401
    assert '<input type="password" name="token"' in answer.text
    assert TOKEN not in answer.text


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address():
    client = page(TOKEN)
    answer = client.get(f"/?token={TOKEN}&__theme=dark", headers=VISIT)
    assert (answer.status_code, answer.headers["location"]) == (303, "./?__theme=dark")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    assert client.get("/", headers=VISIT).status_code == 200
    assert client.post("/tanren/api/queue/start", headers={"origin": "http://127.0.0.1:7870"}).status_code == 200


def test_the_cookie_is_kept_to_tls_where_there_is_some():
    cookie = page(TOKEN, scheme="https").get(f"/?token={TOKEN}", headers=VISIT).headers["set-cookie"]
    assert cookie.endswith("; Secure")


def test_a_wrong_token_is_said_to_be_wrong():
    answer = page(TOKEN).get("/?token=0123456789abcdeg", headers=VISIT)
    assert answer.status_code == 401
    assert "This token is not the right one." in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info", "/tanren/static/tanren.js", "/tanren/api/state"])
def test_nothing_is_answered_to_programs_without_the_token(path):
    client = page(TOKEN)
    assert client.get(path).status_code == 401
    assert client.get(f"{path}?token={TOKEN}").status_code == 401
    assert client.get(path, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401


def test_web_sockets_need_the_token_too():
    with pytest.raises(WebSocketDisconnect), page(TOKEN).websocket_connect("ws://127.0.0.1:7870/chat"):
        pass
    with page(TOKEN).websocket_connect(
        "ws://127.0.0.1:7870/chat", headers={"authorization": f"Bearer {TOKEN}"}
    ) as socket:
        assert socket.receive_text() == "hello"


def test_the_redirect_never_leaves_this_server():
    for path in ("//evil.example", "/%2f%2fevil.example", "/a%0d%0aX: 1", "/..;//evil.example"):
        answer = page(TOKEN).get(f"{path}?token={TOKEN}", headers=VISIT)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("./")
        assert "//" not in answer.headers["location"]
        assert "\n" not in answer.headers["location"]


# Behind a proxy


@pytest.mark.parametrize("asked", ["/tools/tanren/api/state", "/tanren/api/state"])
def test_a_proxy_may_take_its_path_off_or_leave_it(asked):
    told = page(root_path="/tools").get(asked).json()
    assert told["path"] == "/tools/tanren/api/state"
    assert told["root"].startswith("/tools")


def test_the_page_without_its_last_slash_moves_to_the_one_with_it():
    answer = page(root_path="/tools").get("/tools", headers=VISIT)
    assert (answer.status_code, answer.headers["location"]) == (307, "./tools/")


def test_the_cookie_is_kept_to_the_path():
    answer = page(TOKEN, root_path="/tools").get(f"/tools/?token={TOKEN}", headers=VISIT)
    assert "; Path=/tools;" in answer.headers["set-cookie"]


def test_listed_names_are_let_in():
    access = Access(is_public=True, is_opted_in=True, hosts=("gpu.example",))
    client = page(access=access, host="gpu.example")
    assert client.get("/", headers=VISIT).status_code == 200
    assert client.post("/x", headers={"origin": "https://gpu.example"}).status_code == 200
