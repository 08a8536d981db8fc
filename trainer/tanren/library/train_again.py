"""Train again like this: the settings a file remembers, as options of a trainer, and what it cannot tell.

Every option says itself under which key it is saved (`saved_as`), so the way back is the same table read the other way
round; only what sd-scripts writes in another form than it reads has a rule of its own here.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..commands import COMMANDS
from ..errors import UsageError
from ..formats.lllite_file import LlliteSizes, lllite_sizes
from ..formats.network_family import UNKNOWN
from ..formats.network_names import DENOISER
from ..options.convert import as_file_value, from_file, takes_list
from ..options.optimizer_names import known_optimizer
from ..options.parse import options_by_name
from ..options.spec import Option
from . import concept_again
from .look import Look
from .pictures_table import picture_tables
from .plain_text import one_line
from .values import is_said, parse_json_value

CONTROL, CONTROL_COMMAND, LLLITE = "networks.control_net_lllite", "sdxl_train_control_net_lllite", "lllite"
COMMAND_OF = {"sd1": "train_network", "sd2": "train_network", "sdxl": "sdxl_train_network"}
# Said in other ways: files that may lie elsewhere now, the name of the new file, and lengths that follow from others.
NOT_TAKEN = frozenset(
    ("ss_sd_model_name", "ss_vae_name", "ss_output_name", "ss_num_epochs", "ss_network_args", "ss_network_module")
)
# A module's name is code that would be imported, and the file may come from a stranger.
MODULES = ("networks.lora", "lycoris.kohya")
# What a data set file keeps per data set and per folder -> option.
OF_DATASET = {
    "resolution": "resolution",
    "batch_size_per_device": "train_batch_size",
    "enable_bucket": "enable_bucket",
    "min_bucket_reso": "min_bucket_reso",
    "max_bucket_reso": "max_bucket_reso",
}
OF_FOLDER = (
    "color_aug",
    "flip_aug",
    "random_crop",
    "shuffle_caption",
    "keep_tokens",
    "caption_prefix",
    "caption_suffix",
)
_CALL = re.compile(r"(?P<path>[\w.]+)(?:\((?P<arguments>.*)\))?", re.DOTALL)


@dataclass(frozen=True)
class BaseWanted:
    """The base model that was used, as far as the file tells: name and hashes, to look for it on this disk."""

    name: str = ""
    sha256: str = ""
    old_hash: str = ""


@dataclass
class TrainAgain:
    """Settings for another training like the one of a file.

    Args:
        command: the trainer.
        options: option name -> value as a configuration file holds it.
        derived: names of options that were told from the tensors, not from the metadata.
        not_taken: (key, value, why) of what is remembered but cannot be used.
        unknown: sentences about what no file remembers.
        base: the base model.
    """

    command: str
    options: dict[str, Any] = field(default_factory=dict)
    derived: set[str] = field(default_factory=set)
    not_taken: list[tuple[str, str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    base: BaseWanted = BaseWanted()


def train_again(look: Look) -> TrainAgain:
    """What a training like that of a file needs.

    Raises:
        UsageError: the file is no network that can be trained here.
    """
    changes_a_concept = concept_again.changes_a_concept(look.metadata)
    command = (concept_again.COMMAND_OF if changes_a_concept else COMMAND_OF).get(look.family)
    if look.kind.type == LLLITE:
        command = CONTROL_COMMAND if _control_sizes(look) is not None and look.family == "sdxl" else None
    if command is None or not look.kind.layers:
        title = "an unknown model" if look.family == UNKNOWN else f"{look.family_title}, {look.kind.type_title}"
        raise UsageError(where=look.path.name, what=f"This is {title}: no trainer here makes such files.")
    declared = options_by_name(COMMANDS[command].groups)
    found = TrainAgain(command)
    _take_saved(found, declared, look.metadata)
    _take_network_arguments(found, declared, look.metadata)
    _take_optimizer(found, declared, look.metadata)
    _take_datasets(found, declared, look.metadata)
    _take_prediction(found, declared, look)
    _take_derived(found, declared, look)
    found.base = BaseWanted(
        *(_said(look.metadata, key) for key in ("ss_sd_model_name", "ss_new_sd_model_hash", "ss_sd_model_hash"))
    )
    # LECO has no use for some of what a training with pictures would derive.
    found.options = {name: value for name, value in found.options.items() if name in declared}
    found.derived &= found.options.keys()
    found.unknown = _unknown(look, found.base)
    if changes_a_concept:
        _take_prompts(found, look.metadata)
    return found


def _take_prompts(found: TrainAgain, metadata: Mapping[str, str]) -> None:
    """What a LECO changed, in place of pictures and captions."""
    prompts, missing = concept_again.remembered_prompts(metadata)
    if prompts is not None:
        found.options["prompts_file"] = prompts
    without = [line for line in found.unknown if not line.startswith(("The pictures", "The captions"))]
    found.unknown = [missing, *without] if missing else without


def _take_saved(found: TrainAgain, declared: Mapping[str, Option], metadata: Mapping[str, str]) -> None:
    for option in declared.values():
        key = option.text.saved_as
        if key is None or not key.startswith("ss_") or key in NOT_TAKEN or not is_said(metadata.get(key)):
            continue
        _take(found, option, key, _literal(metadata[key]))


def _take(found: TrainAgain, option: Option, key: str, value: Any) -> None:
    """Set an option if the value is one that it accepts."""
    if isinstance(value, (list, tuple)) and not takes_list(option):
        value = ",".join(map(str, value))
    if isinstance(value, tuple):
        value = list(value)
    try:
        # What the trainers print is text; options whose values are text take it as it is.
        checked = from_file(option, value, key)
    except UsageError as problem:
        try:
            checked = from_file(option, str(value), key)
        except UsageError:
            found.not_taken.append((key, one_line(str(value)), problem.what))
            return
    found.options[option.name] = as_file_value(option, checked)


def _literal(text: str) -> Any:
    """A value as Python prints it: True, (512, 512), [1e-05, 1e-05]; everything else stays text."""
    if text in ("True", "False"):
        return text == "True"
    if text[:1] in ("(", "[") and len(text) < 1000:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return text
        return value if all(isinstance(part, (int, float, str)) for part in value) else text
    return text


def _take_network_arguments(found: TrainAgain, declared: Mapping[str, Option], metadata: Mapping[str, str]) -> None:
    module = _said(metadata, "ss_network_module")
    if module == CONTROL and found.command == CONTROL_COMMAND:
        return
    if module in MODULES:
        found.options["network_module"] = module
    elif module:
        found.not_taken.append(("ss_network_module", one_line(module), "A kind of network that is not known here."))
    parsed = parse_json_value(metadata, "ss_network_args", dict)
    if parsed.problem:
        found.not_taken.append(("ss_network_args", one_line(metadata["ss_network_args"]), parsed.problem))
    # The trainer adds the dropout, which is an option of its own.
    words = [f"{name}={value}" for name, value in (parsed.value or {}).items() if name != "dropout"]
    if words:
        _take(found, declared["network_args"], "ss_network_args", words)


def _take_optimizer(found: TrainAgain, declared: Mapping[str, Option], metadata: Mapping[str, str]) -> None:
    text = _said(metadata, "ss_optimizer")
    call = _CALL.fullmatch(text)
    if not text or call is None:
        return
    name = call["path"].rpartition(".")[2]
    if known_optimizer(name) is None and not call["path"].startswith("torch.optim."):
        found.not_taken.append(("ss_optimizer", one_line(text), "An optimizer that is not known here."))
        return
    _take(found, declared["optimizer_type"], "ss_optimizer", name)
    arguments = _split_arguments(call["arguments"] or "")
    if arguments:
        _take(found, declared["optimizer_args"], "ss_optimizer", arguments)


def _split_arguments(text: str) -> list[str]:
    """`a=1,betas=(0.9, 0.99)` at the commas that lie in no brackets."""
    parts, depth, current = [], 0, ""
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += letter
    return [part for part in (*parts, current.strip()) if "=" in part]


def _take_datasets(found: TrainAgain, declared: Mapping[str, Option], metadata: Mapping[str, str]) -> None:
    """What a data set file said, where the plain keys are missing; the first data set stands for all."""
    sets = [one for one in parse_json_value(metadata, "ss_datasets", list).value or [] if isinstance(one, dict)]
    if not sets:
        return
    if len(sets) > 1:
        why = "The form has one data set; these are the settings of the first."
        found.not_taken.append(("ss_datasets", f"{len(sets)} data sets", why))
    for key, name in OF_DATASET.items():
        _take_if_free(found, declared, name, f"ss_datasets.{key}", sets[0].get(key))
    folders = sets[0].get("subsets")
    first = folders[0] if isinstance(folders, list) and folders and isinstance(folders[0], dict) else {}
    for name in OF_FOLDER:
        _take_if_free(found, declared, name, f"ss_datasets.{name}", first.get(name))


def _take_if_free(found: TrainAgain, declared: Mapping[str, Option], name: str, key: str, value: Any) -> None:
    if name not in found.options and name in declared and value not in (None, ""):
        _take(found, declared[name], key, value)


def _take_prediction(found: TrainAgain, declared: Mapping[str, Option], look: Look) -> None:
    said = look.metadata.get("modelspec.prediction_type") == "v"
    if (said or look.metadata.get("ss_base_model_version", "").endswith("_v")) and "v_parameterization" in declared:
        found.options["v_parameterization"] = True


def _take_derived(found: TrainAgain, declared: Mapping[str, Option], look: Look) -> None:
    """Rank, alpha and the trained parts from the tensors, where the metadata do not say."""
    sizes = _control_sizes(look)
    if sizes is not None:
        _derive(found, "cond_emb_dim", sizes.channels)
        _derive(found, "network_dim", sizes.dim)
        return
    parts = look.kind.by_part()
    ranks = parts.get(DENOISER) or next(iter(parts.values()))
    if look.family == "sd2":
        _derive(found, "v2", True)
    if ranks.ranks:
        _derive(found, "network_dim", Counter(ranks.ranks).most_common(1)[0][0])
    if ranks.alphas:
        _derive(found, "network_alpha", Counter(ranks.alphas).most_common(1)[0][0])
    if DENOISER in parts and len(parts) == 1:
        _derive(found, "network_train_unet_only", True)
    if DENOISER not in parts:
        _derive(found, "network_train_text_encoder_only", True)
    if look.kind.type in ("loha", "lokr", "glora", "boft", "full", "ia3"):
        _derive(found, "network_module", "lycoris.kohya")
        if "network_args" not in found.options:
            _derive(found, "network_args", [f"algo={look.kind.type}"])
    else:
        _derive(found, "network_module", "networks.lora")


def _control_sizes(look: Look) -> LlliteSizes | None:
    """Sizes of a ControlNet-LLLite; None for everything else."""
    return lllite_sizes({name: entry.shape for name, entry in look.header.tensors.items()})


def _derive(found: TrainAgain, name: str, value: Any) -> None:
    if name not in found.options:
        found.options[name] = value
        found.derived.add(name)


def _unknown(look: Look, base: BaseWanted) -> list[str]:
    """What nobody can read out of a LoRA."""
    folders = picture_tables(look.metadata).folders
    named = ", ".join(f"{one_line(row.name, 60)} ({row.pictures or '?'})" for row in folders[:5])
    lines = [
        f"The pictures, with their number in each folder: {named}."
        if named
        else "The pictures: not even the names of their folders are in the file."
    ]
    counted = "only how often each tag occurs" if look.tags.folders else "not even which tags there were"
    lines.append(f"The captions: {counted}.")
    if look.kind.type == LLLITE:
        lines.append("The control pictures.")
    if base.name:
        known = f"the SHA-256 begins with {base.sha256[:10]}" if base.sha256 else "no full hash is known"
        lines.append(f"Where the base model lies: it was called {one_line(base.name, 80)}, {known}.")
    else:
        lines.append("Which base model was used.")
    if is_said(look.metadata.get("ss_vae_name")):
        lines.append(f"Where the VAE lies: it was called {one_line(look.metadata['ss_vae_name'], 80)}.")
    if not is_said(look.metadata.get("ss_learning_rate")):
        lines.append("The learning rates, the optimizer and the length of the training.")
    return [*lines, "The sample prompts and the place for the result."]


def _said(metadata: Mapping[str, str], key: str) -> str:
    text = metadata.get(key)
    return text if text is not None and is_said(text) else ""
