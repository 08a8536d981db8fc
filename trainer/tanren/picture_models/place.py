"""Where a model lies: a file or folder of the user, or on the hub, from where it is fetched only when that is asked.

On the hub it is called `owner/name`, or `owner/name/file.onnx` where a repository holds several models.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import ModelFileError, UsageError
from ..models.hub import is_hub_id
from ..paths import home_expanded
from .onnx_file import first_line

# `..` would lead out of the repository.
HUB_FILE = re.compile(r"([\w.-]+/[\w.-]+)/(?!.*\.\.)(.+\.onnx)")
# Patience with a hub that does not answer; its library waits without a limit otherwise.
TIMEOUTS = {"HF_HUB_ETAG_TIMEOUT": "20", "HF_HUB_DOWNLOAD_TIMEOUT": "60"}


def find_model(reference: str, files: Sequence[str], *, download: bool, where: str = "--model") -> Path:
    """The file or folder of a model.

    Args:
        reference: a path, or a name on the hub.
        files: patterns of what is needed of a hub model.
        download: fetch a hub model that is not on this machine yet; without it nothing asks the network.
        where: the option, for messages.

    Raises:
        UsageError: there is no such file or folder.
        ModelFileError: the hub model is not here, or cannot be fetched.
    """
    path = home_expanded(reference)
    if path.exists():
        return path.resolve()
    for name, seconds in TIMEOUTS.items():
        os.environ.setdefault(name, seconds)
    named_file = HUB_FILE.fullmatch(reference)
    if named_file and (download or _is_here(named_file[1], named_file[2])):
        wanted = (named_file[2], f"{named_file[2]}_data")
        return _existing(_of_the_hub(named_file[1], wanted, download, where) / named_file[2], where)
    if not is_hub_id(reference):
        raise UsageError(
            where=where,
            what=f"There is no file or folder {reference}.",
            fix="Check the path, or give a hub id such as owner/name together with --download.",
        )
    return _of_the_hub(reference, files, download, where)


def _is_here(repository: str, file: str) -> bool:
    """True when this file of the hub was fetched before."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, file), str)


def _existing(path: Path, where: str) -> Path:
    if not path.is_file():
        raise ModelFileError(where=where, what=f"The repository has no file {path.name}.", fix="Check the spelling.")
    return path


def _of_the_hub(reference: str, files: Sequence[str], download: bool, where: str) -> Path:
    # Imported here: it reads its time limits from the environment once.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(reference, allow_patterns=list(files), local_files_only=not download))
    except LocalEntryNotFoundError as error:
        if not download:
            raise ModelFileError(
                where=where,
                what=f"The hub model {reference} is not on this machine.",
                fix="Add --download to fetch it once; later it works without a network. Or give a local folder.",
            ) from error
        raise _not_to_be_had(reference, where, error) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise _not_to_be_had(reference, where, error) from error


def _not_to_be_had(reference: str, where: str, error: Exception) -> ModelFileError:
    return ModelFileError(
        where=where,
        what=f"The hub model {reference} cannot be fetched.",
        why=f"{type(error).__name__}: {first_line(error)}",
        fix="Check the spelling and the network, or give a folder on this machine.",
    )
