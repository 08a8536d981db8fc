"""A state on the hub that a run goes on from: brought into the data folder before the model is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import ResumeError, StoppedOnRequest, UsageError
from ..events import Report
from ..options.hub import HubOptions
from ..options.job import JobOptions
from ..options.saving import ResumeOptions
from ..options.spec import Settings
from ..paths import data_folder
from .account import TOKEN, environment_for, is_offline, unsafe_endpoint
from .failures import reason, remedy
from .place import StateOnHub, state_of
from .process import MISSING
from .request import CANCELLED, Limits, ask

# The size is not known before, so that only silence ends it.
LIMITS = Limits(silence=120.0, longest=24 * 3600.0)
CACHE = ("cache", "hub")


def is_on_hub(settings: Settings) -> bool:
    """True when `--resume` names a state on the hub that is not here yet."""
    return settings[HubOptions].resume_from_huggingface and bool(settings[ResumeOptions].resume)


def with_state_here(settings: Settings, report: Report) -> Settings:
    """The settings with `--resume` as a folder on this machine.

    What an earlier run has brought is not brought again, and does without the network when that is down.

    Raises:
        UsageError: `--resume` does not name a state on the hub.
        ResumeError: it cannot be had.
    """
    options, resume = settings[HubOptions], settings[ResumeOptions]
    if not is_on_hub(settings):
        return settings
    state = state_of(resume.resume or "")
    folder = _fetched(state, options.huggingface_token, data_folder(settings[JobOptions].data_dir), report)
    report.note(f"the state {resume.resume} was brought from the hub")
    changed = {
        HubOptions: replace(options, resume_from_huggingface=False),
        ResumeOptions: replace(resume, resume=str(folder)),
    }
    groups = [changed.get(type(group), group) for group in settings.groups()]
    return Settings(settings.command, groups, settings.given)


def _fetched(state: StateOnHub, token: str | None, data: Path, report: Report) -> Path:
    if address := unsafe_endpoint():
        fix = "Give an address with https."
        raise UsageError(where="HF_ENDPOINT", what=f"{address} could let others read the token.", fix=fix)
    request = {
        "do": "download",
        "repo_id": state.repo_id,
        "kind": state.kind,
        "revision": state.revision,
        "folder": state.folder,
        "cache": str(data.absolute().joinpath(*CACHE)),
    }
    with report.phase("download"):
        answer = ask(request, environment_for(token), LIMITS, is_cancelled=report.is_asked_to_stop)
    if answer.is_done:
        return Path(answer.facts["folder"])
    if answer.failed == CANCELLED:
        raise StoppedOnRequest("Stopped before the training went on: nothing new was learnt that could be saved.")
    revision = f" at {state.revision}" if state.revision else ""
    raise ResumeError(
        where="--resume",
        what=f"The state {state.folder} of {state.repo_id}{revision} cannot be had from the hub.",
        why=reason(answer),
        fix=_fix(answer.failed, remedy(answer, state.repo_id)),
    )


def _fix(failed: str, known: str) -> str:
    if is_offline():
        return "HF_HUB_OFFLINE is set: unset it, or give the folder of a state on this machine."
    if failed == MISSING:
        return f"Check repository, folder and revision. A private repository needs a token: {TOKEN}."
    return known or "Try again later, or give the folder of a state on this machine."
