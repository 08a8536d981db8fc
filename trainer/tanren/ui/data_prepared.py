"""What tools for pictures prepare: copies that are made, files that are written, new names for both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..errors import DataError
from ..formats.picture_pixels import open_upright
from ..paths import PathPolicy, resolve_user_path
from ..preparation import pixels
from ..preparation.copies import Copy, make_copies, plan_copies
from ..preparation.journal import Journal
from ..preparation.picture_steps import FileChange
from .data_tool import Request, Shown
from .data_work import Work
from .words import Text, counted, text

PROBLEMS_TOLD = 20


@dataclass(frozen=True)
class PreparedCopies:
    """Copies that can be shown and made.

    Args:
        title: for the journal.
        copies: as planned.
        change: what becomes of each picture.
        out: the folder they go to.
        quality: of JPEG and WebP.
    """

    title: str
    copies: Sequence[Copy]
    change: FileChange
    out: Path
    quality: int = 95

    @property
    def count(self) -> int:
        """Copies that would be made."""
        return len(self.copies)

    def shown(self, most: int) -> list[Shown]:
        """The first of them."""
        return [Shown(copy.picture.name, None, str(copy.target)) for copy in self.copies[:most]]

    def notes(self) -> list[Text]:
        """Nothing more."""
        return []

    def carry_out(self, journal: Journal, work: Work) -> Text:
        """Make them; they are undone together."""
        outcome = make_copies(
            self.copies,
            self.change,
            journal,
            title=self.title,
            out=self.out,
            quality=self.quality,
            progress=work.progress,
            should_stop=work.should_stop,
        )
        if outcome.there:
            work.notes.append(text("{count} were there already and were left alone.", count=len(outcome.there)))
        work.notes += outcome.problems[:PROBLEMS_TOLD]
        made = counted(len(outcome.made), "{count} picture was made", "{count} pictures were made")
        return text("{made} in {folder}.", made=made, folder=str(self.out))

    def sample(self, picture: Path) -> Image.Image:
        """What would become of one picture."""
        return self.change(pixels.in_eight_bits(open_upright(str(picture))), picture)


@dataclass(frozen=True)
class PreparedFiles:
    """Files that would be put somewhere or written: a layout, an archive, a dataset file."""

    targets: Sequence[Shown]
    act: Callable[[Journal, Work], Text]
    said: Sequence[Text] = ()

    @property
    def count(self) -> int:
        """Files that would be made."""
        return len(self.targets)

    def shown(self, most: int) -> list[Shown]:
        """The first of them."""
        return list(self.targets[:most])

    def notes(self) -> list[Text]:
        """What was said beforehand."""
        return list(self.said)

    def carry_out(self, journal: Journal, work: Work) -> Text:
        """Make them."""
        return self.act(journal, work)


def copies_of(
    request: Request, title: str, change: FileChange, format_name: str, *, captions: bool, quality: int = 95
) -> PreparedCopies:
    """Copies of the pictures that are shown, in the folder that the question `out` names.

    Raises:
        UsageError: no such folder may be made, or it is that of the pictures.
    """
    out = new_folder(request, str(request.values["out"]))
    wanted = frozenset(request.pictures)
    planned = plan_copies(
        request.level, out, format_name=format_name, with_captions=captions, suffix=request.suffix
    )  # fmt: skip
    return PreparedCopies(title, [copy for copy in planned if copy.picture in wanted], change, out, quality)


def new_folder(request: Request, typed: str) -> Path:
    """A folder that may not be there yet, within those that are allowed; a bare name lies beside the pictures.

    Raises:
        UsageError: it is not allowed, or is a file.
    """
    return resolve_user_path(_beside(request, typed), "new folder", where="out", policy=PathPolicy(request.roots))


def new_file(request: Request, ending: str) -> Path:
    """The file that the question `file` names, with its ending; a bare name lies beside the folder of pictures.

    Raises:
        UsageError: it is not allowed.
        DataError: it is there already.
    """
    typed = _beside(request, str(request.values["file"]))
    typed = typed if typed.lower().endswith(ending) else typed + ending
    path = resolve_user_path(typed, "new file", where="file", policy=PathPolicy(request.roots))
    if path.exists():
        raise DataError(where=str(path), what="There is a file of this name already.", fix="Choose another name.")
    return path


def known_folder(request: Request, name: str) -> Path:
    """The folder that a question names, within those that are allowed.

    Raises:
        UsageError: it is not there, or not allowed.
    """
    return resolve_user_path(str(request.values[name]), "folder", where=name, policy=PathPolicy(request.roots))


def _beside(request: Request, typed: str) -> str:
    named = typed.strip().strip('"')
    bare = bool(named) and not any(sign in named for sign in "/\\~")
    return str(request.level.folder.parent / named) if bare else named
