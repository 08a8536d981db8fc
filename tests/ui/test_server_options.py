"""Flags of `launch.py ui`: what opens the page to others needs a token, and says so with the line to copy."""

from __future__ import annotations

import re

import pytest
from tanren.errors import UsageError
from tanren.ui.server_options import read_server_options, without_token


def read(*words, **environ):
    return read_server_options(words, environ, program="python launch.py")


def refusal(*words, **environ):
    with pytest.raises(UsageError) as caught:
        read(*words, **environ)
    return caught.value


def test_alone_it_is_this_machine_only_without_a_token():
    options = read()
    assert (options.address, options.token, options.headless, options.resume_queue) == ("127.0.0.1", "", False, False)
    assert (options.root_path, options.hosts, options.allowed, options.language) == ("", (), (), "en")


def test_listening_without_a_token_is_refused_with_a_line_to_copy():
    problem = refusal("--listen", "--data-dir", "my data")
    assert problem.where == "--listen"
    assert problem.what == "Others could then train and write files here, so it needs a token."
    found = re.fullmatch(
        r'Copy this line: python launch\.py ui --listen --data-dir "my data" --token ([0-9a-f]{32})', problem.fix
    )
    assert found
    options = read("--listen", "--token", found[1])
    assert (options.address, options.token) == ("0.0.0.0", found[1])


def test_a_name_behind_a_proxy_needs_a_token_too():
    assert refusal("--allow-host", "gpu.example").where == "--allow-host"
    assert refusal("--root-path", "https://gpu.example/tanren").where == "--allow-host"
    assert read("--allow-host", "GPU.example", "--token", "0123456789abcdef").hosts == ("gpu.example",)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1")],
)
def test_listening_on_this_machine_only_needs_no_token(text, address):
    assert read("--listen", text).address == address


def test_the_token_may_come_from_the_environment():
    assert read("--listen", TANREN_TOKEN="0123456789abcdef").token == "0123456789abcdef"


def test_a_short_token_is_refused_with_a_better_one():
    problem = refusal("--token", "hunter2")
    assert problem.what == "A token has at least 12 characters; shorter ones can be tried out."
    assert re.fullmatch(r"For example: --token [0-9a-f]{32}", problem.fix)


def test_an_address_that_is_none_is_refused():
    assert refusal("--listen", "my machine").what == "'my machine' is not an address of this machine."


@pytest.mark.parametrize("text", ["--port=x", "--port=70000", "--port=-1", "--unknown", "--list"])
def test_typing_errors_are_code_2(text, capsys):
    with pytest.raises(SystemExit) as ended:
        read(text)
    assert ended.value.code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "path"), [("/", ""), ("/tanren", "/tanren"), ("/tanren/", "/tanren"), ("/a/b", "/a/b"), ("", "")]
)
def test_the_path_of_a_proxy(text, path):
    assert read("--root-path", text).root_path == path


def test_the_address_of_a_proxy_says_its_name_too():
    options = read("--root-path", "https://gpu.example:8443/tanren/", "--token", "0123456789abcdef")
    assert (options.root_path, options.hosts) == ("/tanren", ("gpu.example:8443",))


@pytest.mark.parametrize("text", ["/a/../b", "ftp://x/y", "/a?b", "/a#b", "\\a"])
def test_a_path_of_a_proxy_that_is_none_is_refused(text):
    assert refusal("--root-path", text).where == "--root-path"


def test_folders_are_checked_before_the_page_opens(tmp_path):
    options = read("--allow-dir", str(tmp_path), "--allow-dir", "/", "--models-dir", str(tmp_path), "--data-dir", "x")
    assert options.allowed == (tmp_path, type(tmp_path)("/"))
    assert options.settings == {"models_dir": str(tmp_path)}
    assert options.data_dir.name == "x"
    assert refusal("--allow-dir", str(tmp_path / "none")).where == "--allow-dir"
    assert refusal("--lora-dir", str(tmp_path / "none")).where == "--lora-dir"


@pytest.mark.parametrize(
    ("environ", "language"),
    [({"LANG": "ja_JP.UTF-8"}, "ja_JP"), ({"LC_ALL": "zh_CN.UTF-8", "LANG": "ja_JP"}, "zh_CN"), ({"LANG": "C"}, "en")],
)
def test_the_page_speaks_the_language_of_the_system(environ, language):
    assert read(**environ).language == language
    assert read("--language", "ja_JP").language == "ja_JP"


def test_the_token_leaves_the_command_line():
    assert without_token(["--listen", "--token", "abc", "--port=1"]) == (["--listen", "--port=1"], "abc")
    assert without_token(["--token=abc"]) == ([], "abc")
    assert without_token(["--headless"]) == (["--headless"], "")
