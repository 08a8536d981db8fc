"""The few questions of the simple view: pictures or a concept, trigger word, length; the rest are ordinary options.

Each own question stands for options: a folder of pictures becomes a dataset (`pictures.py`), the trigger word the
caption of pictures that have none, and epochs or steps are one number with a switch. Captions stay as they are unless
the user asks for the trigger word in front of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..commands import COMMANDS
from ..commands import PROMPTS as READS_PROMPTS
from ..errors import Problems, UsageError
from ..options.contents import CONCEPTS, DATASET, PROMPTS
from ..options.convert import from_file
from ..paths import ANYWHERE, PathPolicy
from . import concept_questions as concept
from . import control_questions as control
from .fields import CHOICE, FLAG, INTEGER, PATH, TEXT, Field, form_options
from .pictures import DEFAULT_REPEATS, dataset_of, recognised
from .values import to_options, to_raw, unquoted

GROUP = "Simple view"
EPOCHS, STEPS = "epochs", "steps"
LENGTHS = {EPOCHS: "max_train_epochs", STEPS: "max_train_steps"}
OWN = (
    Field(
        name="pictures",
        group=GROUP,
        label="Training pictures",
        help="Folder with your pictures and their captions. A parent of <repeats>_<name> folders is understood too.",
        kind=PATH,
        path="folder",
        level="basic",
    ),
    Field(
        name="repeats",
        group=GROUP,
        label="Repeats per picture",
        help="How often each picture is seen per epoch. Empty: the number in front of the folder's name, else 10.",
        kind=INTEGER,
        minimum=1,
        written=str(DEFAULT_REPEATS),
        level="basic",
    ),
    Field(
        name="trigger",
        group=GROUP,
        label="Trigger word",
        help="The word that calls what is learned. It is the caption of pictures without one, and stands in the file.",
        kind=TEXT,
        level="basic",
    ),
    Field(
        name="trigger_in_captions",
        group=GROUP,
        label="Trigger word before every caption",
        help="Put the trigger word in front of every caption while training. The caption files are not changed.",
        kind=FLAG,
        default=False,
        level="basic",
    ),
    Field(
        name="length_unit",
        group=GROUP,
        label="Length counted in",
        help="Epochs: how often all pictures are seen. Steps: how often the weights are updated.",
        kind=CHOICE,
        choices=(EPOCHS, STEPS),
        default=EPOCHS,
        level="basic",
    ),
    Field(
        name="length",
        group=GROUP,
        label="Length of the training",
        help="How many epochs or steps are trained.",
        kind=INTEGER,
        minimum=1,
        level="basic",
    ),
)
OF_PICTURES = frozenset(field.name for field in OWN) - {"length"}
OF_PAIRS = frozenset((control.FOLDER, control.CONTROL_FOLDER, "length_unit"))
OWN_NAMES = frozenset((*(field.name for field in OWN), *concept.NAMES, control.CONTROL_FOLDER))
# The simple view in its order; names that are not OWN are options.
SIMPLE = (
    *("pretrained_model_name_or_path", "pictures", "repeats", "output_name", "trigger", "trigger_in_captions"),
    *("resolution", "length_unit", "length"),
)
# The question that stands for an option.
STANDS_FOR = {
    "train_data_dir": "pictures",
    DATASET: "pictures",
    CONCEPTS: concept.WHAT,
    "metadata_trigger_phrase": "trigger",
    **dict.fromkeys(LENGTHS.values(), "length"),
}


def read_form(
    command: str, raw: Mapping[str, Any], problems: Problems, *, policy: PathPolicy = ANYWHERE
) -> dict[str, Any]:
    """The options that a whole form means, its own questions included.

    Args:
        command: such as "train_network".
        raw: by field name; fields that are missing have their default.
        problems: every value that cannot be read goes here, with `--field` as its place.
        policy: folders outside of its roots are not looked into.
    """
    own = {name: value for name, value in raw.items() if name in OWN_NAMES}
    options = to_options(command, {name: value for name, value in raw.items() if name not in OWN_NAMES}, problems)
    trigger = _text(own.get("trigger"))
    if COMMANDS[command].reads == READS_PROMPTS:
        concept.read_concept(own, options, problems)
        prompts = concept.sample_prompts(options.get(CONCEPTS))
        if prompts and _draws_samples(options):
            options.setdefault(PROMPTS, prompts)
    elif control.learns_from_pairs(command):
        trigger = ""
        control.read_pictures(own, options, problems)
        prompts = control.sample_prompts(options, policy) if _draws_samples(options) else []
        if prompts:
            options.setdefault(PROMPTS, prompts)
    else:
        _read_pictures(own, trigger, options, problems, policy)
    if trigger:
        options.setdefault("metadata_trigger_phrase", trigger)
        if own.get("trigger_in_captions") is True:
            _put_in_front(trigger, options, problems)
        if _draws_samples(options) and PROMPTS not in options:
            options[PROMPTS] = [_prompt_of(trigger, options)]
    _read_length(command, own, options, problems)
    return options


def fill_form(command: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What all fields of a form show for some options; the opposite of `read_form`."""
    rest = dict(options)
    if COMMANDS[command].reads == READS_PROMPTS:
        return _fill_concept(command, rest)
    own: dict[str, Any] = {"pictures": "", "repeats": None, "trigger": "", "trigger_in_captions": False}
    has_pairs = control.learns_from_pairs(command)
    known = None if has_pairs else recognised(rest)
    if known is not None:
        rest.pop(DATASET)
        own |= {"pictures": known.folder, "repeats": known.repeats, "trigger": known.trigger}
        rest |= {"reg_data_dir": known.regularization} if known.regularization else {}
    elif has_pairs:
        own = control.fill_pictures(rest)
    elif not rest.get(DATASET) and not rest.get("in_json"):
        own["pictures"] = rest.pop("train_data_dir", "")
    if not has_pairs:
        own["trigger"] = own["trigger"] or rest.get("metadata_trigger_phrase", "")
    if own.get("trigger"):
        if rest.get("metadata_trigger_phrase") == own["trigger"]:
            rest.pop("metadata_trigger_phrase")
        if rest.get("caption_prefix") == _prefix(own["trigger"], rest):
            own["trigger_in_captions"] = bool(rest.pop("caption_prefix"))
    own["length_unit"] = EPOCHS if rest.get(LENGTHS[EPOCHS]) else STEPS
    default = form_options(command)[LENGTHS[STEPS]].default
    own["length"] = rest.get(LENGTHS[own["length_unit"]], default)
    raw = to_raw(command, rest)
    raw |= dict.fromkeys(LENGTHS.values())
    return raw | own


def _fill_concept(command: str, options: dict[str, Any]) -> dict[str, Any]:
    """What all fields of a training without pictures show."""
    answers = concept.recognised(options.get(CONCEPTS))
    if answers is not None:
        prompts = concept.sample_prompts(options.pop(CONCEPTS))
        if _draws_samples(options) and options.get(PROMPTS) == prompts:
            options.pop(PROMPTS)
    steps = options.get(LENGTHS[STEPS], form_options(command)[LENGTHS[STEPS]].default)
    raw = to_raw(command, options) | dict.fromkeys(LENGTHS.values())
    return {**raw, **(answers or concept.USUAL), "length": steps}


def _read_pictures(
    own: Mapping[str, Any], trigger: str, options: dict[str, Any], problems: Problems, policy: PathPolicy
) -> None:
    folder = unquoted(_text(own.get("pictures")))
    if not folder:
        return
    named = [f"--{name}" for name in ("train_data_dir", DATASET, "in_json") if options.get(name)]
    if named:
        what = f"The pictures are named twice, here and by {' and '.join(named)}."
        problems.add(UsageError(where="--pictures", what=what, fix="Empty one of the fields."))
        return
    repeats = _whole("repeats", own.get("repeats"), problems)
    dataset = dataset_of(folder, repeats, trigger, options.get("reg_data_dir", ""), policy)
    if dataset is None:
        options["train_data_dir"] = folder
        return
    options[DATASET] = dataset
    options.pop("reg_data_dir", None)


def _read_length(command: str, own: Mapping[str, Any], options: dict[str, Any], problems: Problems) -> None:
    length = _whole("length", own.get("length"), problems)
    if length is None:
        return
    has_epochs = COMMANDS[command].reads != READS_PROMPTS
    unit = own.get("length_unit") or EPOCHS if has_epochs else STEPS
    if unit not in LENGTHS:
        what = f"{unit!r} is neither {EPOCHS} nor {STEPS}."
        problems.add(UsageError(where="--length_unit", what=what))
        return
    for name in LENGTHS.values():
        options.pop(name, None)
    if length != form_options(command)[LENGTHS[unit]].default:
        options[LENGTHS[unit]] = length


def _whole(name: str, value: Any, problems: Problems) -> int | None:
    """A number of one of our own fields, by the rules of an option of that kind."""
    like = form_options("train_network")["max_train_epochs"]
    try:
        read = from_file(like, value.strip() if isinstance(value, str) else value, f"--{name}") if value else None
    except UsageError as problem:
        problems.add(problem)
        return None
    if read is None and value == 0:
        problems.add(UsageError(where=f"--{name}", what="0 is out of range: it must be at least 1."))
    return read


def _put_in_front(trigger: str, options: dict[str, Any], problems: Problems) -> None:
    if options.get("caption_prefix"):
        what = "The text before captions is given twice, here and as the trigger word."
        problems.add(UsageError(where="--caption_prefix", what=what, fix="Empty it, or switch the other one off."))
        return
    options["caption_prefix"] = _prefix(trigger, options)


def _prefix(trigger: str, options: Mapping[str, Any]) -> str:
    return f"{trigger}{options.get('caption_separator', ',')}"


def _draws_samples(options: Mapping[str, Any]) -> bool:
    return any(options.get(name) for name in ("sample_every_n_steps", "sample_every_n_epochs", "sample_at_first"))


def _prompt_of(trigger: str, options: Mapping[str, Any]) -> str:
    """A prompt of the trigger word alone, in the size that is trained."""
    size = options.get("resolution")
    sides = f" --w {size[0]} --h {size[1]}" if isinstance(size, list) and len(size) == 2 else ""
    return f"{trigger}{sides} --d 1"


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""
