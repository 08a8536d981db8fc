"""Results that go to the Hugging Face hub, and states that come from there."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import Requires, option

_WITHOUT_A_REPO = "nothing is uploaded without it"


@dataclass(frozen=True, kw_only=True)
class HubOptions:
    """Uploads to the Hugging Face hub."""

    huggingface_repo_id: str | None = option(
        None,
        "Upload every saved file into this repository of the Hugging Face hub; it is made when it is missing.",
        label="Repository on the hub",
        written="USER/NAME",
    )
    huggingface_repo_type: str | None = option(
        None,
        "Kind of the repository; not given: model.",
        label="Kind of the repository",
        choices=("model", "dataset", "space"),
        level="expert",
    )
    huggingface_path_in_repo: str | None = option(
        None,
        "Folder inside of the repository; not given: its root.",
        label="Folder in the repository",
    )
    huggingface_token: str | None = option(
        None,
        "Token with write access; better kept in the environment, as HF_TOKEN.",
        label="Hub token",
        secret=True,
        variable="HF_TOKEN",
    )
    huggingface_repo_visibility: str | None = option(
        None,
        "Who sees a repository that is made: everybody if it is exactly public, otherwise only you.",
        label="Visibility of the repository",
        suggestions=("private", "public"),
        written="private / public",
    )
    save_state_to_huggingface: bool = option(False, "Upload the saved states too.", label="Upload states too")
    resume_from_huggingface: bool = option(
        False,
        "--resume names a state on the hub: USER/NAME/FOLDER, then :REVISION and :KIND where they are needed.",
        label="The state is on the hub",
    )
    async_upload: bool = option(
        False,
        "Upload in the background while training goes on; the end of the run waits for what is left.",
        label="Upload in the background",
    )

    rules = (
        Requires("huggingface_repo_type", "huggingface_repo_id", because=_WITHOUT_A_REPO, warns=True),
        Requires("huggingface_path_in_repo", "huggingface_repo_id", because=_WITHOUT_A_REPO, warns=True),
        Requires("huggingface_repo_visibility", "huggingface_repo_id", because=_WITHOUT_A_REPO, warns=True),
        Requires("save_state_to_huggingface", "huggingface_repo_id", because=_WITHOUT_A_REPO, warns=True),
        Requires("async_upload", "huggingface_repo_id", because=_WITHOUT_A_REPO, warns=True),
        Requires("resume_from_huggingface", "resume", because="it says which state is meant", warns=True),
    )
