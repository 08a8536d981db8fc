"""The tools that need a model: tags, descriptions, cut-outs, depth, faces, class pictures (data_model_run.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.listing import list_folder
from ..errors import BusyError, EnvironmentProblem, Problems, UsageError
from ..options.sampling import SAMPLERS
from ..paths import PathPolicy, resolve_user_path
from ..preparation.index import usual_suffix
from ..preparation.levels import DEEPER, PARENT
from ..preparation.tags import APPEND, FILL, REPLACE
from .data_model_run import PreparedRun
from .data_needs import TAGGING, TRAINER
from .data_picture_tools import CAPTIONS, OUT
from .data_prepared import new_folder
from .data_tool import CHOICE, COLOUR, FLAG, FOLDER, LINES, NUMBER, SLIDER, Field, Group, Request, Tool

Values = Mapping[str, Any]
Words = list[str]


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
        only_tells = bool(request.values["only_tells"])
        words += [f"--device={_device(request, draws=not of_folder)}", *(["--dry-run"] if only_tells else [])]
        only = request.pictures if of_folder else None
        total = len(request.pictures) if of_folder else int(request.values["count"])
        out = new_folder(request, str(request.values["out"])) if "out" in request.values else None
        return PreparedRun(request.python, words, request.data, total, only, only_tells, out)

    return prepare


def _device(request: Request, *, draws: bool) -> str:
    """Where the model runs; it does not take memory from a training unless that is asked for.

    Raises:
        BusyError: drawing on the CPU would take hours.
    """
    chosen = str(request.values["device"])
    if chosen != "auto" or not request.is_training or request.values.get("transparent"):
        return chosen
    if draws:
        raise BusyError(
            what="A training computes at this moment, and drawing would take memory from it.",
            fix="Wait for its end, or choose the GPU or the CPU under More settings.",
        )
    return "cpu"


def _model(request: Request) -> Words:
    """The model's flags: a folder or file here, within those that are allowed, or a name on the hub."""
    named = str(request.values["model"]).strip().strip('"')
    if request.roots is not None and (named.startswith(("/", "\\", "~", ".")) or ":" in named):
        kind = "folder" if Path(named).is_dir() else "file"
        named = str(resolve_user_path(named, kind, where="model", policy=PathPolicy(request.roots)))
    return [f"--model={named}", *(["--download"] if request.values["download"] else [])]


def _file(request: Request, name: str) -> str:
    """A file that a question names, within those that are allowed; empty when it names none."""
    typed = str(request.values[name]).strip().strip('"')
    if not typed:
        return ""
    return str(resolve_user_path(typed, "file", where=name, policy=PathPolicy(request.roots)))


def _out(request: Request) -> Words:
    """The folder for what is made; it comes right behind the folder of pictures."""
    return [str(new_folder(request, str(request.values["out"])))]


def _flag(values: Values, name: str, word: str, *, when: bool = True) -> Words:
    return [word] if bool(values[name]) is when else []


def _given(values: Values, name: str, word: str) -> Words:
    """The flag of a question that was answered."""
    return [f"{word}={values[name]}"] if str(values[name]).strip() else []


def _tag(request: Request) -> Words:
    values = request.values
    return [
        *_model(request),
        f"--mode={values['mode']}",
        f"--general-threshold={values['general']}",
        f"--character-threshold={values['character']}",
        f"--exclude={values['exclude']}",
        f"--first={values['first']}",
        f"--order={values['order']}",
        f"--rating={values['rating']}",
        f"--separator={values['separator']}",
        f"--batch-size={int(values['batch'])}",
        *_flag(values, "characters_first", "--characters-first"),
        *_flag(values, "underscores", "--keep-underscores"),
        *_flag(values, "brackets", "--escape-brackets"),
        *_suffix(request),
    ]


def _describe(request: Request) -> Words:
    values = request.values
    return [
        *_model(request),
        f"--mode={values['mode']}",
        f"--prompt={values['prompt']}",
        f"--prefix={values['prefix']}",
        f"--min-tokens={int(values['shortest'])}",
        f"--max-tokens={int(values['longest'])}",
        f"--beams={int(values['beams'])}",
        f"--repetition-penalty={values['repetition']}",
        f"--precision={values['precision']}",
        f"--batch-size={int(values['batch'])}",
        *_suffix(request),
    ]


def _suffix(request: Request) -> Words:
    """The suffix of new captions: the chosen one, else what the folder uses most."""
    parts = request.level.parts
    usual = usual_suffix(list_folder(str(parts[0].folder), Problems())) if parts else ".txt"
    return [f"--caption-extension={request.suffix or usual}"]


def _cut_out(request: Request) -> Words:
    values = request.values
    return [
        *_out(request),
        *_model(request),
        f"--result={values['result']}",
        f"--background={values['background']}",
        f"--kind={values['kind']}",
        *_flag(values, "captions", "--no-captions", when=False),
    ]


def _depth(request: Request) -> Words:
    values = request.values
    return [
        *_out(request),
        *_model(request),
        f"--kind={values['kind']}",
        *_flag(values, "far_is_bright", "--far-is-bright"),
    ]


def _faces(request: Request) -> Words:
    values = request.values
    boxes = _file(request, "boxes")
    if not boxes and not str(values["model"]).strip():
        raise UsageError(where=BOXES.label, what="It needs a detector or a file of boxes.", fix="Give one of the two.")
    return [
        *_out(request),
        *([f"--boxes={boxes}"] if boxes else [*_model(request), f"--threshold={values['threshold']}"]),
        f"--margin={values['margin']}",
        f"--smallest={int(values['smallest'])}",
        *_flag(values, "square", "--square"),
        *_flag(values, "captions", "--no-captions", when=False),
    ]


def _class_pictures(request: Request) -> Words:
    values = request.values
    prompts = [line.strip() for line in str(values["prompt"]).splitlines() if line.strip()]
    return [
        *_out(request),
        f"--class={values['class']}",
        f"--count={int(values['count'])}",
        f"--repeats={int(values['repeats'])}",
        *(f"--prompt={prompt}" for prompt in prompts),
        f"--negative={values['negative']}",
        *_given(values, "size", "--size"),
        f"--steps={int(values['steps'])}",
        f"--scale={values['scale']}",
        f"--sampler={values['sampler']}",
        f"--seed={int(values['seed'])}",
        f"--precision={values['precision']}",
        *([f"--clip-skip={int(values['clip_skip'])}"] if values["clip_skip"] else []),
        *_flag(values, "v_parameterization", "--v-parameterization"),
        *_flag(values, "no_half_vae", "--no-half-vae"),
        *_flag(values, "captions", "--no-captions", when=False),
        *([f"--caption-extension={request.suffix}"] if request.suffix else []),
        *([f"--vae={vae}"] if (vae := _file(request, "vae")) else []),
        *(["--transparent"] if values["transparent"] else [f"--model={_file(request, 'base')}"]),
    ]


# Taggers put what they find behind what is there.
MODE = Field(
    "mode",
    "Where there is a caption already",
    CHOICE,
    FILL,
    ((FILL, "leave it as it is"), (APPEND, "add new tags behind"), (REPLACE, "replace it")),
)
ONLY_TELLS = Field("only_tells", "Write nothing, only tell what would be written", FLAG, False)
DEVICE = Field(
    "device",
    "Where the model runs",
    CHOICE,
    "auto",
    (("auto", "on the GPU where there is one and nothing trains"), ("cpu", "on the CPU"), ("cuda", "on the GPU")),
    is_more=True,
)
BATCH = Field("batch", "Pictures at once", NUMBER, 8, minimum=1, maximum=256, step=1, is_more=True)
PRECISION = Field(
    "precision",
    "Precision of the model",
    CHOICE,
    "auto",
    (("auto", "what suits the device"), *((name, name) for name in ("fp32", "fp16", "bf16"))),
    is_more=True,
)
RUN = (ONLY_TELLS, DEVICE)


def _model_fields(usual: str, help_: str) -> tuple[Field, Field]:
    return (
        Field("model", "Model to use", FOLDER, usual, is_required=True, help=help_),
        Field("download", "Fetch it from the Hugging Face hub when it is not here", FLAG, False),
    )


def _kind_field(*names: str) -> Field:
    """Which published model a file is, where its name does not say so; the names as in picture_models."""
    choices = (("auto", "told by the file's name"), *((name, name) for name in names))
    return Field("kind", "Kind of the model", CHOICE, "auto", choices, is_more=True)


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
        Field(
            "order",
            "Order of the tags",
            CHOICE,
            "score",
            (("score", "the most certain first"), ("model", "as the model has them"), ("alphabet", "by their letters")),
            is_more=True,
        ),
        Field("characters_first", "Characters before all other tags", FLAG, False, is_more=True),
        Field(
            "rating",
            "Tag of the rating",
            CHOICE,
            "none",
            (("none", "is left out"), ("first", "comes first"), ("last", "comes last")),
            is_more=True,
        ),
        Field("brackets", "Brackets with backslashes, as prompts need them", FLAG, False, is_more=True),
        Field("separator", "Text between tags", value=", ", is_more=True),
        BATCH,
        *RUN,
    ),
    _run("tag", _tag),
    has_preview=False,
    can_try=True,
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
        Field("shortest", "Shortest caption, in tokens", NUMBER, 5, minimum=0, maximum=500, step=1, is_more=True),
        Field(
            "repetition",
            "Penalty for repeated words",
            NUMBER,
            1,
            minimum=0.1,
            maximum=10,
            step=0.1,
            help="1 changes nothing, 1.2 is usual.",
            is_more=True,
        ),
        PRECISION,
        replace(BATCH, value=1),
        *RUN,
    ),
    _run("describe", _describe),
    has_preview=False,
    can_try=True,
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
            (("alpha", "transparent pictures"), ("flat", "pictures on one colour"), ("mask", "masks only")),
        ),
        Field(
            "background", "Colour behind what stands in front", COLOUR, "#ffffff", help="For pictures on one colour."
        ),
        CAPTIONS,
        _kind_field("u2net", "isnet", "isnet-anime", "birefnet"),
        *RUN,
    ),
    _run("mask", _cut_out),
    has_preview=False,
    can_try=True,
    needs=TAGGING,
)
DEPTH = Tool(
    "depth",
    "Depth pictures",
    "Control pictures of how far everything is, by a depth model.",
    (
        *_model_fields("", ONNX),
        OUT,
        Field("far_is_bright", "What is far becomes bright", FLAG, False),
        _kind_field("midas-small", "midas", "dpt", "depth-anything"),
        *RUN,
    ),
    _run("condition", _depth),
    has_preview=False,
    can_try=True,
    needs=TAGGING,
)
BOXES = Field(
    "boxes",
    "File of boxes instead of a model",
    FOLDER,
    help='JSON: {"picture.png": [[x, y, width, height]]}, in pixels.',
)
FACES = Tool(
    "faces",
    "Crop faces",
    "Copies of the faces that a detector finds, with some of what is around.",
    (
        replace(
            _model_fields("", "A file of an ONNX model in the layout of YOLOv8.")[0],
            is_required=False,
        ),
        _model_fields("", "")[1],
        BOXES,
        OUT,
        Field("margin", "Crop this many times the face", NUMBER, 2, minimum=1, maximum=10, step=0.1),
        Field("square", "As high as wide", FLAG, True),
        CAPTIONS,
        Field("threshold", "Least certainty of a face", SLIDER, 0.5, minimum=0.05, maximum=1, step=0.05, is_more=True),
        Field("smallest", "Leave out crops smaller than", NUMBER, 64, minimum=1, maximum=4096, step=1, is_more=True),
        *RUN,
    ),
    _run("faces", _faces),
    has_preview=False,
    can_try=True,
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
        Field("prompt", "Prompts instead of the class", LINES, help="One a line; they take turns."),
        Field("negative", "What they should not show"),
        Field("size", "Size in pixels", help="One number, or WIDTH,HEIGHT; empty: what the model was made for."),
        Field("steps", "Steps of the sampler", NUMBER, 30, minimum=1, maximum=1000, step=1),
        Field("transparent", "Transparent pictures instead, without a model", FLAG, False),
        Field("scale", "Scale of the guidance", NUMBER, 7.5, minimum=0, maximum=50, step=0.5, is_more=True),
        Field(
            "sampler",
            "Sampler that draws",
            CHOICE,
            "euler_a",
            tuple((name, name) for name in SAMPLERS),
            is_more=True,
        ),
        Field("seed", "Seed of the first picture", NUMBER, 0, minimum=0, maximum=4_000_000_000, step=1, is_more=True),
        Field("captions", "Write captions for them", FLAG, True, is_more=True),
        Field("vae", "Another VAE file", FOLDER, is_more=True),
        Field(
            "clip_skip",
            "Layer of the text encoder, from the end",
            NUMBER,
            0,
            minimum=0,
            maximum=24,
            step=1,
            help="As in training (--clip_skip); 0 is what the model was made for.",
            is_more=True,
        ),
        Field("v_parameterization", "It predicts v, and its file does not say so", FLAG, False, is_more=True),
        Field("no_half_vae", "VAE in full precision", FLAG, False, is_more=True),
        PRECISION,
        *RUN,
    ),
    _run("regularize", _class_pictures, of_folder=False),
    scope="folder",
    has_preview=False,
    needs=TRAINER,
)
