"""Folders, and the one way from a user's text to a path.

Names of what we create follow one rule on every system, so that results move between machines: no control characters,
none of <>:"/\\|?*, no dot or space at the ends, no device names of Windows, at most 200 bytes in UTF-8.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError

NAME_BYTES = 200
# What file systems and systems take at most; beyond it even asking whether a file is there fails.
COMPONENT_BYTES, PATH_BYTES = 255, 4096
FORBIDDEN = '<>:"/\\|?*'
DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [f"{port}{n}" for port in ("COM", "LPT") for n in "123456789¹²³"]
)
KINDS = ("file", "folder", "new file", "new folder")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(//|\\\\)|file:", re.IGNORECASE)
DRIVE_RELATIVE = re.compile(r"[A-Za-z]:(?![\\/])")


@dataclass(frozen=True)
class PathPolicy:
    """Where paths may lead: anywhere the user may read, or only below the roots an admin allowed."""

    roots: tuple[Path, ...] | None = None


ANYWHERE = PathPolicy()


def package_folder() -> Path:
    """Folder of the `tanren` package."""
    return Path(__file__).resolve().parent


def repository_folder() -> Path | None:
    """The checkout this package runs from; None when it was installed with pip."""
    root = package_folder().parents[1]
    return root if (root / "launch.py").is_file() and package_folder().parent.name == "trainer" else None


def asset(*names: str) -> Path:
    """A file that is part of the package, below `assets/`."""
    return package_folder().joinpath("assets", *names)


def shipped_file(*names: str) -> Path | None:
    """A file that lies beside the package in the repository, such as a translation; None when it is not there.

    An installation with pip keeps these files as data of the distribution, wherever pip put them.
    """
    root = repository_folder()
    if root is not None:
        path = root.joinpath(*names)
        return path if path.is_file() else None
    # Imported here: only an installation with pip needs it.
    import importlib.metadata

    try:
        listed = importlib.metadata.files("tanren") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    ending = ("share", "tanren", *names)
    found = (Path(str(file.locate())) for file in listed if file.parts[-len(ending) :] == ending)
    return next((path for path in found if path.is_file()), None)


def data_folder(chosen: str | None = None) -> Path:
    """Where runs, caches, presets, trash and backups live; not made here.

    Args:
        chosen: what `--data_dir` says. Next come TANREN_DATA, `data/` in the checkout, and the user's data folder.
    """
    text = chosen or os.environ.get("TANREN_DATA")
    if text:
        return resolve_user_path(text, "new folder", where="--data_dir" if chosen else "TANREN_DATA")
    root = repository_folder()
    return root / "data" if root else user_data_folder()


def user_data_folder() -> Path:
    """The user's own folder for Tanren, shared by all its installations; not made here."""
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Application Support"
    else:
        folder = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return folder / "tanren"


def home_expanded(path: str | os.PathLike[str]) -> Path:
    """A path as typed, `~` alone or before a slash being the home folder.

    What cannot be expanded (`~name`, a `~` without a home, `~\\` where a backslash is a letter like others) stays as it
    is: it may be the name of a file.
    """
    text = os.fspath(path)
    before_home = ("~/", "~\\") if os.name == "nt" else ("~/",)
    if text == "~" or text.startswith(before_home):
        try:
            return Path(text).expanduser()
        except RuntimeError:
            return Path(text)
    return Path(text)


def resolve_user_path(text: str, kind: str, *, where: str = "", policy: PathPolicy = ANYWHERE) -> Path:
    """The absolute path a user's text means, checked.

    Args:
        text: as typed; `~` alone or before a slash is the home folder.
        kind: "file" or "folder" that must exist, "new file" or "new folder" that may.
        where: option or field, for the message.
        policy: roots the path must not leave, links followed.

    Raises:
        UsageError: not a path we accept, not there, of the other kind, or outside of the roots.
    """
    assert kind in KINDS, kind
    _refuse_odd_text(text, where)
    path = home_expanded(text)
    try:
        # The roots come first: what lies outside must not be told apart from what is not there.
        _check_roots(path.resolve(strict=False), text, where, policy)
        resolved = path.resolve(strict=not kind.startswith("new"))
    except (OSError, RuntimeError) as error:
        raise UsageError(where=where, what=f"{text!r} is not there.", why=_reason(error), fix=_nearest(path)) from error
    _check_roots(resolved, text, where, policy)
    _check_kind(resolved, kind, text, where)
    return resolved


def check_created_name(name: str, *, where: str) -> str:
    """Return `name` if a file of that name can be made on every system, else raise `UsageError` saying why not."""
    reason = _why_not_a_name(name)
    if reason:
        raise UsageError(
            where=where, what=f"{name!r} cannot be the name of a file: {reason}.", fix="Choose another name."
        )
    return name


def name_key(name: str) -> str:
    """Equal for names that one of the usual file systems takes for the same file (NFC, case folded)."""
    return unicodedata.normalize("NFC", name).casefold()


def control_characters(text: str) -> str:
    """The control characters and lone surrogates in a text, escaped, for messages; empty when there are none."""
    found = [
        character for character in text if ord(character) < 32 or ord(character) == 127 or _is_surrogate(character)
    ]
    return " ".join(dict.fromkeys(repr(character)[1:-1] for character in found))


def refuse_overlong(text: str, where: str) -> None:
    """Refuse a path that no system can look up.

    Raises:
        UsageError: the path or one of its names is too long.
    """
    longest = max(map(_utf8_length, re.split(r"[/\\]", text)))
    if longest > COMPONENT_BYTES or _utf8_length(text) > PATH_BYTES:
        raise UsageError(
            where=where,
            what=f"The path {text[:40]}… is too long.",
            why=f"A name may have {COMPONENT_BYTES} bytes, a whole path {PATH_BYTES}.",
            fix="Check what was pasted.",
        )


def _refuse_odd_text(text: str, where: str) -> None:
    odd = control_characters(text)
    if odd:
        raise UsageError(
            where=where,
            what=f"The path {text!r} contains control characters ({odd}).",
            why="In double quotes TOML and JSON read \\n, \\t and the like as such characters.",
            fix="Use single quotes or / in the path: 'C:\\new\\train' or \"C:/new/train\".",
        )
    if not text.strip():
        raise UsageError(where=where, what="The path is empty.", fix="Give a path.")
    refuse_overlong(text, where)
    if text.startswith("\\\\") or (text.startswith("//") and sys.platform == "win32"):
        raise _refused(
            text, where, "network and device paths (\\\\server, \\\\?\\) are not used", "Give it a drive letter."
        )
    if URL.match(text):
        raise _refused(text, where, "it is an address, not a path", "Download it and give the path of the file.")
    if text.startswith("~") and text != "~" and text[1] not in "/\\":
        raise _refused(text, where, "another user's home folder is not looked up", "Write the whole path.")
    if DRIVE_RELATIVE.match(text):
        raise _refused(text, where, "after the drive letter a \\ or / is missing", "Write the whole path.")


def _refused(text: str, where: str, why: str, fix: str) -> UsageError:
    return UsageError(where=where, what=f"{text!r} is not accepted as a path: {why}.", fix=fix)


def _check_roots(path: Path, text: str, where: str, policy: PathPolicy) -> None:
    if policy.roots is not None and not any(_is_inside(path, root) for root in policy.roots):
        raise UsageError(
            where=where,
            what=f"{text!r} lies outside of the folders that may be used here.",
            fix="Allowed: " + ", ".join(map(str, policy.roots)),
        )


def _check_kind(path: Path, kind: str, text: str, where: str) -> None:
    wanted_folder = kind.endswith("folder")
    if path.exists() and path.is_dir() != wanted_folder:
        found = "a folder" if path.is_dir() else "a file"
        raise UsageError(
            where=where,
            what=f"{text!r} is {found}.",
            fix=f"Give {'a folder' if wanted_folder else 'a file'}.",
        )


def _is_inside(path: Path, root: Path) -> bool:
    try:
        return path.is_relative_to(root.resolve())
    except OSError:
        return False


def _reason(error: OSError | RuntimeError) -> str:
    return (error.strerror or "") if isinstance(error, OSError) else "Its links lead in a circle."


def _nearest(path: Path) -> str:
    there = path.absolute()
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    return f"The nearest folder that exists is {there}." if there != path.absolute() else "Check where the link leads."


def _why_not_a_name(name: str) -> str:
    """What is wrong with the name of a new file; empty when nothing is."""
    odd = control_characters(name)
    bad = "".join(dict.fromkeys(character for character in name if character in FORBIDDEN))
    checks: Iterable[tuple[bool, str]] = (
        (not name.strip(), "it is empty"),
        (bool(odd), f"it contains {odd}"),
        (bool(bad), f"it contains {' '.join(bad)}"),
        (name[:1] in (".", " "), "it begins with a dot or a space"),
        (name[-1:] in (".", " "), "it ends with a dot or a space"),
        (name.split(".")[0].rstrip(" ").upper() in DEVICES, "Windows keeps this name for a device"),
        (_utf8_length(name) > NAME_BYTES, f"it has {_utf8_length(name)} bytes, more than {NAME_BYTES}"),
    )
    return next((reason for wrong, reason in checks if wrong), "")


def _utf8_length(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _is_surrogate(character: str) -> bool:
    return 0xD800 <= ord(character) <= 0xDFFF
