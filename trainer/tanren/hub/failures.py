"""What a failure at the hub means, and what to do about it."""

from __future__ import annotations

from .account import TOKEN, TOKENS_PAGE
from .process import MISSING, REFUSED, UNREACHABLE
from .request import CANCELLED, SILENT, Answer


def reason(answer: Answer) -> str:
    """Why a request was not done, in a sentence with what the hub said."""
    if answer.failed == REFUSED:
        return f"{_refusal(answer.status)} ({answer.text})"
    if answer.failed == UNREACHABLE:
        return f"The hub cannot be reached. ({answer.text})"
    if answer.failed == SILENT:
        return f"The hub does not answer. {answer.text}"
    if answer.failed == CANCELLED:
        return "It was given up before its end."
    if answer.failed == MISSING:
        return f"The hub does not find it. ({answer.text})"
    if answer.status is not None and answer.status >= 500:
        return f"The hub has trouble of its own, HTTP {answer.status}. ({answer.text})"
    return answer.text


def remedy(answer: Answer, repo_id: str) -> str:
    """What to do about it; empty where waiting is all there is."""
    if answer.failed != REFUSED:
        return ""
    if answer.status == 401:
        return f"Make a new token with write access at {TOKENS_PAGE} and set {TOKEN}."
    return f"Give the token write access to {repo_id} at {TOKENS_PAGE}, or name a repository of yours."


def _refusal(status: int | None) -> str:
    if status == 401:
        return "The hub does not know the token, HTTP 401."
    return "The token may not write there" + (f", HTTP {status}." if status else ".")
