"""The real library in its process, against a hub on this machine: what arrives, and what every failure becomes."""

import os

import pytest
from hub.hub_server import CUT, HANG, READER, TOKEN, HubServer, Repo
from tanren.hub.account import environment_for
from tanren.hub.failures import reason, remedy
from tanren.hub.request import Limits, ask

PATIENT, HASTY = Limits(60.0, 120.0), Limits(4.0, 4.0)
MOON = {"repo_id": "mika/moon", "kind": "model", "private": True}
CHECK = {"do": "check", **MOON}


@pytest.fixture
def surrounded(tmp_path):
    """The environment for a hub, with another token than the usual one where that is wanted."""

    def make(hub, token=TOKEN):
        return environment_for(None, {**os.environ, **hub.environment(tmp_path / "home", token)})

    return make


@pytest.fixture
def upload(tmp_path):
    """A request to upload a large file and a small one."""
    large, small = tmp_path / "moon.safetensors", tmp_path / "facts.json"
    large.write_bytes(os.urandom(700_000))
    small.write_text("{}")
    files = [("loras/moon.safetensors", str(large)), ("loras/facts.json", str(small))]
    return {"do": "upload", **MOON, "files": files, "message": "Upload moon"}


@pytest.mark.option("huggingface_repo_visibility", "huggingface_repo_type")
@pytest.mark.parametrize(
    ("kind", "private"), [("model", True), ("dataset", False), ("space", True)], ids=["model", "dataset", "space"]
)
def test_a_repository_that_is_missing_is_made_of_the_kind_and_for_whom_it_was_asked(hub, surrounded, kind, private):
    answer = ask({**CHECK, "kind": kind, "private": private}, surrounded(hub), PATIENT)

    prefix = "" if kind == "model" else f"{kind}s/"
    assert answer.facts == {"address": f"{hub.url}/{prefix}mika/moon"}
    assert hub.repo(kind=kind).is_private is private


def test_files_arrive_byte_by_byte_in_one_commit(hub, surrounded, upload, tmp_path):
    percents = []

    answer = ask(upload, surrounded(hub), PATIENT, on_percent=percents.append)

    assert answer.is_done
    assert hub.repo().files == {
        "loras/moon.safetensors": (tmp_path / "moon.safetensors").read_bytes(),
        "loras/facts.json": b"{}",
    }
    assert len(hub.repo().commits) == 2
    assert percents[-1] == 100


@pytest.mark.rule("flt-11")
@pytest.mark.parametrize(
    ("step", "fault", "token", "sentence", "advice"),
    [
        ("", 0, "hf_nobody", "The hub does not know the token, HTTP 401.", "Make a new token with write access"),
        ("", 0, READER, "The token may not write there.", "Give the token write access to mika/moon"),
        ("create", 403, TOKEN, "The token may not write there, HTTP 403.", "or name a repository of yours"),
        ("access", 403, TOKEN, "The token may not write there, HTTP 403.", "Give the token write access to mika/moon"),
        ("whoami", 500, TOKEN, "The hub has trouble of its own, HTTP 500.", ""),
        ("whoami", HANG, TOKEN, "The hub does not answer.", ""),
    ],
    ids=["no such token", "reading token", "no right to make it", "no right to write", "trouble", "silence"],
)
def test_the_first_look_says_what_is_wrong_and_what_to_do(hub, surrounded, step, fault, token, sentence, advice):
    hub.faults[step] = fault

    answer = ask(CHECK, surrounded(hub, token), HASTY if fault == HANG else PATIENT)

    assert reason(answer).startswith(sentence)
    assert advice in remedy(answer, "mika/moon")


@pytest.mark.rule("flt-11")
@pytest.mark.parametrize(
    ("step", "fault", "kind"),
    [("preupload", 403, "refused"), ("commit", 500, "trouble"), ("put", HANG, "silent"), ("put", CUT, "silent")],
)
def test_an_upload_that_fails_leaves_no_commit(hub, surrounded, upload, step, fault, kind):
    hub.repos["model", "mika/moon"] = Repo(is_private=True)
    hub.faults[step] = fault

    answer = ask(upload, surrounded(hub), HASTY if kind == "silent" else PATIENT)

    assert answer.failed == kind
    assert hub.repo().files == {}


@pytest.mark.rule("flt-11")
def test_a_hub_that_dies_in_the_middle_of_an_upload_is_answered_too(surrounded, upload):
    with HubServer() as hub:
        hub.before_put = hub.die
        answer = ask(upload, surrounded(hub), HASTY)

    assert answer.failed in ("unreachable", "silent")
    assert answer.may_pass


@pytest.mark.rule("flt-11")
def test_an_address_where_nobody_listens_is_told_as_such(hub, surrounded):
    hub.url = "http://127.0.0.1:9"

    answer = ask(CHECK, surrounded(hub), PATIENT)

    assert reason(answer).startswith("The hub cannot be reached. (")


def test_a_request_that_is_given_up_ends_at_once(hub, surrounded):
    hub.faults["whoami"] = HANG

    assert ask(CHECK, surrounded(hub), PATIENT, is_cancelled=lambda: "whoami" in hub.steps).failed == "cancelled"


def test_another_server_that_does_not_know_the_question_for_access_is_believed(hub, surrounded):
    hub.faults["access"] = 404

    assert ask(CHECK, surrounded(hub), PATIENT).is_done
