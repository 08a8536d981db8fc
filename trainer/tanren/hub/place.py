"""Where things lie on the hub, as options name it, and the command that a person uploads them with."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..options.hub import HubOptions

MODEL = "model"
KINDS = (MODEL, "dataset", "space")
WEB_PREFIX = {MODEL: "", "dataset": "datasets/", "space": "spaces/"}
PUBLIC, PRIVATE = "public", "private"
REPO_ID = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?/[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)
IN_ADDRESS = re.compile(r"https?://[^/]+/(?:models/|datasets/|spaces/)?([\w.-]+/[\w.-]+)", re.ASCII)
FORBIDDEN_FOLDERS = (".git", ".cache")
STATE_FORM = "Write --resume=USER/NAME/FOLDER, with :REVISION and :KIND behind it where they are needed."


@dataclass(frozen=True)
class Repository:
    """A repository, and the folder in it that results go to.

    Args:
        repo_id: such as "mika/moon-lora".
        kind: "model", "dataset" or "space".
        is_private: it is made private when it is missing.
        folder: inside of it, without slashes at its ends; empty for the root.
    """

    repo_id: str
    kind: str = MODEL
    is_private: bool = True
    folder: str = ""

    def path_of(self, name: str) -> str:
        """Where a file or folder of that name goes."""
        return f"{self.folder}/{name}" if self.folder else name

    def address_of(self, name: str, endpoint: str, *, is_folder: bool = False) -> str:
        """Where a browser shows it."""
        view = "tree" if is_folder else "blob"
        return f"{endpoint.rstrip('/')}/{WEB_PREFIX[self.kind]}{self.repo_id}/{view}/main/{self.path_of(name)}"

    def upload_command(self, source: Path) -> str:
        """What a person types to upload a result later."""
        words = ["hf", "upload", self.repo_id, str(source), self.path_of(source.name)]
        if self.kind != MODEL:
            words.append(f"--repo-type={self.kind}")
        if self.is_private:
            words.append("--private")
        return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


@dataclass(frozen=True)
class StateOnHub:
    """A state that `--resume` names there; `revision` is a branch, a tag or a commit."""

    repo_id: str
    folder: str
    revision: str | None = None
    kind: str = MODEL


def repository_of(options: HubOptions) -> Repository | None:
    """Where the results of a run go, or None when they stay here.

    Raises:
        UsageError: no name of a repository, or no folder inside of one.
    """
    if not options.huggingface_repo_id:
        return None
    return Repository(
        checked_repo_id(options.huggingface_repo_id),
        options.huggingface_repo_type or MODEL,
        options.huggingface_repo_visibility != PUBLIC,
        _checked_folder(options.huggingface_path_in_repo or ""),
    )


def checked_repo_id(text: str) -> str:
    """The same text when the hub would take it for the name of a repository.

    Raises:
        UsageError: it would not.
    """
    if REPO_ID.fullmatch(text) and not (".." in text or "--" in text or text.endswith(".git")):
        return text
    address = IN_ADDRESS.match(text)
    meant = address[1] if address else "USER/NAME"
    raise UsageError(
        where="--huggingface_repo_id",
        what=f"{text!r} is not the name of a repository: user, slash, name.",
        why="Letters, digits, - _ and . are allowed, and no -- or .. in it.",
        fix=f"Use --huggingface_repo_id={meant}" if address else f"Write --huggingface_repo_id={meant}.",
    )


def state_of(text: str) -> StateOnHub:
    """What `--resume` means with `--resume_from_huggingface`: `user/name/folder[:revision[:kind]]`.

    Raises:
        UsageError: it has another form.
    """
    path, *more = text.split(":")
    parts = path.rstrip("/").split("/")
    revision, kind = (*more, "", "")[:2]
    is_path = len(parts) > 2 and all(part not in ("", ".", "..") for part in parts)
    if not is_path or len(more) > 2 or not REPO_ID.fullmatch("/".join(parts[:2])):
        raise UsageError(where="--resume", what=f"{text!r} does not name a state on the hub.", fix=STATE_FORM)
    if kind and kind not in KINDS:
        what = f"{kind!r} is not a kind of repository: {', '.join(KINDS)}."
        raise UsageError(where="--resume", what=what, fix=STATE_FORM)
    return StateOnHub("/".join(parts[:2]), "/".join(parts[2:]), revision or None, kind or MODEL)


def _checked_folder(text: str) -> str:
    folder = text.strip("/")
    parts = folder.split("/") if folder else []
    if "\\" in folder or any(part in ("", ".", "..", *FORBIDDEN_FOLDERS) for part in parts):
        raise UsageError(
            where="--huggingface_path_in_repo",
            what=f"{text!r} is not a folder inside of a repository.",
            fix="Write names with / between them, such as loras/moon.",
        )
    return folder
