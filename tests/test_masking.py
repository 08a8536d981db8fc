"""Keys and tokens never reach a log."""

import logging

import pytest
from tanren.masking import MaskingFormatter, mask, masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("token hf_abcdefghijklmnopqrstuvwx end", "token *** end"),
        ("wandb 0123456789abcdef0123456789abcdef01234567", "wandb ***"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
        ("--wandb_api_key=sesame --seed 1", "--wandb_api_key=*** --seed 1"),
        ('{"hf_token": "sesame"}', '{"hf_token": "***"}'),
        ("PASSWORD: sesame, more", "PASSWORD: ***, more"),
        ("keep_tokens=3 max_token_length=75", "keep_tokens=3 max_token_length=75"),
    ],
)
def test_what_looks_like_a_secret_is_replaced(text, masked):
    assert mask(text) == masked


def test_known_secrets_are_replaced_wherever_they_stand():
    assert mask("a my-own-secret b", ["my-own-secret"]) == "a *** b"


def test_secrets_inside_of_dicts_and_lists_are_replaced_and_the_rest_stays():
    event = {
        "kind": "note",
        "text": "key my-own-secret",
        "hf_token": "x",
        "keep_tokens": 3,
        "list": ["my-own-secret", 1],
    }

    assert masked(event, ["my-own-secret"]) == {
        "kind": "note",
        "text": "key ***",
        "hf_token": "***",
        "keep_tokens": 3,
        "list": ["***", 1],
    }


def test_tracebacks_are_masked_too(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "open-sesame")
    formatter = MaskingFormatter("%(message)s")
    try:
        raise ValueError("the key open-sesame was refused")
    except ValueError as error:
        record = logging.LogRecord("tanren", logging.ERROR, "f.py", 1, "failed", None, (ValueError, error, None))

    assert "open-sesame" not in formatter.format(record)
    assert "the key *** was refused" in formatter.format(record)
