"""The policy at the door of every route and handler: each refusal with its sentence."""

from __future__ import annotations

import base64
import inspect
from types import SimpleNamespace

import pytest
from tanren.ui.access import Access
from tanren.ui.guard import BODY_BYTES, Caller, Guard, Refused, caller_of
from tanren.ui.login import HostLogin, TokenLogin, api_users, cookies_in, new_token

LOCAL = Access(is_public=False)
PUBLIC = Access(is_public=True, why="--listen is set", opt_in="Start the WebUI with --tanren-allow-remote.")
OPENED = Access(is_public=True, is_opted_in=True, why="--listen is set")


def caller(method="POST", **headers):
    return Caller(
        {"host": "127.0.0.1:7860", **{name.replace("_", "-"): value for name, value in headers.items()}}, method
    )


def refusal(guard, who, **how):
    with pytest.raises(Refused) as caught:
        guard.check(who, **how)
    return caught.value


def test_the_person_at_the_machine_may_do_everything():
    Guard(LOCAL).check(caller(), write=True)


# Changes on a public server


def test_a_public_server_shows_but_changes_nothing_and_says_why():
    Guard(PUBLIC).check(caller())
    refused = refusal(Guard(PUBLIC), caller(), write=True)
    assert refused.status == 403
    assert refused.what == "Tanren only shows things here; it starts, changes and deletes nothing."
    assert refused.why == "Others may be able to reach this page: --listen is set."
    assert refused.fix == "Start the WebUI with --tanren-allow-remote."


def test_consent_opens_a_public_server():
    Guard(OPENED).check(caller(), write=True)


# Names this machine goes by


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "0.0.0.0:7860", "tanren.localhost"])
def test_names_of_the_machine_itself_are_known(host):
    Guard(LOCAL).check(caller(host=host), write=True)


@pytest.mark.parametrize("host", ["evil.example:7860", "127.0.0.1.evil.example", "192.168.1.5", "", "[::2]:80"])
def test_a_local_page_under_a_foreign_name_is_refused(host):
    refused = refusal(Guard(LOCAL), caller(host=host))
    assert refused.status == 403
    assert "a name that is not known here" in refused.what
    assert "TANREN_HOSTS" in refused.fix


def test_a_listed_name_is_known():
    Guard(Access(is_public=False, hosts=("gpu.example",))).check(caller(host="gpu.example:443"), write=True)


def test_a_public_page_goes_by_any_name():
    Guard(OPENED).check(caller(host="abc.gradio.live"), write=True)


def test_an_odd_name_is_not_repeated_in_the_message():
    refused = refusal(Guard(LOCAL), caller(host="<img src=x onerror=alert(1)>"))
    assert refused.what == "The page was asked for under an odd name, a name that is not known here."


# Pages of others


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:3000"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "cross-site", "origin": "http://127.0.0.1:7860"},
        {"origin": "https://evil.example", "x_forwarded_host": "evil.example"},
    ],
)
@pytest.mark.parametrize("guard", [Guard(LOCAL), Guard(OPENED)], ids=["local", "public"])
def test_what_another_page_asks_for_is_refused(guard, headers):
    refused = refusal(guard, caller(**headers))
    assert refused.status == 403
    assert refused.what.startswith("The request came from another page (")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://127.0.0.1:7860"},
        {"origin": "http://127.0.0.1:7860", "sec_fetch_site": "same-origin"},
        {"origin": "https://127.0.0.1", "host": "127.0.0.1:443"},
        {"origin": "https://gpu.example", "host": "127.0.0.1:7860", "sec_fetch_site": "same-origin"},
        {},
    ],
)
def test_our_own_page_is_let_in(headers):
    Guard(LOCAL).check(caller(**headers), write=True)


def test_a_listed_name_may_stand_in_front_of_a_proxy_that_changes_the_host():
    guard = Guard(Access(is_public=False, hosts=("gpu.example",)))
    guard.check(caller(origin="https://gpu.example"), write=True)
    assert refusal(guard, caller(origin="https://other.example")).status == 403


# Signing in


def gradio_app(auth=None, tokens=None, **more):
    return SimpleNamespace(auth=auth, tokens=tokens or {}, **more)


def test_without_a_login_everybody_who_reaches_the_page_is_let_in():
    Guard(LOCAL, HostLogin(gradio_app())).check(caller())


@pytest.mark.parametrize(
    ("app", "cookie"),
    [
        (gradio_app({"u": "p"}, {"t1": "u"}), "access-token=t1"),
        (gradio_app({"u": "p"}, {"t1": "u"}), "other=1; access-token-unsecure=t1"),
        (gradio_app({"u": "p"}, {"t1": "u"}, cookie_id="ab"), "access-token-ab=t1"),
        (gradio_app({"u": "p"}, {"t1": "u"}, cookie_id="ab"), "access-token-unsecure-ab=t1"),
    ],
    ids=["gradio 3", "gradio 3 without TLS", "gradio 4", "gradio 4 without TLS"],
)
def test_the_cookie_of_the_webui_counts(app, cookie):
    guard = Guard(LOCAL, HostLogin(app))
    guard.check(caller(cookie=cookie), write=True)
    refused = refusal(guard, caller(cookie=cookie.replace("t1", "t2")))
    assert (refused.status, refused.what) == (401, "You are not signed in.")
    assert refusal(guard, caller()).status == 401


def test_the_cookie_of_another_gradio_app_does_not_count():
    app = gradio_app({"u": "p"}, {"t1": "u"}, cookie_id="ab")
    assert refusal(Guard(LOCAL, HostLogin(app)), caller(cookie="access-token=t1; access-token-cd=t1")).status == 401


def test_users_of_the_api_sign_in_by_basic():
    guard = Guard(LOCAL, HostLogin(gradio_app({"u": "p"}), api_users('"ann:secret", bob:x')))
    guard.check(caller(authorization=basic("ann:secret")), write=True)
    for wrong in (basic("ann:x"), basic("ann"), "Basic !", "Bearer ann:secret", "Basic"):
        assert refusal(guard, caller(authorization=wrong)).status == 401


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_a_token_is_taken_from_the_header_or_as_our_cookie():
    login = TokenLogin("0123456789abcdef")
    guard = Guard(OPENED, login)
    guard.check(caller(authorization="Bearer 0123456789abcdef"), write=True)
    guard.check(caller(cookie=f"a=b; {login.cookie_name}={login.cookie_value}"), write=True)
    for wrong in ("Bearer 0123456789abcdeg", "Bearer", "Basic 0123456789abcdef", "0123456789abcdef", "Bearer ß"):
        assert refusal(guard, caller(authorization=wrong)).status == 401
    assert refusal(guard, caller(cookie=f"{login.cookie_name}=0123456789abcdef")).status == 401


def test_the_cookie_does_not_hold_the_token():
    login = TokenLogin("0123456789abcdef")
    assert "0123456789abcdef" not in login.cookie_name + login.cookie_value
    assert login.cookie_name != TokenLogin("0123456789abcdeg").cookie_name


def test_new_tokens_are_long_and_differ():
    one, other = new_token(), new_token()
    assert one != other
    assert len(one) == 32
    assert one.isalnum()


def test_a_broken_cookie_of_another_program_hides_none_of_ours():
    assert cookies_in({"cookie": 'a[]{}=1; b="x; ok=yes; c d=2'}).get("ok") == "yes"


# Bodies


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_changes_come_as_json(kind):
    with pytest.raises(Refused) as caught:
        Guard(LOCAL).check_body(caller(content_type=kind))
    assert (caught.value.status, caught.value.fix) == (415, "Send Content-Type: application/json.")


def test_a_body_over_the_limit_is_refused_by_its_length():
    Guard(LOCAL).check_body(caller(content_type="application/json; charset=utf-8", content_length=str(BODY_BYTES)))
    with pytest.raises(Refused) as caught:
        Guard(LOCAL).check_body(caller(content_type="application/json", content_length=str(BODY_BYTES + 1)))
    assert (caught.value.status, caught.value.what) == (413, "The request is larger than 1024 KiB.")


# Handlers of gradio


def gradio_request(**headers):
    gradio = pytest.importorskip("gradio")
    return gradio.Request(headers={"host": "127.0.0.1:7860", **headers}, client={"host": "127.0.0.1", "port": 1})


def test_a_handler_gets_its_values_without_the_request():
    checked = Guard(LOCAL).guarded(write=True)(lambda name, number: (name, number))
    assert checked("a", 2, gradio_request()) == ("a", 2)


def test_gradio_finds_the_place_for_the_request():
    gradio = pytest.importorskip("gradio")
    from gradio.helpers import special_args

    def handler(name: str, number: int = 3) -> None: ...

    checked = Guard(LOCAL).guarded(write=True)(handler)
    request = gradio_request()
    assert special_args(checked, inputs=["a", 2], request=request)[0] == ["a", 2, request]
    assert list(inspect.signature(checked).parameters) == ["name", "number", "tanren_request"]
    assert inspect.signature(checked).parameters["tanren_request"].annotation is gradio.Request


def test_a_handler_may_ask_for_the_request_itself():
    gradio = pytest.importorskip("gradio")

    def handler(request, name):
        return name, request.headers["host"]

    handler.__annotations__["request"] = gradio.Request
    checked = Guard(LOCAL).guarded(write=False)(handler)
    assert list(inspect.signature(checked).parameters) == ["request", "name"]
    assert handler(SimpleNamespace(headers={"host": "x"}), "a") == ("a", "x")
    assert checked(gradio_request(), "a")[0] == "a"


def test_a_refused_handler_does_not_run_and_gradio_shows_why():
    gradio = pytest.importorskip("gradio")
    ran = []
    checked = Guard(PUBLIC).guarded(write=True)(lambda: ran.append(1))
    with pytest.raises(gradio.Error, match=r"only shows things here.*--listen is set.*--tanren-allow-remote"):
        checked(gradio_request())
    assert ran == []


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"host": "evil.example"}])
def test_a_handler_called_by_another_page_does_not_run(headers):
    gradio = pytest.importorskip("gradio")
    ran = []
    checked = Guard(LOCAL).guarded(write=False)(lambda: ran.append(1))
    with pytest.raises(gradio.Error):
        checked(gradio_request(**headers))
    assert ran == []


def test_a_call_without_a_request_is_refused():
    gradio = pytest.importorskip("gradio")
    with pytest.raises(gradio.Error):
        Guard(LOCAL).guarded(write=True)(lambda: None)()


def test_header_names_are_compared_without_case():
    who = caller_of(SimpleNamespace(headers={"Host": "localhost", "ORIGIN": "null"}))
    assert (who.host, who.headers["origin"]) == ("localhost", "null")
