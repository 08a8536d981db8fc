"""A run of a tool that needs a model, in a process of its own that is gone afterwards (`tanren.picture_models`).

It runs in the trainer's environment and tells what it does in lines of JSON.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from ..child_process import child_environment
from ..errors import EnvironmentProblem, UserError
from ..paths import package_folder
from ..preparation.journal import Journal
from .data_tool import Shown
from .data_work import Trial, Work
from .words import Text, text

MODULE = "tanren.picture_models"
PICTURES_TOLD, PICTURES_TRIED = 100, 4
Words = list[str]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class PreparedRun:
    """A run of the tool's process.

    Args:
        python: of the trainer's environment.
        words: the tool and its flags.
        data: our data folder, where the journal is.
        total: pictures it is about, as far as is known.
        only: these pictures alone; None: all that the words mean.
        only_tells: it writes nothing and says for each picture what it would write.
        out: the folder for pictures that it makes, as it stands in the words; None for captions.
    """

    python: Path
    words: Words
    data: Path
    total: int
    only: Sequence[Path] | None = None
    only_tells: bool = False
    out: Path | None = None

    @property
    def count(self) -> int:
        """Pictures it is about."""
        return self.total

    def shown(self, most: int) -> list[Shown]:
        """Only the model can tell."""
        return []

    def notes(self) -> list[Text]:
        """Nothing more."""
        return []

    def try_on(self, picture: Path, work: Work) -> Text:
        """Let the model look at one picture and put what it makes into `work.trial`; no file of the user is touched.

        Without a trial, when it was stopped or the picture was passed over, the sentence and the notes say so.

        Raises:
            UserError: as for the whole run.
        """
        with tempfile.TemporaryDirectory(prefix="tanren-try-") as folder:
            out = Path(folder) / "out"
            words = [word for word in self.words if not word.startswith("--mode=")]
            if self.out is None:
                # A caption that is there already does not keep the model from looking.
                words += ["--mode=replace", *([] if self.only_tells else ["--dry-run"])]
            else:
                words[words.index(str(self.out))] = str(out)
                words = [word for word in words if word != "--dry-run"]
            run = replace(self, words=words, only=[picture], data=Path(folder) / "data", only_tells=self.out is None)
            told: list[str] = []
            said = run._run(work, Path(folder), told.append)
            if work.is_stopped or not told:
                return said
            made = [path.read_bytes() for path in sorted(out.rglob("*.png"))[:PICTURES_TRIED]]
            work.trial = Trial(picture, tuple(made), tuple(told) if self.out is None else ())
        return text("This is what would be made of {name}. Nothing was written.", name=picture.name)

    def carry_out(self, journal: Journal, work: Work) -> Text:
        """Run it to its end; what it writes it writes through the journal itself.

        Raises:
            UserError: what the process says is wrong.
            EnvironmentProblem: it could not be started, or ended without a word.
        """
        with tempfile.TemporaryDirectory(prefix="tanren-models-") as folder:
            return self._run(work, Path(folder), work.notes.append if self.only_tells else None)

    def _run(self, work: Work, place: Path, tell: Tell | None) -> Text:
        stop_file, listed = place / "stop", place / "only.json"
        command = [str(self.python), "-m", MODULE, *self.words, "--events", f"--stop-file={stop_file}"]
        if self.only is not None:
            # A command line has no room for ten thousand paths.
            listed.write_text(json.dumps([str(path) for path in self.only]), "ascii")
            command.append(f"--only={listed}")
        variables = child_environment(PYTHONPATH=str(package_folder().parent), TANREN_DATA=str(self.data))
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with tempfile.TemporaryFile() as errors:
            pipes["stderr"] = errors
            try:
                process = subprocess.Popen(command, env=variables, **pipes)
            except OSError as error:
                raise EnvironmentProblem(
                    where=str(self.python), what="The trainer's Python could not be started.", why=str(error)
                ) from error
            with process:
                heard = _Heard(work, stop_file, self.only_tells, tell)
                assert process.stdout is not None
                heard.follow(process.stdout)
            return heard.outcome(process.returncode, errors)


class _Heard:
    """What the process told.

    Args:
        work: gets its progress, its notes and what is wrong with single files.
        stop_file: what asks the process to stop.
        only_tells: it writes nothing.
        tell: gets a line for each of the first pictures; None: nobody wants them.
    """

    def __init__(self, work: Work, stop_file: Path, only_tells: bool, tell: Tell | None = None) -> None:
        self._work, self._stop_file, self._only_tells, self._tell = work, stop_file, only_tells, tell
        self._told = 0
        self._problem: UserError | None = None
        self._result: Mapping[str, Any] = {}
        self._reason = ""

    def follow(self, lines: IO[bytes]) -> None:
        """Read until it ends; a wish to stop is passed on between two lines."""
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                self._hear(event)
            if self._work.is_stopped and not self._stop_file.exists():
                self._stop_file.touch()

    def outcome(self, code: int, errors: IO[bytes]) -> Text:
        """The sentence, or what went wrong."""
        if self._result:
            if self._problem is not None:
                self._work.notes.append(self._problem)
            if self._only_tells:
                return text("Nothing was written. {count} would be written.", count=self._result.get("written", 0))
            return text(
                "{written} written, {unchanged} left as they are, {failed} failed.",
                written=self._result.get("written", 0),
                unchanged=self._result.get("unchanged", 0),
                failed=self._result.get("failed", 0),
            )
        if self._problem is not None:
            raise self._problem
        if self._work.is_stopped:
            return text("It was stopped; what was written so far stays.")
        errors.seek(0)
        last = errors.read()[-2000:].decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise EnvironmentProblem(what=f"The process ended with {code}.", why=last or self._reason)

    def _hear(self, event: Mapping[str, Any]) -> None:
        kind = event.get("kind")
        if kind == "phase":
            self._work.progress(int(event.get("done") or 0), int(event.get("total") or 0))
        elif kind == "picture" and self._tell is not None and self._told < PICTURES_TOLD:
            self._told += 1
            self._tell(f"{Path(str(event.get('file', ''))).name}: {event.get('text', '')}")
        elif kind in ("warning", "note"):
            self._work.notes.append(str(event.get("text", "")))
        elif kind == "problem":
            said = {name: str(event.get(name) or "") for name in ("where", "what", "why", "fix")}
            if self._problem is not None:
                self._work.notes.append(self._problem)
            self._problem = UserError(**said)
        elif kind == "result":
            self._result = event
        elif kind == "ended":
            self._reason = str(event.get("reason") or "")
