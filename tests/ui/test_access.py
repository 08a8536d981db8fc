"""When a server counts as public, and what opens it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tanren.ui.access import host_access, is_loopback, standalone_access

LOCAL = {"share": False, "listen": False, "server_name": None, "ngrok": None, "webui_is_non_local": False}


def flags(**given):
    return SimpleNamespace(**{**LOCAL, **given})


def test_a_webui_on_its_own_machine_is_local_and_may_write():
    access = host_access(flags(), {})
    assert (access.is_public, access.may_write, access.why) == (False, True, "")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"share": True}, "--share is set"),
        ({"listen": True}, "--listen is set"),
        ({"server_name": "127.0.0.1"}, "--server-name is set"),
        ({"ngrok": "key"}, "--ngrok is set"),
        ({"cloudflared": True}, "--cloudflared is set"),
        ({"webui_is_non_local": True}, "the WebUI says so"),
        ({"tanren_public": True}, "--tanren-public is set"),
    ],
)
def test_flags_that_open_the_webui_to_others_make_it_public(given, why):
    access = host_access(flags(**given), {})
    assert (access.is_public, access.may_write, access.why) == (True, False, why)


@pytest.mark.parametrize(
    ("environ", "is_public"),
    [
        ({"TANREN_PUBLIC": "1"}, True),
        ({"TANREN_PUBLIC": "0"}, False),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, True),
        ({"GRADIO_SERVER_NAME": "127.0.0.1"}, False),
        ({"GRADIO_SHARE": "True"}, True),
    ],
)
def test_the_environment_can_make_a_webui_public(environ, is_public):
    assert host_access(flags(), environ).is_public is is_public


@pytest.mark.parametrize("unknown", [None, SimpleNamespace(), SimpleNamespace(data_dir="x")])
def test_a_webui_whose_flags_are_not_known_is_public(unknown):
    assert host_access(unknown, {}).is_public


@pytest.mark.parametrize("consent", ["enable_insecure_extension_access", "tanren_allow_remote"])
def test_consent_opens_a_public_webui(consent):
    access = host_access(flags(listen=True, **{consent: True}), {})
    assert (access.is_public, access.may_write) == (True, True)


def test_a_standalone_server_is_public_when_it_listens_or_stands_behind_a_proxy():
    assert not standalone_access("127.0.0.1", has_token=False).is_public
    assert standalone_access("0.0.0.0", has_token=False).why == "it listens on 0.0.0.0"
    assert standalone_access("127.0.0.1", has_token=False, hosts=("a.example",)).is_public
    assert standalone_access("127.0.0.1", has_token=False, environ={"TANREN_PUBLIC": "yes"}).is_public


def test_a_token_opens_a_public_standalone_server():
    assert not standalone_access("0.0.0.0", has_token=False).may_write
    assert standalone_access("0.0.0.0", has_token=True).may_write


@pytest.mark.parametrize(
    "name", ["localhost", "LOCALHOST.", "tanren.localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"]
)
def test_names_of_this_machine(name):
    assert is_loopback(name)


@pytest.mark.parametrize(
    "name", ["", "0.0.0.0", "192.168.1.5", "localhost.evil.example", "127.0.0.1.evil.example", "::"]
)
def test_names_of_other_machines(name):
    assert not is_loopback(name)
