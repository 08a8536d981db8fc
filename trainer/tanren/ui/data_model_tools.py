"""The tools that need a model: tags, descriptions, cut-outs, depth, faces, class pictures.

They run in the trainer's environment, in a process of their own that is gone afterwards (`tanren.picture_models`), and
tell what they do in lines of JSON.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..child_process import child_environment
from ..errors import EnvironmentProblem, UserError
from ..paths import PathPolicy, package_folder, resolve_user_path
from ..preparation.journal import Journal
from ..preparation.levels import DEEPER, PARENT
from ..preparation.tags import APPEND, FILL, REPLACE
from .data_needs import TAGGING, TRAINER
from .data_picture_tools import CAPTIONS, OUT
from .data_prepared import new_folder
from .data_tool import CHOICE, FLAG, FOLDER, NUMBER, SLIDER, Field, Group, Request, Shown, Tool
from .data_work import Work
from .words import Text, text

MODULE = "tanren.picture_models"
Values = Mapping[str, Any]
Words = list[str]


@dataclass(frozen=True)
class PreparedRun:
    """A run of the tool's process.

    Args:
        python: of the trainer's environment.
        words: the tool and its flags.
        data: our data folder, where the journal is.
        total: pictures it is about, as far as is known.
    """

    python: Path
    words: Words
    data: Path
    total: int

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

    def carry_out(self, journal: Journal, work: Work) -> Text:
        """Run it to its end; what it writes it writes through the journal itself.

        Raises:
            UserError: what the process says is wrong.
            EnvironmentProblem: it could not be started, or ended without a word.
        """
        with tempfile.TemporaryDirectory(prefix="tanren-models-") as folder:
            return self._run(work, Path(folder) / "stop")

    def _run(self, work: Work, stop_file: Path) -> Text:
        command = [str(self.python), "-m", MODULE, *self.words, "--events", f"--stop-file={stop_file}"]
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
                heard = _Heard(work, stop_file)
                assert process.stdout is not None
                heard.follow(process.stdout)
            return heard.outcome(process.returncode, errors)


class _Heard:
    """What the process told."""

    def __init__(self, work: Work, stop_file: Path) -> None:
        self._work, self._stop_file = work, stop_file
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
                self._work.notes.append(str(self._problem))
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
        elif kind in ("warning", "note"):
            self._work.notes.append(str(event.get("text", "")))
        elif kind == "problem":
            said = {name: str(event.get(name) or "") for name in ("where", "what", "why", "fix")}
            if self._problem is not None:
                self._work.notes.append(str(self._problem))
            self._problem = UserError(**said)
        elif kind == "result":
            self._result = event
        elif kind == "ended":
            self._reason = str(event.get("reason") or "")


# Taggers put what they find behind what is there.
MODE = Field(
    "mode",
    "Where there is a caption already",
    CHOICE,
    FILL,
    ((FILL, "leave it as it is"), (APPEND, "add new tags behind"), (REPLACE, "replace it")),
)


def groups() -> tuple[Group, ...]:
    """All of them, as the page shows them."""
    return (
        Group("Models that look at pictures", (TAG, DESCRIBE, CUT_OUT, DEPTH, FACES)),
        Group("Class pictures", (CLASS,)),
    )


def _run(name: str, flags: Callable[[Request], Words], *, of_folder: bool = True) -> Callable[[Request], PreparedRun]:
    def prepare(request: Request) -> PreparedRun:
        if request.python is None:
            raise EnvironmentProblem(
                what="The trainer's environment is not there yet.", fix="Make it in the tab Trainer environment."
            )
        words = [name, *([str(request.level.folder)] if of_folder else []), *flags(request)]
        if of_folder and request.level.kind in (PARENT, DEEPER):
            words.append("--recursive")
        return PreparedRun(request.python, words, request.data, max(1, request.level.pictures))

    return prepare


def _model(request: Request) -> Words:
    """The model's flags: a folder or file here, within those that are allowed, or a name on the hub."""
    named = str(request.values["model"]).strip().strip('"')
    if request.roots is not None and (named.startswith(("/", "\\", "~", ".")) or ":" in named):
        kind = "folder" if Path(named).is_dir() else "file"
        named = str(resolve_user_path(named, kind, where="model", policy=PathPolicy(request.roots)))
    return [f"--model={named}", *(["--download"] if request.values["download"] else [])]


def _out(request: Request) -> Words:
    """The folder for what is made; it comes right behind the folder of pictures."""
    return [str(new_folder(request, str(request.values["out"])))]


def _flag(values: Values, name: str, word: str, *, when: bool = True) -> Words:
    return [word] if bool(values[name]) is when else []


def _tag(request: Request) -> Words:
    values = request.values
    return [
        *_model(request),
        f"--mode={values['mode']}",
        f"--general-threshold={values['general']}",
        f"--character-threshold={values['character']}",
        f"--exclude={values['exclude']}",
        f"--first={values['first']}",
        *_flag(values, "underscores", "--keep-underscores"),
    ]


def _describe(request: Request) -> Words:
    values = request.values
    return [
        *_model(request),
        f"--mode={values['mode']}",
        f"--prompt={values['prompt']}",
        f"--prefix={values['prefix']}",
        f"--max-tokens={int(values['longest'])}",
        f"--beams={int(values['beams'])}",
    ]


def _cut_out(request: Request) -> Words:
    values = request.values
    captions = _flag(values, "captions", "--no-captions", when=False)
    return [*_out(request), *_model(request), f"--result={values['result']}", *captions]


def _faces(request: Request) -> Words:
    values = request.values
    return [
        *_out(request),
        *_model(request),
        f"--margin={values['margin']}",
        *_flag(values, "square", "--square"),
        *_flag(values, "captions", "--no-captions", when=False),
    ]


def _class_pictures(request: Request) -> Words:
    values = request.values
    base = str(values["base"]).strip().strip('"')
    if base and request.roots is not None:
        base = str(resolve_user_path(base, "file", where="base", policy=PathPolicy(request.roots)))
    return [
        *_out(request),
        f"--class={values['class']}",
        f"--count={int(values['count'])}",
        f"--repeats={int(values['repeats'])}",
        *([f"--prompt={values['prompt']}"] if str(values["prompt"]).strip() else []),
        f"--negative={values['negative']}",
        *([f"--size={values['size']}"] if str(values["size"]).strip() else []),
        f"--steps={int(values['steps'])}",
        *(["--transparent"] if values["transparent"] else [f"--model={base}"]),
    ]


def _model_fields(usual: str, help_: str) -> tuple[Field, Field]:
    return (
        Field("model", "Model to use", FOLDER, usual, is_required=True, help=help_),
        Field("download", "Fetch it from the Hugging Face hub when it is not here", FLAG, False),
    )


TAG = Tool(
    "tag",
    "Tagger (WD14)",
    "A model writes tags for each picture, as image boards have them.",
    (
        *_model_fields(
            "SmilingWolf/wd-vit-tagger-v3", "A folder with model.onnx and selected_tags.csv, or a name on the hub."
        ),
        MODE,
        Field("general", "Least certainty of a tag", SLIDER, 0.35, minimum=0.05, maximum=0.95, step=0.05),
        Field("character", "Least certainty of a character", SLIDER, 0.85, minimum=0.05, maximum=0.95, step=0.05),
        Field("exclude", "Tags never to take", help="Several with commas between them."),
        Field("first", "Tags that open every caption", help="Such as the trigger word."),
        Field("underscores", "Keep underscores", FLAG, False),
    ),
    _run("tag", _tag),
    scope="folder",
    has_preview=False,
    needs=TAGGING,
)
DESCRIBE = Tool(
    "describe",
    "Captioner (BLIP)",
    "A model writes a sentence for each picture.",
    (
        *_model_fields(
            "Salesforce/blip-image-captioning-large", "A folder of a BLIP, GIT or BLIP-2 model, or a name on the hub."
        ),
        MODE,
        Field("prompt", "Beginning of the sentence, or a question"),
        Field("prefix", "What opens every caption", help="Such as the trigger word."),
        Field("longest", "Longest caption, in tokens", NUMBER, 75, minimum=5, maximum=500, step=1),
        Field("beams", "Ways followed at once", NUMBER, 3, minimum=1, maximum=16, step=1, help="1 is fastest."),
    ),
    _run("describe", _describe),
    scope="folder",
    has_preview=False,
    needs=TRAINER,
)
ONNX = "A file of an ONNX model."
CUT_OUT = Tool(
    "cut_out",
    "Remove the background",
    "Copies in which a segmentation model leaves only what stands in front.",
    (
        *_model_fields("", ONNX),
        OUT,
        Field(
            "result",
            "What is made",
            CHOICE,
            "alpha",
            (("alpha", "transparent pictures"), ("flat", "pictures on white"), ("mask", "masks only")),
        ),
        CAPTIONS,
    ),
    _run("mask", _cut_out),
    scope="folder",
    has_preview=False,
    needs=TAGGING,
)
DEPTH = Tool(
    "depth",
    "Depth pictures",
    "Control pictures of how far everything is, by a depth model.",
    (*_model_fields("", ONNX), OUT),
    _run("condition", lambda request: [*_out(request), *_model(request)]),
    scope="folder",
    has_preview=False,
    needs=TAGGING,
)
FACES = Tool(
    "faces",
    "Crop faces",
    "Copies of the faces that a detector finds, with some of what is around.",
    (
        *_model_fields("", "A file of an ONNX model in the layout of YOLOv8."),
        OUT,
        Field("margin", "Crop this many times the face", NUMBER, 2, minimum=1, maximum=10, step=0.1),
        Field("square", "As high as wide", FLAG, True),
        CAPTIONS,
    ),
    _run("faces", _faces),
    scope="folder",
    has_preview=False,
    needs=TAGGING,
)
CLASS = Tool(
    "class",
    "Draw class pictures",
    "A base model draws pictures of the class, for regularization; a second start goes on where the first ended.",
    (
        Field("out", "Folder for them", FOLDER, is_required=True, help="What --reg_data_dir will name."),
        Field("class", "Class they show", is_required=True, help="Such as 1girl."),
        Field("base", "Base model that draws", FOLDER, help="A checkpoint of Stable Diffusion 1, 2 or XL."),
        Field("count", "Number of pictures", NUMBER, 100, minimum=1, maximum=100000, step=1),
        Field("repeats", "Repeats per epoch", NUMBER, 1, minimum=1, maximum=10000, step=1),
        Field("prompt", "Prompt instead of the class"),
        Field("negative", "What they should not show"),
        Field("size", "Size in pixels", help="One number, or WIDTH,HEIGHT; empty: what the model was made for."),
        Field("steps", "Steps of the sampler", NUMBER, 30, minimum=1, maximum=1000, step=1),
        Field("transparent", "Transparent pictures instead, without a model", FLAG, False),
    ),
    _run("regularize", _class_pictures, of_folder=False),
    scope="folder",
    has_preview=False,
    needs=TRAINER,
)
