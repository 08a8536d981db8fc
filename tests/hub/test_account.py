"""What is known before anything is asked: tokens, being offline, other addresses."""

import pytest
from tanren.hub.account import environment_for, has_token, no_upload_because, token_file

SAFE = {"HF_HOME": "/nowhere"}


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_a_token_is_found_in_the_environment(name):
    assert has_token(None, {**SAFE, name: "hf_x"})
    assert not has_token(None, {**SAFE, name: " "})


def test_a_token_is_found_among_the_settings_and_where_the_login_keeps_it(tmp_path):
    assert has_token("hf_x", SAFE)
    assert not has_token(None, {"HF_HOME": str(tmp_path)})
    (tmp_path / "token").write_text("hf_x\n")
    assert has_token(None, {"HF_HOME": str(tmp_path)})
    assert has_token(None, {"HF_TOKEN_PATH": str(tmp_path / "token")})
    assert token_file({"XDG_CACHE_HOME": "/cache"}).as_posix() == "/cache/huggingface/token"


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "No token was found. Set HF_TOKEN, or run `hf auth login` once"),
        ({"HF_TOKEN": "hf_x", "HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set, which forbids it."),
        ({"HF_TOKEN": "hf_x", "TRANSFORMERS_OFFLINE": "yes"}, "HF_HUB_OFFLINE is set"),
        ({"HF_TOKEN": "hf_x", "HF_ENDPOINT": "http://mirror.example"}, "where a token could be read on its way"),
        ({"HF_TOKEN": "hf_x", "HF_ENDPOINT": "http://[::1"}, "where a token could be read on its way"),
    ],
)
def test_what_stands_in_the_way_of_uploads_is_said_with_what_to_do(environment, sentence):
    assert sentence in no_upload_because(None, {**SAFE, **environment})


@pytest.mark.parametrize("address", ["https://mirror.example", "http://127.0.0.1:8080", "http://localhost:1", ""])
def test_tokens_go_to_secure_addresses_and_to_this_machine(address):
    assert no_upload_because("hf_x", {**SAFE, "HF_ENDPOINT": address}) is None


def test_only_the_environment_of_the_process_holds_the_token_and_that_of_the_settings_wins():
    environment = environment_for("hf_mine\n", {"HF_TOKEN": "hf_other", "SECRET_OF_SOMEBODY": "x", "PATH": "/bin"})

    assert environment["HF_TOKEN"] == "hf_mine"
    assert environment["PATH"] == "/bin"
    assert "SECRET_OF_SOMEBODY" not in environment
    assert environment_for(None, {"HUGGING_FACE_HUB_TOKEN": "hf_old"})["HF_TOKEN"] == "hf_old"
