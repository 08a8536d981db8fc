"""What can be said about uploads and states on the hub before anything is asked there."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import Problems, UserError
from ..options.hub import HubOptions
from ..options.saving import ResumeOptions, SavingOptions
from ..options.spec import Settings
from .account import no_upload_because
from .place import PRIVATE, PUBLIC, repository_of, state_of
from .states import is_on_hub


def check_hub(settings: Settings, problems: Problems) -> None:
    """Add what is wrong with the names; warn where nothing can be uploaded, which the run itself does not need."""
    options = settings[HubOptions]
    _collecting(problems, lambda: repository_of(options))
    if is_on_hub(settings):
        _collecting(problems, lambda: state_of(settings[ResumeOptions].resume or ""))
    if not options.huggingface_repo_id:
        return
    hindrance = no_upload_because(options.huggingface_token)
    if hindrance is not None:
        problems.warn(f"--huggingface_repo_id: Nothing will be uploaded, the results stay on this machine. {hindrance}")
    visibility = options.huggingface_repo_visibility
    if visibility and visibility not in (PUBLIC, PRIVATE):
        problems.warn(
            f"--huggingface_repo_visibility: A new repository will be private; only {PUBLIC!r} makes it public."
        )
    saving = settings[SavingOptions]
    if options.save_state_to_huggingface and not (saving.save_state or saving.save_state_on_train_end):
        problems.warn(
            "--save_state_to_huggingface: Add --save_state or --save_state_on_train_end; no states are saved."
        )


def _collecting(problems: Problems, check: Callable[[], object]) -> None:
    try:
        check()
    except UserError as problem:
        problems.add(problem)
